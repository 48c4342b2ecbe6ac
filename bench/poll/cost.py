"""What a poll costs the process that reads its answer; told as a line of JSON."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sized
from pathlib import Path

GARBAGE = 50_000
"""As the operator sets it for itself."""


def tell_cost(read: Callable[[bytes], Sized], ask: Callable[[Path], Sized]) -> None:
    """Of what the command line names: an answer in a file, which is ``read`` from memory, or a site that is
    up in a folder, which is asked. Until there is a row a job.
    """
    gc.set_threshold(GARBAGE)
    where = Path(sys.argv[1])
    answer = None if where.is_dir() else where.read_bytes()
    began, cpu = time.perf_counter(), _cpu_seconds()
    rows = ask(where) if answer is None else read(answer)
    told = {
        "rows": len(rows),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": _cpu_seconds() - cpu,
        "peak_bytes": _peak(),
    }
    if answer is not None:
        told["answer_bytes"] = len(answer)
    print(json.dumps(told))


def _cpu_seconds() -> float:
    """Of this process and of those that it began, as far as they have ended."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if not found:
        raise OSError("/proc tells no VmHWM: this needs Linux")
    return int(found[1]) * 1024
