"""The measurement: a process of its own for each reading, so that none has the memory of another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Reading
from bench.poll import answers
from infra.paths import REPOSITORY

POLL = "poll"
OPERATOR, JSON = "operator", "squeue --json by json"

# program -> what it reads, and who reads it.
_PROGRAMS: dict[str, tuple[Callable[[int], bytes], str]] = {
    OPERATOR: (answers.columns, "bench.poll.operator"),
    JSON: (answers.document, "bench.peers.squeue_json"),
}


def polls(jobs: int, folder: Path, runs: int, peer_runs: int) -> Iterator[Reading]:
    """Of a site with so many jobs of ours. Nothing is asked of a Slurm: it is this side's cost."""
    for program, times in ((OPERATOR, runs), (JSON, peer_runs)):
        if not times:
            continue
        made, module = _PROGRAMS[program]
        answer = folder / f"{module}.answer"
        answer.write_bytes(made(jobs))
        for _ in range(times):
            yield Reading(POLL, program, jobs, _figures(module, answer, jobs))
        answer.unlink()


def _figures(module: str, answer: Path, jobs: int) -> dict[str, float]:
    argv = [sys.executable, "-m", module, str(answer)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr.strip()}")
    told: dict[str, float] = json.loads(done.stdout)
    if (rows := told.pop("rows")) != jobs:
        raise RuntimeError(f"{module} read {rows} of {jobs} jobs")
    return told
