"""The disk of an nspawn machine: the Debian base, and over it the machine's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra import paths
from infra.provider import base, container, keys, mounts
from infra.provider.kind import ProviderError

REAL_FOLDERS = ("var/lib/containerd", "var/lib/kubelet")
"""Bound from the host's disk: containerd's overlays do not work on top of the machine's own."""

ARTIFACTS = "/opt/antenna/artifacts"
ARTIFACTS_CACHE = "/opt/antenna/cache"
"""All artefact trees, read-only; ``ARTIFACTS`` points to the one in use, so it can change at run time."""

DISK_INPUTS = ("stack", "name", "address", "prefix_length", "gateway", "base")
"""What is written into the disk, or lies under it: a change of any makes another disk."""


def make(inputs: dict[str, Any]) -> None:
    """Write the machine's own files; the description comes last, so a cut is told from a finished disk."""
    folder = paths.machine_dir(inputs["stack"], inputs["name"])
    base.remove_tree(folder)
    mount(inputs)
    root = container.root(inputs["stack"], inputs["name"])
    name, address = inputs["name"], inputs["address"]
    (root / "etc/hostname").write_text(f"{name}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")
    (root / "etc/systemd/network/10-host0.network").write_text(
        f"[Match]\nName=host0\n\n[Network]\nAddress={address}/{inputs['prefix_length']}\n"
        f"Gateway={inputs['gateway']}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )
    keys.make_pair(_host_key(root), f"root@{name}")
    for path in (ARTIFACTS_CACHE, "/dev/net"):
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for real in REAL_FOLDERS:
        (folder / "real" / Path(real).name).mkdir(parents=True)
        (root / real).mkdir(parents=True, exist_ok=True)
    description = json.dumps({key: inputs[key] for key in DISK_INPUTS}, sort_keys=True)
    _description(inputs["stack"], name).write_text(description)


def mount(inputs: dict[str, Any]) -> None:
    """Mount the disk at the machine's root. Raises ProviderError when its base is not cached any more."""
    stack, name = inputs["stack"], inputs["name"]
    folder = paths.machine_dir(stack, name)
    if not base.is_made(inputs["base"]):
        raise ProviderError(
            f"machine {name}: its Debian base {inputs['base']} is no longer in the cache "
            f"({base.directory(inputs['base'])})"
        )
    mounts.unmount_below(folder)
    mounts.overlay(base.layers(inputs["base"]), folder / "disk", folder / "work", container.root(stack, name))


def matches(inputs: dict[str, Any]) -> bool:
    """Whether a finished disk for exactly these inputs is there."""
    return described(inputs["stack"], inputs["name"]) == {key: inputs[key] for key in DISK_INPUTS}


def described(stack: str, machine: str) -> dict[str, Any]:
    """What the finished disk was made for; empty when there is none."""
    description = _description(stack, machine)
    written: dict[str, Any] = json.loads(description.read_text()) if description.exists() else {}
    return written


def host_key(inputs: dict[str, Any]) -> str:
    """The public line of the machine's SSH host key."""
    root = paths.machine_dir(inputs["stack"], inputs["name"]) / "disk"
    return " ".join(_host_key(root).with_suffix(".pub").read_text().split()[:2])


def binds(inputs: dict[str, Any]) -> list[str]:
    """The systemd-nspawn options that bind folders of this host into the machine."""
    folder, cache = paths.machine_dir(inputs["stack"], inputs["name"]), paths.cache_dir() / "artifacts"
    cache.mkdir(parents=True, exist_ok=True)
    options = [f"--bind={folder / 'real' / Path(real).name}:/{real}" for real in REAL_FOLDERS]
    if Path("/dev/net/tun").exists():
        options.append("--bind=/dev/net/tun")
    return [*options, f"--bind-ro={cache}:{ARTIFACTS_CACHE}"]


def point_artifacts(inputs: dict[str, Any]) -> None:
    """Let the machine see the artefact tree with the declared digest; works while it runs."""
    root = container.root(inputs["stack"], inputs["name"])
    link = root / ARTIFACTS.lstrip("/")
    fresh = link.with_name(".artifacts")
    fresh.unlink(missing_ok=True)
    if digest := inputs.get("artifacts"):
        fresh.symlink_to(f"{ARTIFACTS_CACHE}/{digest}")
        fresh.replace(link)
    else:
        link.unlink(missing_ok=True)


def authorize(inputs: dict[str, Any]) -> None:
    """Let the operator's key in, made anew if it was lost; works while the machine runs."""
    public = keys.ensure_operator_key(inputs["stack"])
    authorized = container.root(inputs["stack"], inputs["name"]) / "root/.ssh/authorized_keys"
    authorized.parent.mkdir(mode=0o700, exist_ok=True)
    authorized.touch(mode=0o600)
    if public not in authorized.read_text():
        with authorized.open("a") as lines:
            lines.write(f"{public}\n")


def artifacts_in_use(stack: str, machine: str) -> str:
    """The digest of the artefact tree that the machine sees."""
    link = container.root(stack, machine) / ARTIFACTS.lstrip("/")
    return link.readlink().name if link.is_symlink() else ""


def _description(stack: str, machine: str) -> Path:
    return paths.machine_dir(stack, machine) / "machine.json"


def _host_key(root: Path) -> Path:
    return root / "etc/ssh/ssh_host_ed25519_key"
