"""Figures of queues: jobs by state, ages, reasons, and what is asked, held, promised and borrowed."""

from __future__ import annotations

import itertools

import pytest

from operators.reasons import PENDING_REASONS
from tests.unit.rig import START, Rig, ended, job, partner, running, workload

SHORT = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu"


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "ledger.sqlite")


def jobs(rig, state):
    return rig.figure("antenna_queue_jobs", queue="cq-a", tenant="a", state=state)


def test_a_queue_without_jobs_shows_zeros(rig):
    rig.lists(**partner("a"))
    assert {jobs(rig, s) for s in ("pending", "running", "succeeded", "failed", "cancelled")} == {0}
    assert rig.figure("antenna_queue_oldest_pending_age_seconds", queue="cq-a") == 0


def test_nothing_shows_before_all_that_it_depends_on_was_listed(rig):
    for stream, objects in partner("a").items():
        rig.apply(stream, *objects)
    rig.apply("jobs", job("one"))
    assert rig.shown("antenna_queue_jobs") == {}
    assert rig.shown("antenna_job_info") == {}


def test_a_job_is_counted_by_its_state_as_it_goes_on(rig):
    rig.lists(**partner("a"))
    rig.apply("jobs", job("one"))
    assert (jobs(rig, "pending"), jobs(rig, "running")) == (1, 0)
    rig.apply("jobs", job("one", suspend=False, status={"active": 1, "ready": 0}))
    assert (jobs(rig, "pending"), jobs(rig, "running")) == (1, 0), "admitted, but its pods are not ready"
    rig.apply("jobs", running("one"))
    assert (jobs(rig, "pending"), jobs(rig, "running")) == (0, 1)
    rig.apply("jobs", job("one"))
    assert (jobs(rig, "pending"), jobs(rig, "running")) == (1, 0), "put back into its queue"
    rig.apply("jobs", ended("one", at=9))
    assert (jobs(rig, "pending"), jobs(rig, "succeeded")) == (0, 1)
    rig.delete("jobs", ended("one", at=9))
    assert jobs(rig, "succeeded") == 0


def test_a_failed_and_a_deleted_job_have_states_of_their_own(rig):
    rig.lists(**partner("a"))
    going = job("two")
    going["metadata"]["deletionTimestamp"] = "2026-03-02T09:00:05Z"
    rig.apply("jobs", ended("one", at=3, outcome="Failed", failed=1), going)
    assert (jobs(rig, "failed"), jobs(rig, "cancelled")) == (1, 1)


def test_a_relist_forgets_what_is_gone(rig):
    rig.lists(**partner("a"), jobs=[job("one"), job("two")], workloads=[workload("one", waits=SHORT)])
    rig.lists(**partner("a"), jobs=[job("two")])
    assert jobs(rig, "pending") == 1
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == 0
    assert len(rig.shown("antenna_job_info")) == 1


def test_the_oldest_pending_job_tells_the_queues_age(rig):
    rig.lists(**partner("a"), jobs=[job("one", created=0), job("two", created=40)])
    rig.now = 100
    age = "antenna_queue_oldest_pending_age_seconds"
    assert rig.figure(age, queue="cq-a") == 100
    rig.apply("jobs", running("one"))
    assert rig.figure(age, queue="cq-a") == 60
    rig.apply("jobs", job("one", created=0))
    assert rig.figure(age, queue="cq-a") == 100
    rig.delete("jobs", job("one", created=0), job("two", created=40))
    assert rig.figure(age, queue="cq-a") == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"jobs": [job("one")]}, "BehindOthers"),
        ({"jobs": [job("one", queue="")]}, "Suspended"),
        ({"jobs": [job("one", queue="elsewhere")]}, "QueueMissing"),
        ({"jobs": [job("one")], "workloads": [workload("one", waits=SHORT)]}, "QuotaUsedUp"),
        ({"jobs": [job("one")], "workloads": [workload("one", admitted=1)]}, "Starting"),
        ({"jobs": [job("one", suspend=False)], "workloads": [workload("one", admitted=1)]}, "Starting"),
    ],
)
def test_a_pending_job_tells_why_in_a_word_of_a_known_set(rig, given, reason):
    rig.lists(**partner("a"), **given)
    ((labels, value),) = rig.shown("antenna_queue_pending_reason").items()
    assert (dict(labels)["reason"], value) == (reason, 1)
    assert reason in {known.value for known in PENDING_REASONS}


