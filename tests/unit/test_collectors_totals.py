"""Counters and histograms: each job once, whatever comes in which order, and never less after a restart."""

from __future__ import annotations

import pytest

from tests.unit.rig import Rig, deleted, ended, job, orphaned, partner, running, workload

PLACE = {"site": "local", "queue": "cq-a", "tenant": "a"}
ACCOUNT = {"site": "local", "tenant": "a", "sector": "agri-food", "ecosystem": "wallonia"}


@pytest.fixture
def start(tmp_path):
    """Starts an operator on the same ledger each time."""

    def begin(**objects):
        return Rig(tmp_path / "ledger.sqlite").lists(**partner("a"), **objects)

    return begin


def finished(rig, outcome):
    return rig.figure("antenna_jobs_finished_total", **PLACE, outcome=outcome)


def through(rig, name, *, gpus=2, admitted=10, at=40):
    """A job from its creation to its end."""
    rig.apply("jobs", job(name, gpus=gpus))
    rig.apply("workloads", workload(name, gpus=gpus, admitted=admitted))
    rig.apply("jobs", running(name, gpus=gpus, started=admitted))
    last = ended(name, gpus=gpus, started=admitted, at=at)
    rig.apply("jobs", last)
    over = workload(name, gpus=gpus, admitted=admitted, finished=True)
    rig.apply("workloads", over)
    return last, over


def test_a_new_queue_shows_counters_of_zero(start):
    rig = start()
    rig.commit()
    assert [finished(rig, o) for o in ("succeeded", "failed", "cancelled")] == [0, 0, 0]
    assert rig.figure("antenna_jobs_restarted_total", **PLACE) == 0
    assert rig.figure("antenna_jobs_preempted_total", **PLACE) == 0


def test_nothing_is_shown_that_is_not_on_disk(start):
    rig = start()
    through(rig, "one")
    assert finished(rig, "succeeded") is None
    rig.commit()
    assert finished(rig, "succeeded") == 1


def test_a_finished_job_is_counted_once(start):
    rig = start()
    last, over = through(rig, "one")
    rig.apply("jobs", last)
    rig.apply("workloads", over)
    rig.delete("jobs", last)
    rig.delete("workloads", over)
    rig.commit()
    assert finished(rig, "succeeded") == 1


def test_waits_and_runs_are_observed_once_in_their_buckets(start):
    rig = start()
    through(rig, "one", admitted=10, at=70)
    rig.commit()
    for family, seconds in (("antenna_job_wait_seconds", 10), ("antenna_job_run_seconds", 60)):
        assert rig.figure(f"{family}_count", **PLACE) == 1
        assert rig.figure(f"{family}_sum", **PLACE) == seconds
    assert rig.figure("antenna_job_wait_seconds_bucket", **PLACE, le="5.0") == 0
    assert rig.figure("antenna_job_wait_seconds_bucket", **PLACE, le="15.0") == 1
    assert rig.figure("antenna_job_run_seconds_bucket", **PLACE, le="60.0") == 1
    assert rig.figure("antenna_job_run_seconds_bucket", **PLACE, le="15.0") == 0


def test_the_first_admission_ends_the_wait_though_the_job_is_put_back(start):
    rig = start()
    rig.apply("jobs", job("one"))
    rig.apply("workloads", workload("one", admitted=10))
    rig.apply("workloads", workload("one", waits="x", past=5, evictions={"Preempted": 1}))
    rig.apply("workloads", workload("one", admitted=100, past=5, evictions={"Preempted": 1}))
    rig.commit()
    assert rig.figure("antenna_job_wait_seconds_sum", **PLACE) == 10
    assert rig.figure("antenna_job_wait_seconds_count", **PLACE) == 1


def test_evictions_are_counted_by_reason_and_preemptions_on_their_own(start):
    rig = start()
    rig.apply("jobs", job("one"))
    rig.apply("workloads", workload("one", waits="x", evictions={"Preempted": 2, "NodeFailures": 1}))
    rig.apply("workloads", workload("one", waits="x", evictions={"Preempted": 3, "Invented": 1}))
    rig.commit()
    by_reason = {dict(s)["reason"]: v for s, v in rig.shown("antenna_jobs_evicted_total").items()}
    assert by_reason == {"Preempted": 3, "NodeFailures": 1, "Other": 1}
    assert rig.figure("antenna_jobs_preempted_total", **PLACE) == 3


def test_failed_pods_are_restarts(start):
    rig = start()
    rig.apply("jobs", running("one"))
    rig.apply("jobs", job("one", suspend=False, status={"failed": 2, "ready": 1}))
    rig.commit()
    assert rig.figure("antenna_jobs_restarted_total", **PLACE) == 2


def test_gpu_seconds_grow_while_a_job_runs_and_end_with_it(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=2, started=10))
    rig.apply("workloads", workload("one", gpus=2, admitted=10))
    rig.now = 22
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * (22 - 2 - 10)
    rig.now = 31
    rig.apply("jobs", ended("one", gpus=2, started=10, at=30))
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 40
    rig.now = 500
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 40


