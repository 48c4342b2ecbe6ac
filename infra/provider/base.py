"""The Debian base that every nspawn machine's disk lies on, made once per content and kept in the cache.

Machines have no route to any package mirror, so what a role needs is in here. What stands in for a remote
site needs a scheduler and a database besides; these lie in a layer of their own, over the same base, so that
nobody else's machines wait for them or carry them.
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

SITE_PACKAGES = ("slurmctld", "slurmd", "slurmdbd", "slurm-client", "munge", "mariadb-server")
"""The layer of machines that stand in for a remote site."""

SITE_DISABLED = (
    "slurmctld.service",
    "slurmd.service",
    "slurmdbd.service",
    "munge.service",
    "mariadb.service",
)

FILES = Path(__file__).parent / "base_files"


def digest() -> str:
    """Names the content: 16 hex digits over suite, packages, services and files."""
    content = hashlib.sha256()
    for part in (RECIPE, SUITE, sorted(PACKAGES), ENABLED, DISABLED, MASKED):
        content.update(repr(part).encode())
    for path in sorted(p for p in FILES.rglob("*") if p.is_file()):
        content.update(f"{path.relative_to(FILES)} {os.access(path, os.X_OK)}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def site_digest() -> str:
    """Names the content of base and layer together: the base's digest, a dot, the layer's own."""
    layer = hashlib.sha256(repr((INSTALL, sorted(SITE_PACKAGES), SITE_DISABLED)).encode())
    return f"{digest()}.{layer.hexdigest()[:16]}"


def directory(base: str) -> Path:
    """Where the base, or the layer, of that digest lies."""
    return paths.cache_dir() / "base" / base


def layers(base: str) -> list[Path]:
    """What a disk of that base lies on, the topmost first."""
    bottom, dot, _ = base.partition(".")
    return [*([directory(base)] if dot else []), directory(bottom)]


def is_made(base: str) -> bool:
    """Whether all of it is in the cache."""
    return all(layer.is_dir() for layer in layers(base))


def ensure(report: Report, base: str = "") -> str:
    """Make the base, or the named layer over it, unless it is cached; return its digest.

    About 90 s for the base, 10 s for the layer; a cut leaves the downloaded packages, so the next run is
    quicker. Raises ProviderError when the host lacks programs, debootstrap or apt fails, or the name is
    neither of the two that this version makes.
    """
    name = base or digest()
    if is_made(name):
        return name
    if name not in (digest(), site_digest()):
        raise ProviderError(f"the Debian base {name} is not in the cache, and this version makes another one")
    ensure_packages(report)
    report("waiting for another run that makes the Debian base")
    with exclusive(paths.cache_dir() / "base" / ".lock"):
        if not directory(digest()).is_dir():
            _make(digest(), report)
        if not is_made(name):
            _make_layer(name, report)
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


INSTALL = """
mount -t overlay antenna -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
mount -t proc proc "$4/proc"
mount --bind /dev "$4/dev"
cp -L /etc/resolv.conf "$4/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$4/usr/sbin/policy-rc.d"
chmod 755 "$4/usr/sbin/policy-rc.d"
root=$4 disabled=$5
shift 5
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq install --yes --no-install-recommends "$@"
chroot "$root" apt-get clean
systemctl --root="$root" --quiet disable $disabled
rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/munge/munge.key"
: > "$root/etc/resolv.conf"
"""
"""Installs packages over a base. No service starts, and what is mounted goes with the process."""


def _make_layer(name: str, report: Report) -> None:
    parent = paths.cache_dir() / "base"
    work = parent / f".{name}.partial"
    remove_tree(work)
    upper, scratch, root = (work / part for part in ("layer", "work", "root"))
    for folder in (upper, scratch, root):
        folder.mkdir(parents=True)
    report("Debian base: packages of the remote sites' stand-ins")
    below = [str(directory(name.partition(".")[0])), str(upper), str(scratch), str(root)]
    sandbox = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", INSTALL, "sh"]
    run([*sandbox, *below, " ".join(SITE_DISABLED), *SITE_PACKAGES], timeout=900)
    upper.rename(directory(name))
    remove_tree(work)


def remove_tree(path: Path) -> None:
    """Remove a folder, never crossing into another file system (a mount left behind)."""
    if path.exists():
        run(["rm", "-rf", "--one-file-system", str(path)], timeout=300)
