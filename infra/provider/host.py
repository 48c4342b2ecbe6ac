"""What the host must have to raise machines: programs, and the Debian package that brings each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from infra.provider.command import run
from infra.provider.kind import ProviderError, Report

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "setsid": "util-linux",
    "mount": "mount",
}
"""Program -> Debian package, for the nspawn driver."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""What debootstrap checks Debian's signatures with; package debian-archive-keyring."""


def missing_packages() -> list[str]:
    """The Debian packages to install before machines can be raised; sorted."""
    missing = {package for program, package in PROGRAMS.items() if not find_program(program)}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def find_program(program: str) -> str | None:
    """Its path. Looks in sbin too, which is not on every user's PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")


def ensure_packages(report: Report) -> None:
    """Install what is missing, and say so. Raises ProviderError where that cannot be done."""
    if not (packages := missing_packages()):
        return
    names = " ".join(packages)
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ProviderError(f"the host lacks {names}; as root: apt-get install {names}")
    if not find_program("apt-get"):
        raise ProviderError(
            f"the host lacks {names} (names as in Debian), and has no apt-get to install them"
        )
    report(f"installing on this host: {names}")
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    with exclusive(Path("/var/lock/antenna-apt")):
        run([*quiet, "update"], timeout=300)
        run([*quiet, "install", "--yes", "--no-install-recommends", *packages], timeout=600)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One process or thread at a time; others wait. The kernel frees it when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        flock(lock, LOCK_EX)
        yield
