"""Figures of single Jobs."""

from __future__ import annotations

import pytest

from tests.unit.rig import START, Rig, ended, job, partner, running, template, workload


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "ledger.sqlite").lists(**partner("a"))


def test_a_job_tells_who_it_is_and_what_it_asks_for(rig):
    rig.apply("jobs", job("train", gpus=2, created=7, parallelism=3, owner=("CronJob", "nightly")))
    of = {"site": "local", "namespace": "tenant-a", "job_name": "train"}
    info = rig.figure(
        "antenna_job_info", **of, uid="uid-train", queue="cq-a", tenant="a", owner="CronJob/nightly"
    )
    assert info == 1
    assert rig.figure("antenna_job_state", **of, state="pending") == 1
    assert rig.figure("antenna_job_gpus", **of) == 6
    assert rig.figure("antenna_job_cpu_cores", **of) == 4.5
    assert rig.figure("antenna_job_memory_bytes", **of) == 6 * 2**30
    assert rig.figure("antenna_job_created_timestamp_seconds", **of) == START + 7
    assert rig.figure("antenna_job_restarts", **of) == 0
    assert rig.figure("antenna_job_evictions", **of) == 0


def test_what_has_not_happened_has_no_time(rig):
    rig.apply("jobs", job("train"))
    for moment in ("admitted", "started", "finished"):
        assert rig.shown(f"antenna_job_{moment}_timestamp_seconds") == {}


def test_a_jobs_moments_show_as_they_come(rig):
    rig.apply("workloads", workload("train", admitted=5, evictions={"Preempted": 2, "NodeFailures": 1}))
    rig.apply("jobs", running("train", started=6))
    assert rig.figure("antenna_job_admitted_timestamp_seconds", job_name="train") == START + 5
    assert rig.figure("antenna_job_started_timestamp_seconds", job_name="train") == START + 6
    assert rig.figure("antenna_job_evictions", job_name="train") == 3
    rig.apply("jobs", ended("train", started=6, at=20, outcome="Failed", failed=2))
    assert rig.figure("antenna_job_finished_timestamp_seconds", job_name="train") == START + 20
    assert rig.figure("antenna_job_restarts", job_name="train") == 2
    assert rig.figure("antenna_job_state", job_name="train", state="failed") == 1


def test_a_job_that_is_gone_leaves_no_series(rig):
    rig.apply("jobs", job("train"))
    rig.delete("jobs", job("train"))
    assert rig.shown("antenna_job_info") == rig.shown("antenna_job_state") == {}


def test_admission_for_fewer_pods_counts(rig):
    rig.apply("jobs", running("train", gpus=1, parallelism=4))
    rig.apply("workloads", workload("train", gpus=1, pods=2, admitted=1))
    assert rig.figure("antenna_job_gpus", job_name="train") == 2


def test_no_more_pods_count_than_completions(rig):
    rig.apply("jobs", job("train", gpus=1, parallelism=8, completions=3))
    assert rig.figure("antenna_job_gpus", job_name="train") == 3


def test_init_containers_and_sidecars_count_as_the_scheduler_counts_them(rig):
    def container(gpus, **others):
        return {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}, **others}

    pods = template(1)
    pods["spec"]["initContainers"] = [container(1, restartPolicy="Always"), container(4)]
    rig.apply("jobs", job("train", template=pods))
    assert rig.figure("antenna_job_gpus", job_name="train") == 5
