"""The bench's polls of a real Slurm: both programs read every job, and what it costs the site is told."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from bench.poll.measure import JSON, OPERATOR, live_polls
from tests.remote.packages import missing

JOBS = 50


def test_a_live_poll_reads_every_job_of_a_slurm_of_its_own() -> None:
    if lack := missing():
        pytest.skip(lack)
    folder = Path(tempfile.mkdtemp(prefix="antenna-poll-"))
    try:
        readings = list(live_polls(JOBS, folder, runs=1, peer_runs=1))
    finally:
        shutil.rmtree(folder)
    assert [reading.program for reading in readings] == [OPERATOR, JSON]
    for reading in readings:
        assert set(reading.figures) == {"seconds", "cpu_seconds", "peak_bytes", "site_cpu_seconds"}
        assert all(value > 0 for value in reading.figures.values())
