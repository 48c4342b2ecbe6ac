"""The measurement: a process of its own for each reading, so that none has the memory of another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Reading
from bench.poll import answers
from bench.poll.live import slurm_with_jobs
from bench.programs import cpu_seconds
from infra.paths import REPOSITORY

POLL, LIVE = "poll", "poll, live"
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


def live_polls(jobs: int, folder: Path, runs: int, peer_runs: int) -> Iterator[Reading]:
    """The same of a real Slurm on this host, and what it costs the site: slurmctld, sshd and the commands."""
    with slurm_with_jobs(folder / "slurm", jobs) as slurm:
        daemons = [slurm.processes[name].pid for name in ("slurmctld", "sshd")]
        for program, times in ((OPERATOR, runs), (JSON, peer_runs)):
            for _ in range(times):
                before = sum(cpu_seconds(pid, children=True) for pid in daemons)
                figures = _figures(_PROGRAMS[program][1], slurm.folder, jobs)
                figures["site_cpu_seconds"] = sum(cpu_seconds(pid, children=True) for pid in daemons) - before
                yield Reading(LIVE, program, jobs, figures)


def _figures(module: str, where: Path, jobs: int) -> dict[str, float]:
    argv = [sys.executable, "-m", module, str(where)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr.strip()}")
    told: dict[str, float] = json.loads(done.stdout)
    if (rows := told.pop("rows")) != jobs:
        raise RuntimeError(f"{module} read {rows} of {jobs} jobs")
    return told
