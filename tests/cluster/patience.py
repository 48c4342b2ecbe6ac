"""Waiting for what a cluster does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], seconds: float = 120) -> float:
    """Seconds until it holds: is true, and raises no AssertionError. AssertionError after ``seconds``."""
    began = time.monotonic()
    while True:
        try:
            assert holds(), f"not within {seconds} s"
        except AssertionError:
            if time.monotonic() - began > seconds:
                raise
        else:
            return time.monotonic() - began
        time.sleep(0.2)
