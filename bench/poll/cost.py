"""What reading an answer costs the process that reads it; told as a line of JSON."""

from __future__ import annotations

import gc
import json
import re
import sys
import time
from collections.abc import Callable, Sized
from pathlib import Path

GARBAGE = 50_000
"""As the operator sets it for itself."""


def tell_cost(read: Callable[[bytes], Sized]) -> None:
    """Of the file that the command line names, from its bytes in memory until there is a row a job."""
    gc.set_threshold(GARBAGE)
    answer = Path(sys.argv[1]).read_bytes()
    began, cpu = time.perf_counter(), time.process_time()
    rows = read(answer)
    told = {
        "rows": len(rows),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": _peak(),
        "answer_bytes": len(answer),
    }
    print(json.dumps(told))


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if not found:
        raise OSError("/proc tells no VmHWM: this needs Linux")
    return int(found[1]) * 1024
