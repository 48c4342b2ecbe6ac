"""Runs programs of the host; a failure becomes one message with the program's own words."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from infra.provider.kind import ProviderError

TAIL_LINES = 8


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> str:
    """Standard output of ``argv``. Raises ProviderError on a non-zero exit or after ``timeout`` seconds."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise ProviderError(f"{argv[0]} is not installed; `antenna doctor` names the package") from None
    except subprocess.TimeoutExpired:
        raise ProviderError(f"`{' '.join(argv)}` did not end within {timeout:.0f} s") from None
    if done.returncode:
        raise ProviderError(f"`{' '.join(argv)}` failed: {tail(done.stderr or done.stdout)}")
    return done.stdout


def tail(text: str) -> str:
    """The last lines of a program's output, which hold the reason."""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:]) or "it gave no reason"