def test_time_before_an_eviction_counts(start):
    rig = start()
    rig.apply("jobs", job("one", gpus=3))
    rig.apply("workloads", workload("one", gpus=3, admitted=0))
    rig.now = 9
    rig.apply("workloads", workload("one", gpus=3, waits="x", past=7))
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 21
    rig.apply("workloads", workload("one", gpus=3, admitted=50, past=7))
    rig.apply("jobs", ended("one", gpus=3, started=50, at=60))
    rig.now = 70
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 3 * 17


def test_a_job_that_loses_its_workload_keeps_what_it_has_used(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=1))
    rig.apply("workloads", workload("one", admitted=0))
    rig.now = 30
    rig.delete("workloads", workload("one", admitted=0))
    rig.apply("jobs", job("one"))
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 30


def test_a_job_that_is_deleted_before_its_end_is_cancelled(start):
    rig = start()
    rig.apply("jobs", job("waiting"), running("running", gpus=2, started=5))
    rig.apply("workloads", workload("running", gpus=2, admitted=5))
    rig.now = 25
    rig.delete("jobs", job("waiting"), running("running", gpus=2, started=5))
    rig.commit()
    assert finished(rig, "cancelled") == 2
    assert rig.shown("antenna_job_run_seconds_count") == {}
    rig.now = 500
    rig.delete("workloads", orphaned("running", gpus=2, admitted=5, at=26))
    rig.commit()
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * 21
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 21


def test_of_two_times_at_which_a_deleted_job_was_over_the_earlier_counts_though_it_is_told_later(start):
    """The garbage collector begins to delete the Workload while Kueue says that its owner is gone."""
    rig = start()
    given = {"gpus": 2, "admitted": 5}
    rig.apply("jobs", running("one", gpus=2, started=5))
    rig.apply("workloads", workload("one", **given))
    rig.now = 25
    rig.delete("jobs", running("one", gpus=2, started=5))
    rig.apply("workloads", deleted(workload("one", **given), at=27))
    rig.now = 28
    rig.commit()
    rig.apply("workloads", deleted(orphaned("one", at=26, **given), at=27))
    rig.commit()
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 21
    rig.delete("workloads", deleted(orphaned("one", at=26, **given), at=27))
    rig.now = 500
    rig.commit()
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 21
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * 21


def test_the_end_of_a_job_counts_though_its_workload_is_told_gone_before(start):
    """Streams are not of one pace: a Job that ends and goes at once may be told of after its Workload."""
    rig = start()
    rig.apply("jobs", running("one", gpus=2, started=5))
    rig.apply("workloads", workload("one", gpus=2, admitted=5))
    rig.now = 28
    rig.delete("workloads", deleted(workload("one", gpus=2, admitted=5, finished=True), at=27))
    rig.apply("jobs", ended("one", gpus=2, started=5, at=25))
    rig.delete("jobs", ended("one", gpus=2, started=5, at=25))
    rig.now = 500
    rig.commit()
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 20
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * 20


def test_a_job_beside_all_queues_runs_from_its_start(start):
    rig = start()
    rig.apply("jobs", ended("one", queue="", gpus=1, started=10, at=25))
    rig.commit()
    assert rig.figure("antenna_job_run_seconds_sum", tenant="a", queue="") == 15
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 15


@pytest.mark.parametrize("gone", [False, True])
def test_a_restart_changes_no_total(start, gone):
    rig = start()
    last, over = through(rig, "one", admitted=10, at=70)
    rig.apply("jobs", running("two", gpus=1, started=20))
    rig.apply("workloads", workload("two", gpus=1, admitted=20, evictions={"Preempted": 1}))
    rig.now = 100
    if gone:
        rig.delete("jobs", last)
        rig.delete("workloads", over)
    rig.commit()
    before = totals(rig)
    there = {
        "jobs": [running("two", gpus=1, started=20), *([] if gone else [last])],
        "workloads": [
            workload("two", gpus=1, admitted=20, evictions={"Preempted": 1}),
            *([] if gone else [over]),
        ],
    }
    for _ in range(3):
        again = start(**there)
        again.now = 100
        again.commit()
        assert totals(again) == before


def test_work_that_went_while_the_operator_was_down_counts_until_it_was_last_seen(start):
    rig = start()
    through(rig, "one", at=40)
    rig.apply("jobs", running("two", gpus=2, started=50))
    rig.apply("workloads", workload("two", gpus=2, admitted=50))
    rig.now = 80
    rig.commit()
    before = rig.figure("antenna_gpu_seconds_total", **ACCOUNT)
    again = start()
    again.now = 500
    again.commit()
    assert (finished(again, "succeeded"), finished(again, "unknown")) == (1, 1)
    assert finished(again, "cancelled") == 0
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == before
    assert again.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * 30 + 2 * (80 - 50)


