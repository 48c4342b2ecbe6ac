"""The Debian base that every nspawn machine's disk lies on, made once per content and kept in the cache.

Machines have no route to any package mirror, so what a role needs is in here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from infra import paths
from infra.provider import mounts
from infra.provider.command import run, tail
from infra.provider.host import ensure_packages, exclusive
from infra.provider.kind import ProviderError, Report

RECIPE = 1
"""Raised when ``_configure`` changes, so that a new base is made."""

SUITE = "bookworm"

PACKAGES = (
    # the machine itself
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "ca-certificates", "openssl"),
    *("chrony", "kmod", "procps", "less"),
    # what Ansible and the device plugin run on
    *("python3", "python3-apt", "python3-grpcio", "python3-protobuf"),
    # network
    *("iproute2", "iputils-ping", "nftables", "iptables", "conntrack", "ethtool", "socat", "curl"),
    *("wireguard-go", "wireguard-tools"),
    # containers
    *("runc", "containernetworking-plugins", "busybox-static"),
    # observation
    "prometheus-node-exporter",
)

ENABLED = ("systemd-networkd.service", "ssh.service", "antenna-cgroups.service")
"""Runs in every machine from its first boot."""

DISABLED = ("prometheus-node-exporter.service", "nftables.service", "chrony.service")
"""Installed; the role that configures it enables it."""

MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "prometheus-node-exporter-apt.timer",
    "prometheus-node-exporter-ipmitool-sensor.timer",
    "prometheus-node-exporter-mellanox-hca-temp.timer",
    "prometheus-node-exporter-nvme.timer",
    "prometheus-node-exporter-smartmon.timer",
    "systemd-networkd-wait-online.service",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
    "console-getty.service",
)
"""Has no work in a machine without a disk, a console or a mirror of its own."""

FILES = Path(__file__).parent / "base_files"


def digest() -> str:
    """Names the content: 16 hex digits over suite, packages, services and files."""
    content = hashlib.sha256()
    for part in (RECIPE, SUITE, sorted(PACKAGES), ENABLED, DISABLED, MASKED):
        content.update(repr(part).encode())
    for path in sorted(p for p in FILES.rglob("*") if p.is_file()):
        content.update(f"{path.relative_to(FILES)} {os.access(path, os.X_OK)}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def directory(base: str) -> Path:
    """Where the base of that digest lies."""
    return paths.cache_dir() / "base" / base


def ensure(report: Report) -> str:
    """Make the base unless it is cached; return its digest.

    About 90 s the first time; a cut leaves the downloaded packages, so the next run is quicker.
    Raises ProviderError when the host lacks programs or debootstrap fails.
    """
    name = digest()
    if directory(name).is_dir():
        return name
    ensure_packages(report)
    report("waiting for another run that makes the Debian base")
    with exclusive(paths.cache_dir() / "base" / ".lock"):
        if not directory(name).is_dir():
            _make(name, report)
    return name


def _make(name: str, report: Report) -> None:
    parent = paths.cache_dir() / "base"
    root = parent / f".{name}.partial"
    # A debootstrap that was killed leaves /proc mounted in it.
    mounts.unmount_below(root)
    remove_tree(root)
    packages = parent / ".packages"
    packages.mkdir(parents=True, exist_ok=True)
    _debootstrap(root, packages, report)
    report("Debian base: configuring services")
    _configure(root)
    root.rename(directory(name))
    remove_tree(packages)


def _debootstrap(root: Path, packages: Path, report: Report) -> None:
    argv = ["debootstrap", "--variant=minbase", "--merged-usr", f"--cache-dir={packages}"]
    argv += [f"--include={','.join(PACKAGES)}", SUITE, str(root), *_mirror()]
    steps = {"Retrieving": 0, "Extracting": 0, "Unpacking": 0, "Configuring": 0}
    lines: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        for line in process.stdout:
            lines.append(line)
            match line.split():
                case ["I:", step, *_] if step in steps:
                    steps[step] += 1
                    report(f"Debian base: {step.lower()} packages, {steps[step]} so far")
    if process.returncode:
        raise ProviderError(f"debootstrap failed; is a Debian mirror reachable?\n{tail(''.join(lines))}")


def _mirror() -> list[str]:
    """The host's own mirror of the suite, if apt knows one; else debootstrap uses its default."""
    try:
        lines = run(
            ["apt-get", "indextargets", "--format", "$(CREATED_BY)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"]
        ).splitlines()
    except ProviderError:
        return []
    wanted = f"Packages|{SUITE}|main|"
    return [line.removeprefix(wanted) for line in lines if line.startswith(wanted)][:1]


def _configure(root: Path) -> None:
    shutil.copytree(FILES, root, dirs_exist_ok=True)
    systemctl = ["systemctl", f"--root={root}"]
    run([*systemctl, "disable", *DISABLED])
    run([*systemctl, "mask", *MASKED])
    run([*systemctl, "enable", *ENABLED])
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    for cached in (root / "var/cache/apt/archives").glob("*.deb"):
        cached.unlink()


def remove_tree(path: Path) -> None:
    """Remove a folder, never crossing into another file system (a mount left behind)."""
    if path.exists():
        run(["rm", "-rf", "--one-file-system", str(path)], timeout=300)
