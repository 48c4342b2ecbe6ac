"""The answers that the bench reads: many jobs, told alike in columns and by ``squeue --json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import squeue_json
from bench.poll import answers, operator
from bench.poll.measure import JSON, OPERATOR, polls
from operators.sites.slurm.parse import parse_tres

JOBS = 200


def test_both_answers_tell_of_the_same_jobs() -> None:
    rows = operator.read(answers.columns(JOBS))
    told = json.loads(answers.document(JOBS))["jobs"]
    assert len(rows) == len(told) == JOBS
    for row, job in zip(rows, told, strict=True):
        assert (row.id, row.name, row.comment) == (job["job_id"], job["name"], job["comment"])
        assert (row.project, row.partition, row.user) == (job["account"], job["partition"], job["user_name"])
        assert (row.raw_state, row.submitted) == (job["job_state"], job["submit_time"])
        assert (row.started or row.start_estimate) == job["start_time"]
        assert row.limit == job["time_limit"] * 60
        assert row.resources == parse_tres(job["tres_alloc_str"])


def test_the_jobs_differ_and_half_of_them_wait_in_their_order() -> None:
    rows = operator.read(answers.columns(JOBS))
    assert len({row.id for row in rows}) == len({row.name for row in rows}) == JOBS
    assert len({row.resources for row in rows}) > JOBS // 2
    assert [row.position for row in rows if row.state == "pending"] == list(range(1, JOBS // 2 + 1))


def test_the_peer_reads_all_jobs() -> None:
    rows = squeue_json.read(answers.document(JOBS))
    assert [row[0] for row in rows] == [row.id for row in operator.read(answers.columns(JOBS))]


def test_a_reading_is_of_a_process_of_its_own(tmp_path: Path) -> None:
    readings = list(polls(JOBS, tmp_path, runs=2, peer_runs=1))
    assert [reading.program for reading in readings] == [OPERATOR, OPERATOR, JSON]
    for reading in readings:
        assert set(reading.figures) == {"seconds", "cpu_seconds", "peak_bytes", "answer_bytes"}
        assert all(value > 0 for value in reading.figures.values())
    assert readings[0].figures["answer_bytes"] == len(answers.columns(JOBS))
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_reads_too_few_jobs_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = (lambda jobs: answers.columns(jobs - 1), "bench.poll.operator")
    monkeypatch.setattr("bench.poll.measure._PROGRAMS", {OPERATOR: short, JSON: short})
    with pytest.raises(RuntimeError, match="read 199 of 200 jobs"):
        list(polls(JOBS, tmp_path, runs=1, peer_runs=0))
