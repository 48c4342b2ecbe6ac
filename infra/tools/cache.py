"""Makes a folder of the cache once: whole or not at all, whoever asks, whenever it is interrupted."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def make_once(
    target: Path, name: str, make: Callable[[Path, int], None], waiting: Callable[[str], None]
) -> Path:
    """``target``, after ``make(scratch, lock)`` has filled it if it was not there.

    ``name`` is what is made: one making of it at a time, on this machine. What a killed process left
    half made is cleared first. ``lock`` is the open file that holds the lock: a child process that
    inherits it keeps others out until it has ended too. ``waiting`` is told who is waited for.
    """
    if target.is_dir():
        return target
    with scratch_folder(target.parent, name, waiting) as (scratch, lock):
        if not target.is_dir():
            make(scratch, lock)
            _flush(scratch)
            scratch.rename(target)
    return target


@contextmanager
def scratch_folder(parent: Path, name: str, waiting: Callable[[str], None]) -> Iterator[tuple[Path, int]]:
    """An empty hidden folder of ``parent``, for one at a time, with the lock as in ``make_once``. It is gone
    when left, and when the next one comes where a process was killed.
    """
    locks = parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with _exclusive(locks / name, waiting) as lock:
        scratch = parent / f".{name}.making"
        _remove(scratch)
        scratch.mkdir()
        try:
            yield scratch, lock
        finally:
            _remove(scratch)


@contextmanager
def _exclusive(path: Path, waiting: Callable[[str], None]) -> Iterator[int]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode() or "another process"
            waiting(f"waiting for {holder}, which makes it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}".encode(), 0)
        yield lock
    finally:
        os.close(lock)


def _flush(folder: Path) -> None:
    """To the disk, so that after a power cut a folder that is there is whole."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
