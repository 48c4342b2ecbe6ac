"""The cgroup tree of each machine: antenna/<stack>/<machine> in every hierarchy of this host.

A host has version 1 controllers (a folder each), or version 2 alone (one folder for all). The
machine's init and all that it starts live below that folder, so it is also how they are found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tenacity import retry, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

ROOT = Path("/sys/fs/cgroup")
TOP = "antenna"

KILL_SECONDS = 10
"""How long killed processes may take to be gone."""


def hierarchies() -> list[Path]:
    """The mount points: one a version 1 controller, or the single version 2 tree."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(p for p in ROOT.iterdir() if not p.is_symlink() and (p / "cgroup.procs").exists())


def folders(stack: str, machine: str) -> list[Path]:
    """The machine's folder in each hierarchy, there or not."""
    return [h / TOP / stack / machine for h in hierarchies()]


# Another machine of the stack, going at this moment, takes those above along while they are empty.
@retry(
    retry=retry_if_exception_type((FileNotFoundError, FileExistsError)),
    wait=wait_fixed(0.02),
    stop=stop_after_delay(5),
    reraise=True,
)
def make(stack: str, machine: str) -> list[Path]:
    """Make the machine's folders, ready to take processes."""
    made = folders(stack, machine)
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
        hierarchy = folder.parents[2]
        for level in (folder.parents[1], folder.parent, folder):
            if hierarchy == ROOT:
                _delegate(level.parent)
            elif (level / "cpuset.cpus").exists():
                # A cpuset that is empty takes no process; a new one starts empty.
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    if not (level / setting).read_text().strip():
                        (level / setting).write_text((level.parent / setting).read_text())
    return made


def _delegate(folder: Path) -> None:
    controllers = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in controllers))


def processes(stack: str, machine: str) -> set[int]:
    """Every process of the machine, as this host numbers them."""
    return {pid for folder in folders(stack, machine) for pid in _below(folder)}


def kill(stack: str, machine: str) -> set[int]:
    """Kill every process of the machine; returns those that would not go in time."""

    @retry(
        retry=retry_if_result(bool),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(KILL_SECONDS),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else set(),
    )
    def kill_all() -> set[int]:
        alive = processes(stack, machine)
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return alive

    left: set[int] = kill_all()
    return left


def remove(stack: str, machine: str) -> None:
    """Remove the machine's folders, and those above that it was the last to use."""
    for folder in folders(stack, machine):
        for path in sorted(_tree(folder), key=lambda p: -len(p.parts)):
            _remove_empty(path)
        for parent in (folder.parent, folder.parent.parent):
            with suppress(OSError):
                parent.rmdir()


def traces(stack: str) -> list[Path]:
    """The stack's folders that are there, deepest last."""
    return [p for h in hierarchies() for p in sorted(_tree(h / TOP / stack))]


@retry(wait=wait_fixed(0.05), stop=stop_after_delay(3), reraise=True)
def _remove_empty(path: Path) -> None:
    # The kernel says "busy" for a moment after the last process is gone.
    with suppress(FileNotFoundError):
        path.rmdir()


def _below(folder: Path) -> Iterator[int]:
    for path in _tree(folder):
        with suppress(OSError):
            yield from (int(line) for line in (path / "cgroup.procs").read_text().split())


def _tree(folder: Path) -> Iterator[Path]:
    for path, _, _ in os.walk(folder):
        yield Path(path)
