"""The stack's lock: the official file backend's own files, so that both engines exclude each other."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: a process of a user on a host, since a moment."""

    path: Path
    user: str
    host: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid}, since {self.since.astimezone():%Y-%m-%d %H:%M:%S})"

    def is_dead(self) -> bool:
        """Tell whether the process is certainly gone: it was of this host and its pid is free or newer."""
        if self.host != socket.gethostname():
            return False
        started = _process_start(self.pid)
        return started is None or started > self.since.timestamp() + 1


def holders(folder: Path) -> list[Holder]:
    """Return everybody who holds a lock in a stack's lock folder, the dead too."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # released meanwhile
            found.append(_read(path))
    return found


def acquire(folder: Path) -> tuple[Path, list[Holder], list[Holder]]:
    """Try to take the lock of a stack.

    Returns the lock's file, the live holders that stand in the way (then nothing was taken) and the dead
    whose locks were cleared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / f"{uuid.uuid4()}.json"
    with _exclusive(folder.parent):
        others = holders(folder)
        dead = [holder for holder in others if holder.is_dead()]
        for holder in dead:
            holder.path.unlink(missing_ok=True)
        alive = [holder for holder in others if holder not in dead]
        if not alive:
            _write(own)
            # The official engine does not take part in the exclusion above: look again, as it does.
            alive = [holder for holder in holders(folder) if holder.path != own]
            if alive:
                own.unlink()
    return own, alive, dead


def _read(path: Path) -> Holder:
    content = path.read_text()
    try:
        data = json.loads(content)
        return Holder(
            path,
            data["username"],
            data["hostname"],
            int(data["pid"]),
            datetime.fromisoformat(data["timestamp"]),
        )
    except (ValueError, KeyError, TypeError):  # half-written by a process that died: nobody can own it
        return Holder(path, "unknown", socket.gethostname(), 0, datetime.now(UTC))


def _write(path: Path) -> None:
    content = {
        "pid": os.getpid(),
        "username": getpass.getuser(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(),
    }
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content))
    draft.rename(path)


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let one embedded engine at a time look and write: two that start together must not both be refused."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _process_start(pid: int) -> float | None:
    """Return when a process of this host started (seconds since the epoch), None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else boot + int(fields[19]) / _CLOCK_TICKS