def test_a_partner_that_changes_its_sector_keeps_what_was_counted_under_the_old_one(start, tmp_path):
    rig = start()
    last, over = through(rig, "one")
    rig.commit()
    moved = partner("a", sectors="construction")
    again = Rig(tmp_path / "ledger.sqlite").lists(**moved, jobs=[last], workloads=[over])
    through(again, "two")
    again.commit()
    assert again.figure("antenna_gpu_seconds_total", **ACCOUNT) == 60
    assert again.figure("antenna_gpu_seconds_total", tenant="a", sector="construction") == 60


def test_a_run_counts_once_no_other_admission_can_follow(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=1, started=10))
    rig.apply("workloads", workload("one", admitted=10))
    # It was put back and admitted again, and ended: its Job tells first.
    rig.apply("jobs", ended("one", started=50, at=60))
    rig.commit()
    assert rig.shown("antenna_job_run_seconds_sum") == {}
    rig.apply("workloads", workload("one", waits="x", past=5, evictions={"Preempted": 1}))
    rig.apply("workloads", workload("one", admitted=50, past=5, evictions={"Preempted": 1}))
    rig.apply("workloads", workload("one", admitted=50, past=5, evictions={"Preempted": 1}, finished=True))
    rig.commit()
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 10
    assert rig.figure("antenna_job_run_seconds_count", **PLACE) == 1


def test_a_job_that_went_before_kueue_saw_its_end_has_run(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=1, started=10))
    rig.apply("workloads", workload("one", admitted=10))
    last = ended("one", started=10, at=60)
    rig.delete("jobs", last)
    rig.delete("workloads", orphaned("one", admitted=10, at=61))
    rig.commit()
    assert (finished(rig, "succeeded"), finished(rig, "cancelled")) == (1, 0)
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 50


def test_a_job_that_is_deleted_after_its_workload_has_run(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=1, started=10))
    rig.apply("workloads", workload("one", admitted=10))
    rig.now = 40
    rig.delete("workloads", deleted(workload("one", admitted=10), at=30))
    rig.delete("jobs", deleted(running("one", gpus=1, started=10), at=30))
    rig.commit()
    assert finished(rig, "cancelled") == 1
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 20
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 20


def test_a_second_workload_of_a_job_adds_to_the_first(start):
    rig = start()
    rig.apply("jobs", running("one", gpus=2, started=0))
    rig.apply("workloads", workload("one", gpus=2, admitted=0))
    rig.apply("workloads", workload("one", gpus=2, admitted=40, past=7, evictions={"Preempted": 2}))
    rig.delete(
        "workloads", deleted(workload("one", gpus=2, admitted=40, past=7, evictions={"Preempted": 2}), at=50)
    )
    second = workload("one", gpus=2, admitted=60, evictions={"Preempted": 1, "NodeFailures": 1})
    second["metadata"]["uid"] = "another"
    rig.apply("workloads", second)
    rig.apply("jobs", ended("one", gpus=2, started=60, at=65))
    rig.commit()
    by_reason = {dict(s)["reason"]: v for s, v in rig.shown("antenna_jobs_evicted_total").items()}
    assert by_reason == {"Preempted": 3, "NodeFailures": 1}
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * (7 + 10 + 5)
    assert rig.figure("antenna_job_wait_seconds_sum", **PLACE) == 0


def test_a_workload_that_kueue_makes_of_a_job_that_has_just_gone_counts(start):
    rig = start()
    rig.apply("jobs", job("one", gpus=2, created=5))
    rig.delete("jobs", job("one", gpus=2, created=5))
    rig.apply("workloads", workload("one", gpus=2, admitted=7))
    rig.delete("workloads", orphaned("one", gpus=2, admitted=7, at=8))
    rig.commit()
    assert finished(rig, "cancelled") == 1
    assert rig.figure("antenna_job_wait_seconds_sum", **PLACE) == 2
    assert rig.figure("antenna_job_run_seconds_sum", **PLACE) == 1
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2
    assert rig.ledger.present() == []


def test_a_job_that_went_without_a_workload_is_closed_after_a_minute(start):
    rig = start()
    rig.delete("jobs", job("one"))
    rig.commit()
    assert [entry.outcome for entry in rig.ledger.present()] == ["cancelled"]
    rig.now = 61
    rig.shown("antenna_queue_jobs")
    rig.commit()
    assert rig.ledger.present() == []
    assert finished(rig, "cancelled") == 1


def test_a_list_that_lacks_a_job_does_not_tell_how_it_ended(start):
    rig = start()
    rig.apply("jobs", job("one"))
    rig.relist("jobs")
    rig.commit()
    assert (finished(rig, "unknown"), finished(rig, "cancelled")) == (1, 0)


def totals(rig):
    names = (
        *("antenna_jobs_finished_total", "antenna_gpu_seconds_total", "antenna_jobs_restarted_total"),
        *("antenna_jobs_evicted_total", "antenna_jobs_preempted_total"),
        *("antenna_job_wait_seconds_bucket", "antenna_job_run_seconds_bucket"),
        *("antenna_job_wait_seconds_sum", "antenna_job_run_seconds_sum"),
    )
    return rig.all_shown(*names)
