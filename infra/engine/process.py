"""The processes that the engine starts: the program and the providers. None outlives the engine."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO


def start(
    arguments: Sequence[str], directory: Path, environ: Mapping[str, str], output: Callable[[str], None]
) -> subprocess.Popen[str]:
    """Start a process whose stderr goes to `output` line by line; its stdout is left to the caller.

    It has a session of its own, so that Ctrl-C reaches the engine alone, and dies with the engine.
    """
    lifeline = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    process = subprocess.Popen(
        [*lifeline, *arguments],
        cwd=directory,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    forward(process.stderr, output)
    return process


def forward(stream: IO[str] | None, output: Callable[[str], None]) -> threading.Thread:
    """Send a stream's lines to `output` until it ends."""

    def pump() -> None:
        for line in stream or ():
            if line.strip():
                output(line.rstrip("\n"))

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    return thread


def stop(process: subprocess.Popen[str], grace: float = 5.0) -> None:
    """End a process: ask, wait `grace` seconds, kill."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
