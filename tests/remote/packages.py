"""What the host must have for a Slurm of its own: programs, and the Debian package that brings each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.provider.host import exclusive, find_program

PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
}

_KEEP_SERVICES_DOWN = Path("/usr/sbin/policy-rc.d")


def missing() -> str:
    """Why a Slurm cannot be raised here, in words; empty where it can, if need be after an installation."""
    lacking = " ".join(_packages())
    if sys.platform != "linux" or os.geteuid() != 0:
        return "raises a Slurm with nodes on this host: needs Linux and root"
    if lacking and not find_program("apt-get"):
        return f"the host lacks {lacking} (names as in Debian), and has no apt-get to install them"
    return ""


def ensure_packages() -> None:
    """Install what is missing; none of the services that the packages bring is started."""
    quiet = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    with exclusive(Path("/var/lock/antenna-apt")):
        if not (packages := _packages()):
            return
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        ours = not _KEEP_SERVICES_DOWN.exists()
        if ours:
            _KEEP_SERVICES_DOWN.write_text("#!/bin/sh\nexit 101\n")
            _KEEP_SERVICES_DOWN.chmod(0o755)
        try:
            for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
                subprocess.run(
                    [*quiet, *words], env=environment, check=True, timeout=500, capture_output=True
                )
        finally:
            if ours:
                _KEEP_SERVICES_DOWN.unlink()


def _packages() -> list[str]:
    return sorted({package for program, package in PROGRAMS.items() if not find_program(program)})
