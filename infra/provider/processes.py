"""Processes of this host, read from /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def parents() -> dict[int, int]:
    """Process id -> its parent's, of every process now running."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name, field 2, may hold spaces and brackets; the parent is the second after it.
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def commands() -> dict[int, str]:
    """Process id -> its command line, of every process but this one."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(entry.name)] = line.strip()
    return found


def descendants(ancestor: int, parent_of: dict[int, int]) -> set[int]:
    """The processes below ``ancestor``. Pure. A detached process hangs below init, so it is not one."""
    found = {ancestor}
    while more := {pid for pid, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def end_descendants(ancestor: int) -> None:
    """Kill what ``ancestor`` started and did not detach."""
    kill(descendants(ancestor, parents()))


def kill(pids: Iterable[int]) -> None:
    """Kill them; one that is gone already is fine."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
