"""The log of one command: everything that happened, with times and full traces."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

KEPT = 50


class RunLog:
    """Lines are held in memory until ``open``: a command that touches nothing leaves no file either."""

    def __init__(self, folder: Path, verb: str) -> None:
        self.path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{verb}.log"
        self._held: list[str] = []
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    @property
    def opened(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    def open(self) -> None:
        """Make the file, and drop the oldest of too many. A second call does nothing."""
        with self._lock:
            if self._file is not None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for old in sorted(self.path.parent.glob("[0-9]*-*.log"))[: -KEPT + 1]:
                old.unlink(missing_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
            self._file.writelines(self._held)
            self._file.flush()
            self._held.clear()

    def write(self, text: str) -> None:
        """One entry, stamped with the time in UTC."""
        line = f"{datetime.now(UTC):%H:%M:%S.%f} {text}\n"
        with self._lock:
            if self._file is None:
                self._held.append(line)
            else:
                self._file.write(line)
                self._file.flush()
