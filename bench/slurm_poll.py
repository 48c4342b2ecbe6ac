"""Reading a poll of a remote Slurm: the operator's own columns, and ``squeue --json`` read by json beside it.

Both are made from jobs that a real Slurm 22.05 told of, as often as there are to be jobs, each with an id,
name and times of its own. Nothing is asked of a Slurm: what is measured is what a poll costs this side.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import Reading
from operators.sites.slurm import commands, parse

TOKEN = "x0123456789abcdef01234567"  # noqa: S105 (between fields, no secret)
RECORDED = Path(__file__).parent / "recorded" / "squeue_job.json"
"""One job of ``squeue --json``."""


def slurm_poll(jobs: int, runs: int, peer_runs: int) -> Iterator[Reading]:
    """Of so many jobs, half of them waiting: until there is a row for each."""
    columns, waiting = _columns(jobs)
    yield from _timed(
        "operator",
        jobs,
        runs,
        len(columns) + len(waiting),
        lambda: parse.parse_queue(columns, waiting, TOKEN),
    )
    if not peer_runs:
        return
    document = _document(jobs)
    yield from _timed("squeue --json", jobs, peer_runs, len(document), lambda: _rows(document))


def _timed(
    program: str, jobs: int, runs: int, length: int, read: Callable[[], list[Any]]
) -> Iterator[Reading]:
    for _ in range(runs):
        began, cpu = time.perf_counter(), _cpu()
        rows = read()
        seconds, spent = time.perf_counter() - began, _cpu() - cpu
        if len(rows) != jobs:
            raise AssertionError(f"{program}: {len(rows)} rows of {jobs} jobs")
        yield Reading(
            "slurm poll",
            program,
            jobs,
            {"seconds": seconds, "cpu_seconds": spent, "answer_bytes": length},
        )


def _columns(jobs: int) -> tuple[bytes, bytes]:
    rows, places = [commands.heads(commands.SQUEUE_FIELDS)], [commands.heads(commands.PENDING_FIELDS)]
    for job in range(1000, 1000 + jobs):
        waits = job % 2
        rows.append(
            (
                *(str(job), f"antenna-{job:012x}", f"antenna kul/{job}", f"project_46500{job % 23:04}"),
                *("small-g", f"user{job % 50}", "PENDING" if waits else "RUNNING"),
                *(str(1_760_000_000 + job), str(1_760_000_100 + job), str(1_760_003_700 + job), "1"),
                f"cpu={job % 7 + 1},mem={8 * (job % 7 + 1)}G,node=1,billing={job % 7 + 1},gres/gpu={job % 8}",
                "Priority" if waits else "None",
            )
        )
        if waits:
            places.append((str(job), "small-g"))
    return _table(rows), _table(places)


def _table(rows: list[tuple[str, ...]]) -> bytes:
    return "".join("".join(f"{field}{TOKEN}" for field in row) + "\n" for row in rows).encode()


def _document(jobs: int) -> bytes:
    """``squeue --json`` of them."""
    recorded = json.loads(RECORDED.read_text())
    told = (json.dumps({**recorded, "job_id": job, "name": f"antenna-{job:012x}"}) for job in range(jobs))
    return ('{"meta": {}, "errors": [], "jobs": [' + ",".join(told) + "]}").encode()


def _rows(document: bytes) -> list[tuple[Any, ...]]:
    """The few fields of each job that the operator reads."""
    wanted = ("job_id", "name", "comment", "account", "partition", "user_name", "job_state", "submit_time")
    more = ("start_time", "end_time", "tres_alloc_str", "tres_req_str", "state_reason")
    return [tuple(job.get(key) for key in (*wanted, *more)) for job in json.loads(document)["jobs"]]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
