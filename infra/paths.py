"""Where things lie on the operator's host. Pure: nothing here touches the disk."""

from __future__ import annotations

import os
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# A stack's name becomes part of interface names, which Linux limits to 15 bytes.
STACK_NAME = re.compile(r"^[a-z][a-z0-9-]{0,11}$")


def site_file(stack: str) -> Path:
    """The file that describes a stack, where no other is named."""
    return REPOSITORY / f"Pulumi.{stack}.yaml"


def cache_dir() -> Path:
    """What can be made again: built tools, images, the machines' base. Shared by stacks and clones."""
    if chosen := os.environ.get("ANTENNA_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "antenna"


def home_dir() -> Path:
    """What stacks keep on this host: machines, keys, logs. ``$ANTENNA_HOME`` moves it."""
    if chosen := os.environ.get("ANTENNA_HOME"):
        return Path(chosen)
    return Path("/var/lib/antenna") if os.geteuid() == 0 else Path.home() / ".local/share/antenna"


def stack_dir(stack: str) -> Path:
    """Everything that belongs to one stack on this host."""
    if not STACK_NAME.match(stack):
        raise ValueError(f"stack name {stack!r} must match {STACK_NAME.pattern}")
    return home_dir() / stack


def machine_dir(stack: str, name: str) -> Path:
    """The disk of one nspawn machine."""
    return stack_dir(stack) / "machines" / name


def ssh_key(stack: str) -> Path:
    """The operator's private key for the stack's machines; its public half has the suffix .pub."""
    return stack_dir(stack) / "ssh" / "id_ed25519"


def remote_key(stack: str, site: str, tenant: str) -> Path:
    """The private key that works for a tenant at a remote site that a machine of ours plays."""
    return stack_dir(stack) / "ssh" / "remote" / site / tenant


def known_hosts(stack: str) -> Path:
    """The host keys of the stack's machines, known before the first connection."""
    return stack_dir(stack) / "ssh" / "known_hosts"


def kubeconfig(stack: str) -> Path:
    """The operator's own credentials to the stack's cluster."""
    return stack_dir(stack) / "kubeconfig"


def issuer_dir(stack: str) -> Path:
    """What an embedded site's own OpenID provider is made from: its key, who may log in, their passwords."""
    return stack_dir(stack) / "issuer"


def login_dir(stack: str) -> Path:
    """What `antenna login` keeps: the person's kubeconfig, and what renews their token."""
    return stack_dir(stack) / "login"


def login_kubeconfig(stack: str) -> Path:
    """The kubeconfig of the person who logged in on this host."""
    return login_dir(stack) / "kubeconfig"


def logs(stack: str) -> Path:
    """Full logs of runs: Ansible's, and each command's."""
    return stack_dir(stack) / "logs"
