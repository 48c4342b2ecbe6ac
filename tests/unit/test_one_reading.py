"""One job, one answer: whoever reads its Workload says the same of it, and what Kueue says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from infra.cli.views import overview
from operators.controllers import decisions, reconcile, usage
from operators.kube import workload as kube
from operators.kube.objects import Workload
from operators.kube.time import instant
from operators.queues import GPU
from operators.reasons import Reason
from operators.why import explain, notices
from operators.why.gathering import facts, surroundings
from operators.why.own import own_explanation
from tests.unit.rig import START, Rig, job, partner, stamp, workload

PREEMPTED, REQUEUED, NOW = 100, 101, 160


class Cluster:
    """As much of an API server as is asked here: lists by kind and namespace."""

    def __init__(self, **kinds: list[dict[str, Any]]) -> None:
        self.kinds = kinds

    def list_objects(
        self, _version: str, kind: str, namespace: str | None = None, **_selectors: str
    ) -> list[dict[str, Any]]:
        found = self.kinds.get(kind, [])
        return [o for o in found if namespace in (None, o["metadata"].get("namespace"))]


def condition(kind: str, status: str, reason: str, at: int, message: str = "") -> dict[str, Any]:
    moment = stamp(at)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": moment,
    }


def put_back(*, requeued: int = REQUEUED, released: int = REQUEUED) -> dict[str, Any]:
    """A Workload as Kueue leaves it after a preemption: it gave back 1 of its 3 pods' quota before."""
    obj = workload("p", gpus=2, pods=3, past=90, evictions={"Preempted": 1})
    obj["metadata"] |= {
        "creationTimestamp": stamp(0),
        "ownerReferences": [{"kind": "Job", "name": "p", "uid": "uid-p", "controller": True}],
    }
    message = "Preempted to accommodate a workload (UID: x); preemptor path: /antenna/b"
    obj["status"]["conditions"] = [
        condition("QuotaReserved", "False", "Pending", released, message),
        condition("Admitted", "False", "NoReservation", released),
        condition("Evicted", "True", "Preempted", PREEMPTED, message),
        condition("Preempted", "True", "InCohortReclamation", PREEMPTED, message),
        condition("Requeued", "True", "Preempted", requeued, message),
    ]
    obj["status"]["reclaimablePods"] = [{"name": "main", "count": 1}]
    return obj


def told(obj: dict[str, Any]) -> Any:
    """What `antenna why` and the Event say."""
    given = partner("a", gpus="4")
    (queue,) = given["clusterqueues"]
    amounts = [{"name": GPU, "total": "4"}]
    queue["status"] = {
        "conditions": [{"type": "Active", "status": "True"}],
        "flavorsReservation": [{"name": "h100", "resources": amounts}],
    }
    cluster: Any = Cluster(Workload=[obj], ClusterQueue=[queue], LocalQueue=given["localqueues"])
    now = datetime.fromtimestamp(START + NOW, UTC)
    return explain(facts(cluster, job("p", gpus=2, parallelism=3), surroundings(cluster, now)))


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "ledger.sqlite")


def test_of_a_preempted_job_everybody_says_the_same(rig):
    obj = put_back()
    why = told(obj)
    since = instant(stamp(REQUEUED))
    assert since is not None

    rig.now = NOW
    rig.lists(**partner("a"), jobs=[job("p", gpus=2, parallelism=3)], workloads=[obj])
    of = {"site": "local", "queue": "cq-a", "tenant": "a"}
    (row,) = overview.queues(
        partner("a")["clusterqueues"], partner("a")["localqueues"], [obj], since + timedelta(seconds=59)
    )
    tenant = decisions.figures({"spec": {}}, usage.oldest([obj]))
    entry = notices.entry(msgspec.convert(obj, Workload))
    assert entry is not None
    event = notices.event({"apiVersion": "batch/v1", "kind": "Job", **job("p")}, why, START + NOW)

    waits = NOW - REQUEUED
    assert {
        "status": row.oldest_wait,
        "why": why.document(since + timedelta(seconds=waits))["seconds"],
        "metric": rig.figure("antenna_queue_oldest_pending_age_seconds", **of),
        "Tenant": START + NOW - datetime.fromisoformat(tenant["oldestPendingSince"]).timestamp(),
        "Event": START + NOW - entry.since,
    } == dict.fromkeys(("status", "why", "metric", "Tenant", "Event"), waits)

    assert rig.figure("antenna_queue_gpus_requested", **of) == 4
    assert entry.asks.gpus == 4
    assert "waits again for 4 GPUs" in why.text
    assert "waits again for 4 GPUs" in event["message"]

    reasons = {dict(s)["reason"] for s, n in rig.shown("antenna_queue_pending_reason").items() if n}
    assert reasons == {why.reason} == {event["reason"]} == {Reason.PREEMPTED}