def test_a_pod_that_finds_no_node_tells_why_its_job_waits(rig):
    admitted = job("one", suspend=False, status={"active": 1})
    rig.lists(**partner("a"), jobs=[admitted], workloads=[workload("one", admitted=1)])
    pod = {
        "metadata": {
            "uid": "p",
            "ownerReferences": [{"kind": "Job", "name": "one", "uid": "uid-one", "controller": True}],
        },
        "status": {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
                }
            ],
        },
    }
    rig.apply("pods", pod)
    assert rig.figure("antenna_queue_pending_reason", reason="NodesFull") == 1
    rig.delete("pods", pod)
    assert rig.figure("antenna_queue_pending_reason", reason="NodesFull") == 0
    assert rig.figure("antenna_queue_pending_reason", reason="Starting") == 1


def test_a_queues_resources_follow_its_workloads(rig):
    rig.lists(**partner("a", gpus="2"))
    shown = {
        "antenna_queue_gpus_quota": 2,
        "antenna_queue_cpu_cores_quota": 8,
        "antenna_queue_memory_bytes_quota": 16 * 2**30,
    }
    assert {name: rig.figure(name, queue="cq-a", flavor="h100") for name in shown} == shown

    rig.apply("workloads", workload("one", gpus=3, pods=2, waits=SHORT))
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a", tenant="a") == 6
    assert rig.figure("antenna_queue_cpu_cores_requested", queue="cq-a") == 3
    assert rig.figure("antenna_queue_memory_bytes_requested", queue="cq-a") == 4 * 2**30
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a", flavor="h100") == 0

    rig.apply("workloads", workload("one", gpus=3, pods=2, admitted=1))
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == 6
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a", flavor="h100") == 6
    assert rig.figure("antenna_queue_cpu_cores_reserved", queue="cq-a", flavor="h100") == 3
    assert rig.figure("antenna_queue_memory_bytes_reserved", queue="cq-a", flavor="h100") == 4 * 2**30
    assert rig.figure("antenna_queue_gpus_borrowed", queue="cq-a", flavor="h100") == 4
    assert rig.figure("antenna_queue_cpu_cores_borrowed", queue="cq-a", flavor="h100") == 0
    assert rig.figure("antenna_queue_memory_bytes_borrowed", queue="cq-a", flavor="h100") == 0

    rig.apply("workloads", workload("one", gpus=3, pods=2, admitted=1, finished=True))
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == 0
    assert rig.figure("antenna_queue_gpus_borrowed", queue="cq-a", flavor="h100") == 0


def test_pods_that_are_over_give_their_part_of_the_quota_back(rig):
    rig.lists(**partner("a"))
    rig.apply(
        "workloads",
        workload("one", gpus=1, pods=4, admitted=1, reclaimablePods=[{"name": "main", "count": 3}]),
    )
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a", flavor="h100") == 1
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == 1


@pytest.mark.parametrize(("ended", "reserved"), [(3, 1), (4, 0)])
def test_quota_that_comes_after_some_pods_ended_is_for_the_others_and_the_job_is_as_large_as_ever(
    rig, ended, reserved
):
    """Put back into its queue and admitted again: the admission counts the pods that are left."""
    rig.lists(**partner("a"))
    again = workload("one", gpus=1, pods=4, admitted=1, reclaimablePods=[{"name": "main", "count": ended}])
    (given,) = again["status"]["admission"]["podSetAssignments"]
    given["count"] = 4 - ended
    given["resourceUsage"] = {
        "cpu": f"{1500 * (4 - ended)}m", "memory": f"{2 * (4 - ended)}Gi", "nvidia.com/gpu": str(4 - ended),
    }  # fmt: skip
    rig.apply("jobs", job("one"))
    rig.apply("workloads", again)
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a", flavor="h100") == reserved
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == reserved
    assert rig.figure("antenna_job_gpus", job_name="one") == 4


def test_work_that_is_switched_off_asks_for_nothing(rig):
    rig.lists(**partner("a"))
    off = workload("one", waits=SHORT)
    off["spec"]["active"] = False
    rig.apply("workloads", off)
    assert rig.figure("antenna_queue_gpus_requested", queue="cq-a") == 0


