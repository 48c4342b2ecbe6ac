"""SSH keys: the operator's own, each machine's, and the list of known machines.

Private keys stay on this host with the stack; none enters Pulumi's state.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from infra import paths
from infra.provider.command import run
from infra.provider.host import exclusive


def ensure_operator_key(stack: str) -> str:
    """Make the operator's key pair for the stack's machines if absent; returns the public line."""
    key = paths.ssh_key(stack)
    with _exclusive(stack):
        key.parent.chmod(0o700)
        return make_pair(key, f"antenna-{stack}")


def make_pair(key: Path, comment: str) -> str:
    """Make an ed25519 pair at ``key`` unless it is there; returns the public line."""
    public = key.with_name(key.name + ".pub")
    if not (key.exists() and public.exists()):
        key.unlink(missing_ok=True)
        key.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)])
    return public.read_text().strip()


def remember(stack: str, address: str, port: int, host_key: str) -> None:
    """Write down the machine's host key as the only one accepted from that address."""
    with _exclusive(stack):
        _write(paths.known_hosts(stack), with_host(_read(stack), address, port, host_key))


def forget(stack: str, address: str, port: int) -> None:
    """Strike the machine off the list."""
    if not paths.known_hosts(stack).exists():
        return
    with _exclusive(stack):
        left = with_host(_read(stack), address, port, None)
        _write(paths.known_hosts(stack), left)


def with_host(known: str, address: str, port: int, host_key: str | None) -> str:
    """The text of a known_hosts file with that host's line set, or removed for None. Pure."""
    host = address if port == 22 else f"[{address}]:{port}"
    lines = [line for line in known.splitlines() if line.split(" ")[0] != host]
    if host_key:
        lines.append(f"{host} {' '.join(host_key.split()[:2])}")
    return "".join(f"{line}\n" for line in sorted(lines))


def _read(stack: str) -> str:
    known = paths.known_hosts(stack)
    return known.read_text() if known.exists() else ""


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def _exclusive(stack: str) -> AbstractContextManager[None]:
    return exclusive(paths.ssh_key(stack).parent / ".lock")
