"""Reaching a machine over SSH with keys known in advance."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from infra.provider.command import tail
from infra.provider.kind import ProviderError

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Login:
    """How to reach one machine. ``known_hosts`` is the only list of keys that is believed."""

    address: str
    user: str
    port: int
    identity_file: str
    known_hosts: str

    @classmethod
    def of(cls, state: dict[str, Any]) -> Login:
        """From a Machine's outputs."""
        return cls(
            state["address"],
            state.get("user") or "root",
            state.get("port") or 22,
            state["identity_file"],
            state["known_hosts"],
        )


def argv(login: Login, command: str) -> list[str]:
    """The ssh command line. Never asks, never trusts an unknown key, ignores the user's own files."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityFile": login.identity_file,
        "LogLevel": "ERROR",
        "Port": str(login.port),
        "ServerAliveInterval": "10",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": login.known_hosts,
    }
    flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", *flags, f"{login.user}@{login.address}", command]


def run(login: Login, command: str, *, stdin: str | None = None, timeout: float = 30) -> str:
    """Standard output of a shell command on the machine. Raises ProviderError when it fails.

    ssh's own failures (no route, refused, wrong key) exit with 255 and are told apart in the message.
    """
    try:
        done = subprocess.run(
            argv(login, command),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"{login.address}: `{command}` did not end within {timeout:.0f} s") from None
    if done.returncode == 255:
        raise ProviderError(f"{login.address} port {login.port}: SSH failed: {tail(done.stderr)}")
    if done.returncode:
        raise ProviderError(f"{login.address}: `{command}` failed: {tail(done.stderr or done.stdout)}")
    return done.stdout