def test_a_queue_that_changes_hands_takes_its_figures_with_it(rig):
    rig.lists(**partner("a"), jobs=[job("one")], workloads=[workload("one", waits=SHORT)])
    (queue,), (namespace,) = partner("b")["clusterqueues"], partner("b")["namespaces"]
    queue["metadata"]["name"], namespace["metadata"]["name"] = "cq-a", "tenant-a"
    rig.apply("clusterqueues", queue)
    rig.apply("namespaces", namespace)
    assert rig.figure("antenna_queue_jobs", queue="cq-a", state="pending") == 1
    assert rig.figure("antenna_queue_jobs", tenant="b", state="pending") == 1
    assert rig.figure("antenna_queue_gpus_requested", tenant="b") == 1
    assert rig.figure("antenna_job_info", tenant="b") == 1


def test_a_queue_that_is_gone_leaves_no_series(rig):
    rig.lists(**partner("a"))
    rig.delete("clusterqueues", *partner("a")["clusterqueues"])
    assert rig.shown("antenna_queue_jobs") == rig.shown("antenna_queue_gpus_quota") == {}
    assert rig.shown("antenna_queue_oldest_pending_age_seconds") == {}


def test_what_a_user_writes_on_a_job_names_no_queue_and_no_tenant(rig):
    hostile = job("one", queue='x"} 1\nevil')
    hostile["metadata"]["labels"]["antenna.be/tenant"] = "somebody-else"
    rig.lists(**partner("a"), jobs=[hostile])
    ((labels, _),) = [(s, v) for s, v in rig.shown("antenna_queue_jobs").items() if v]
    assert dict(labels) == {"site": "local", "queue": "", "tenant": "a", "state": "pending"}


def test_work_for_a_queue_that_is_not_there_is_asked_of_no_queue(rig):
    rig.lists(**partner("a"))
    lost = workload("train")
    lost["spec"]["queueName"] = "nowhere"
    rig.apply("jobs", job("train", queue="nowhere"))
    rig.apply("workloads", lost)
    queues = {dict(labels)["queue"] for labels in rig.shown("antenna_queue_gpus_requested")}
    assert queues == {"cq-a"}
    assert rig.figure("antenna_queue_jobs", queue="", tenant="a", state="pending") == 1


def sliced(name, **how):
    """A slice of the elastic Job ``train``."""
    one = workload("train", **how)
    return {**one, "metadata": {**one["metadata"], "name": name, "uid": name}}


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_of_an_elastic_jobs_slices_the_one_that_it_runs_with_stands_for_it_in_any_order(rig, order):
    replaced = sliced("z-first", gpus=1, admitted=2, finished=True)
    runs = sliced("y-second", gpus=2, admitted=5)
    waits = sliced("x-third", gpus=3)
    slices = [replaced, runs, waits]
    rig.lists(**partner("a"), jobs=[running("train")], workloads=[slices[place] for place in order])
    assert rig.figure("antenna_job_admitted_timestamp_seconds", job_name="train") == START + 5
    assert rig.figure("antenna_job_gpus", job_name="train") == 2
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a") == 2
    # The one that waited is admitted in place of the other, and the other goes.
    rig.apply(
        "workloads", {**runs, "status": sliced("y-second", gpus=2, admitted=5, finished=True)["status"]}
    )
    rig.apply("workloads", sliced("x-third", gpus=3, admitted=9))
    assert rig.figure("antenna_job_gpus", job_name="train") == 3
    rig.delete("workloads", replaced, runs)
    assert rig.figure("antenna_job_gpus", job_name="train") == 3
    assert rig.figure("antenna_job_admitted_timestamp_seconds", job_name="train") == START + 9
    rig.delete("workloads", sliced("x-third", gpus=3, admitted=9))
    assert rig.figure("antenna_job_admitted_timestamp_seconds", job_name="train") is None


def test_a_slice_that_is_left_stands_for_its_job(rig):
    runs, waits = sliced("a-first", gpus=2, admitted=5), sliced("b-second", gpus=3)
    rig.lists(**partner("a"), jobs=[running("train")], workloads=[runs, waits])
    rig.delete("workloads", runs)
    assert rig.figure("antenna_job_gpus", job_name="train") == 3
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a") == 0


def test_an_elastic_job_that_has_become_smaller_asks_for_and_holds_less(rig):
    shrunk = sliced("first", gpus=1, pods=2, admitted=5)
    shrunk["spec"]["podSets"][0]["count"] = 1
    rig.lists(**partner("a"), jobs=[running("train")], workloads=[shrunk])
    assert rig.figure("antenna_job_gpus", job_name="train") == 1
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a") == 1