def test_a_partners_person_is_told_the_same_of_its_own_job():
    """Who may read the own namespace alone: before the operator has spoken, and from its Event."""
    obj, made = put_back(), job("p", gpus=2, parallelism=3)
    kinds = {"Workload": [obj], "LocalQueue": partner("a")["localqueues"]}
    now = datetime.fromtimestamp(START + NOW, UTC)
    before: Any = Cluster(**kinds)
    event = notices.event({"apiVersion": "batch/v1", "kind": "Job", **made}, told(obj), START + NOW)
    after: Any = Cluster(**kinds, Event=[event])
    for cluster in (before, after):
        _, found = own_explanation(cluster, made, now)
        assert (found.reason, found.since) == (Reason.PREEMPTED, instant(stamp(REQUEUED)))


def test_a_second_preemption_begins_another_wait_though_requeued_stays_true():
    typed = kube.read(put_back(requeued=20, released=REQUEUED))
    assert kube.queued_since(typed, kube.conditions(typed)) == instant(stamp(REQUEUED))


def test_what_has_quota_waits_since_it_has_it():
    typed = msgspec.convert(workload("p", admitted=50), Workload)
    assert kube.waits_since(typed, kube.conditions(typed)) == instant(stamp(50))
    assert not kube.in_line(typed)


@pytest.mark.parametrize(
    ("reason", "at"), [("PodsReadyTimeout", 100), ("AdmissionCheck", 100), ("Preempted", 0)]
)
def test_who_is_put_back_by_a_check_goes_to_the_end_of_the_line(reason, at):
    """What a partner writes on its Workload moves nobody: Kueue's gate PriorityBoost is off."""
    obj = put_back()
    obj["metadata"]["annotations"] = {"kueue.x-k8s.io/priority-boost": "100"}
    obj["status"]["conditions"][2]["reason"] = reason
    typed = kube.read(obj)
    expected = (0, instant(stamp(at)), "workload-p")
    assert kube.place(typed, kube.conditions(typed)) == expected
    entry = notices.entry(typed)
    assert entry is not None
    assert entry.place == expected


def test_a_tenant_counts_what_waits_behind_every_door_of_its_queue(monkeypatch):
    monkeypatch.setattr(usage, "pending", lambda queue: 1)
    through = {**workload("x", waits="no quota"), "spec": {"queueName": "urgent", "podSets": []}}
    through["metadata"]["creationTimestamp"] = stamp(7)
    doors = [("urgent", "a"), ("default", "a"), ("lent", "b")]
    queues = [
        {"metadata": {"name": name, "namespace": "tenant-a"}, "spec": {"clusterQueue": to}}
        for name, to in doors
    ]
    elsewhere = {**through, "metadata": {**through["metadata"], "creationTimestamp": stamp(1)}}
    elsewhere["spec"] = {"queueName": "lent", "podSets": []}
    cluster: Any = Cluster(Workload=[elsewhere, through], LocalQueue=queues)
    found = reconcile.Reconciler(cluster)._oldest_pending("a", {"spec": {}})
    assert found is through
    assert usage.waiting_since(through) == stamp(7)


def test_a_pod_that_gave_its_quota_back_is_asked_for_no_more():
    typed = kube.read(put_back())
    assert kube.asks(typed).gpus == 4
    assert Decimal(kube.asks(typed).millicores) == 3000
