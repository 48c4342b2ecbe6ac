"""The processes that the engine starts: the program and the providers. None outlives the engine."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_GRACE = 5.0  # seconds from asking a process to end to killing it
_LAST_WORDS = 1.0  # seconds to hear what a process that ended still had to say


class Process:
    """A child whose output is heard line by line.

    It has a session of its own, so that Ctrl-C reaches the engine alone, and dies with the thread that made
    it, which no kill of the engine can prevent.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        directory: Path,
        environ: Mapping[str, str],
        hear: Callable[[str], None],
    ) -> None:
        lifeline = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._child = subprocess.Popen(
            [*lifeline, *arguments],
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._hear = hear
        self._ears: list[threading.Thread] = []
        self._listen(self._child.stderr)

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._child.poll()

    def first_line(self) -> str:
        """Wait for the first line on stdout and return it; the rest is heard."""
        line = self._child.stdout.readline().strip() if self._child.stdout else ""
        self._listen(self._child.stdout)
        return line

    def wait(self) -> int:
        """Hear stdout too and wait for the end; returns the exit status."""
        self._listen(self._child.stdout)
        status = self._child.wait()
        for ear in self._ears:
            ear.join(_LAST_WORDS)
        return status

    def ask_to_end(self) -> None:
        """Send the polite signal."""
        self._child.terminate()

    def stop(self) -> None:
        """End the process, the hard way if it must be."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _listen(self, stream: IO[str] | None) -> None:
        def pump() -> None:
            for line in stream or ():
                if line.strip():
                    self._hear(line.rstrip("\n"))

        ear = threading.Thread(target=pump, daemon=True)
        ear.start()
        self._ears.append(ear)
