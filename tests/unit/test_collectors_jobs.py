"""Figures of single Jobs."""

from __future__ import annotations

import msgspec
import pytest

from operators.stream.reflector import Reflector
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


def test_a_job_that_was_put_back_runs_when_a_pod_of_it_is_ready(rig):
    """Three of its pods had ended before it was preempted: that says nothing of now."""
    status = {"startTime": "2026-03-02T09:03:20Z", "active": 1, "ready": 0, "succeeded": 3}
    again = {"admitted": 200, "past": 90, "evictions": {"Preempted": 1}}
    rig.apply("jobs", job("p", suspend=False, completions=10, status=status))
    rig.apply("workloads", workload("p", **again))
    assert rig.figure("antenna_job_state", job_name="p", state="pending") == 1
    rig.apply("jobs", job("p", suspend=False, completions=10, status={**status, "ready": 1}))
    assert rig.figure("antenna_job_state", job_name="p", state="running") == 1


def test_between_two_of_its_pods_a_job_runs(rig):
    status = {"startTime": "2026-03-02T09:00:00Z", "active": 1, "ready": 0, "succeeded": 3}
    rig.apply("jobs", job("p", suspend=False, completions=10, status=status))
    rig.apply("workloads", workload("p", admitted=0))
    assert rig.figure("antenna_job_state", job_name="p", state="running") == 1


def test_a_job_that_wants_no_pod_is_held_back_by_its_owner_and_waits_for_nobody(rig):
    rig.now = 6000
    rig.apply("jobs", job("z", parallelism=0, suspend=False, status={"startTime": "2026-03-02T09:00:05Z"}))
    rig.apply("workloads", workload("z", pods=0, admitted=0))
    of = {"site": "local", "queue": "cq-a", "tenant": "a"}
    assert rig.figure("antenna_queue_pending_reason", **of, reason="Suspended") == 1
    assert rig.figure("antenna_queue_pending_reason", **of, reason="Starting") is None
    assert rig.figure("antenna_queue_oldest_pending_age_seconds", **of) == 0


def test_a_preempted_job_waits_since_it_was_put_back(rig):
    """As Kueue's QueuedWaitTime has it: since the last transition of Requeued."""
    again = workload("p", waits="no quota", past=50, evictions={"Preempted": 1})
    for kind in ("Evicted", "Requeued"):
        again["status"]["conditions"].append(
            {
                "type": kind,
                "status": "True",
                "reason": "Preempted",
                "lastTransitionTime": "2026-03-02T09:01:40Z",
            }
        )
    rig.now = 160
    rig.apply("jobs", job("p"))
    rig.apply("workloads", again)
    of = {"site": "local", "queue": "cq-a", "tenant": "a"}
    assert rig.figure("antenna_queue_oldest_pending_age_seconds", **of) == 60


def test_the_metric_names_the_container_that_does_not_start_as_why_does(rig):
    pod = {
        "metadata": {
            "name": "c-1",
            "namespace": "tenant-a",
            "uid": "pc",
            "ownerReferences": [{"kind": "Job", "name": "c", "uid": "uid-c", "controller": True}],
        },
        "spec": {**template(1)["spec"], "nodeName": "n1"},
    }

    def waiting(reason, phase="Running"):
        state = {"state": {"waiting": {"reason": reason, "message": "back-off"}}}
        rig.apply("pods", {**pod, "status": {"phase": phase, "containerStatuses": [state]}})
        found = rig.shown("antenna_queue_pending_reason").items()
        return {dict(labels)["reason"] for labels, number in found if number}

    rig.apply("jobs", job("c", suspend=False, status={"active": 1, "ready": 0}))
    rig.apply("workloads", workload("c", admitted=0))
    assert waiting("ContainerCreating", "Pending") == {"Starting"}
    assert waiting("ImagePullBackOff", "Pending") == {"ImageUnavailable"}
    assert waiting("CrashLoopBackOff") == {"ContainerBroken"}
    assert rig.figure("antenna_job_state", job_name="c", state="pending") == 1


def clusterqueue(name, cpu):
    (queue,) = partner("b")["clusterqueues"]
    queue["metadata"] |= {"name": name}
    queue["spec"]["resourceGroups"][0]["flavors"][0]["resources"][0]["nominalQuota"] = cpu
    return queue


def node(name, cpu):
    return {"metadata": {"name": name, "uid": name}, "status": {"allocatable": {"nvidia.com/gpu": cpu}}}


def pod(name, cpu):
    spec = {"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": cpu}}}]}
    return {"metadata": {"name": name, "uid": name, "namespace": "tenant-a"}, "spec": spec}


class Server:
    def __init__(self, *items):
        self.items = items

    def read(self, path, query, *, silence, accept):
        return msgspec.json.encode({"metadata": {"resourceVersion": "7"}, "items": self.items})


@pytest.mark.parametrize(
    ("name", "made"), [("clusterqueues", clusterqueue), ("nodes", node), ("pods", pod), ("jobs", None)]
)
def test_one_object_that_cannot_be_read_is_left_out_counted_and_named(rig, caplog, name, made):
    if made is None:
        bad = job("bad")
        bad["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "500x"
        items = [job("good"), bad]
    else:
        items = [made("good", "8"), made("bad", "500x")]
    reflector = Reflector(Server(*items), rig.streams[name], rig.store.writing)
    reflector._list("/x")
    health = reflector.health
    assert (health.listed, health.broken) == (True, 1)
    assert "bad cannot be read" in caplog.text
    assert "good" not in caplog.text
