"""Processes of this host, read from /proc."""

from __future__ import annotations

import os
import signal
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


def descendants(ancestor: int, parent_of: dict[int, int]) -> set[int]:
    """The processes below ``ancestor``. Pure. A detached process hangs below init, so it is not one."""
    found = {ancestor}
    while more := {pid for pid, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def end_descendants(ancestor: int) -> None:
    """Kill what ``ancestor`` started and did not detach."""
    for pid in descendants(ancestor, parents()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
