from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.cli.checks.verdict import Verdict
from infra.cli.views import overview

NOW = datetime(2026, 1, 1, 10, 1, tzinfo=UTC)


def node(name: str, *, ready: str = "True", gpus: str = "4", **spec: object) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": "kubelet stopped posting"}]
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"allocatable": {"nvidia.com/gpu": gpus}, "conditions": conditions},
    }


def pod(on: str, gpus: int, phase: str = "Running") -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "spec": {"nodeName": on, "containers": [{"resources": {"limits": limits}}]},
        "status": {"phase": phase},
    }


def queue(name: str, active: str = "True", **status: object) -> dict[str, Any]:
    gpu = {"name": "nvidia.com/gpu", "nominalQuota": "2"}
    return {
        "metadata": {"name": name},
        "spec": {"resourceGroups": [{"flavors": [{"name": "local", "resources": [gpu]}]}]},
        "status": {"conditions": [{"type": "Active", "status": active, "message": "no flavor"}], **status},
    }


def load(made: str, *conditions: str, namespace: str = "tenant-a", **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "creationTimestamp": made},
        "spec": {"queueName": "default", **spec},
        "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]},
    }


LOCAL = [
    {"metadata": {"namespace": f"tenant-{n}", "name": "default"}, "spec": {"clusterQueue": n}} for n in "ab"
]


def test_a_nodes_gpus_are_used_by_pods_that_have_not_ended() -> None:
    pods = [pod("gpu-1", 3), pod("gpu-1", 4, "Succeeded"), pod("gpu-1", 0), pod("gpu-2", 1, "Pending")]
    rows = overview.nodes([node("gpu-2"), node("gpu-1"), node("head", gpus="0")], pods)
    assert [(n.name, n.gpus, n.gpus_used) for n in rows] == [("gpu-1", 4, 3), ("gpu-2", 4, 1), ("head", 0, 0)]


def test_a_node_that_is_not_ready_says_why() -> None:
    [row] = overview.nodes([node("gpu-1", ready="Unknown")], [])
    assert (row.ready, row.reason) == (False, "kubelet stopped posting")


def test_a_drained_node_says_so() -> None:
    [row] = overview.nodes([node("gpu-1", unschedulable=True)], [])
    assert (row.ready, row.reason) == (True, "drained")


def test_a_queue_shows_quota_use_and_loans() -> None:
    usage = [
        {
            "resources": [
                {"name": "nvidia.com/gpu", "total": "5", "borrowed": "3"},
                {"name": "cpu", "total": "9"},
            ]
        }
    ]
    [row] = overview.queues(
        [queue("a", flavorsReservation=usage, pendingWorkloads=7, admittedWorkloads=2)], [], [], NOW
    )
    assert (row.quota, row.used, row.borrowed, row.pending, row.admitted) == (2, 5, 3, 7, 2)


def test_the_oldest_wait_is_of_work_that_still_waits_in_that_queue() -> None:
    loads = [
        load("2026-01-01T09:00:00Z", "QuotaReserved"),
        load("2026-01-01T09:10:00Z", "QuotaReserved", "Finished"),
        load("2026-01-01T09:20:00Z", active=False),
        load("2026-01-01T10:00:00Z"),
        load("2026-01-01T10:00:30Z"),
        load("2026-01-01T08:00:00Z", namespace="elsewhere"),
    ]
    rows = overview.queues([queue("a"), queue("b")], LOCAL, loads, NOW)
    assert [(q.name, q.oldest_wait) for q in rows] == [("a", 60.0), ("b", None)]


def test_an_inactive_queue_says_why() -> None:
    [row] = overview.queues([queue("a", active="False")], [], [], NOW)
    assert (row.active, row.reason) == (False, "no flavor")


def test_the_document_has_stable_keys() -> None:
    shown = overview.Overview(
        "embedded",
        [overview.Machine("head", "nspawn", "10.77.0.10", True, "")],
        overview.nodes([node("head")], []),
        overview.queues([queue("a")], [], [], NOW),
        "",
    ).document()
    assert set(shown) == {
        *(
            "stack",
            "healthy",
            "problem",
            "gpus",
            "machines",
            "nodes",
            "queues",
            "sites",
            "operator",
            "critical",
        ),
    }
    assert set(shown["machines"][0]) == {"name", "driver", "address", "running", "reason"}
    assert set(shown["nodes"][0]) == {"name", "ready", "reason", "gpus", "gpus_used"}
    assert set(shown["queues"][0]) == {
        "name", "active", "reason", "quota", "used", "borrowed", "pending", "admitted", "oldest_wait",
    }  # fmt: skip
    assert shown["healthy"] is True
    assert shown["gpus"] == {"total": 4, "used": 0}


@pytest.mark.parametrize(
    "shown",
    [
        overview.Overview(
            "s", [overview.Machine("head", "nspawn", "10.77.0.10", False, "stopped")], [], [], ""
        ),
        overview.Overview("s", [], overview.nodes([node("head", ready="False")], []), [], ""),
        overview.Overview("s", [], [], overview.queues([queue("a", active="False")], [], [], NOW), ""),
        overview.Overview("s", [], [], [], "the API server does not answer"),
        overview.Overview("s", [], [], [], "", operator=Verdict("fail", "scaled to 0", "scale it")),
    ],
)
def test_one_thing_wrong_is_not_healthy(shown: overview.Overview) -> None:
    assert not shown.healthy


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (4.6, "4s"), (119, "119s"), (130, "2m"), (7300, "2h"), (200000, "2d")]
)
def test_an_age_is_short(seconds: float | None, text: str) -> None:
    assert overview.age(seconds) == text


def remote_site(name: str, **conditions: str) -> dict[str, Any]:
    told = [
        {"type": kind, "status": status, "message": "no route to host"} for kind, status in conditions.items()
    ]
    partitions = [{"name": "booster", "gpusPerNode": 4, "wholeNodes": True}, {"name": "cpu"}]
    return {
        "metadata": {"name": name},
        "spec": {"title": name.upper(), "partitions": partitions},
        "status": {"conditions": told},
    }


def remote_job(state: str, *, asked: str = "jupiter", at: str = "", **spec: Any) -> dict[str, Any]:
    status = {"state": state, "site": at, "partition": "booster"}
    return {"metadata": {}, "spec": {"site": asked, **spec}, "status": status}


def test_sites_stand_side_by_side_the_local_one_first() -> None:
    jobs = [
        remote_job("running", nodes=2),
        remote_job("running", at="jupiter", asked="any", gpusPerNode=1),
        remote_job("pending"),
        remote_job("succeeded"),
        remote_job("pending", asked="any"),
    ]
    theirs = {"ownerReferences": [{"kind": "RemoteJob"}], "creationTimestamp": "2026-01-01T08:00:00Z"}
    loads = [load("2026-01-01T11:59:00Z"), {"metadata": theirs, "spec": {}, "status": {}}]
    sites = [
        remote_site("lumi", Ready="True", Answers="False"),
        remote_site("jupiter", Ready="True", Answers="True"),
    ]
    local, jupiter, lumi = overview.sites(sites, jobs, loads, overview.nodes([node("gpu-1")], []), "")
    assert (local.name, local.usable, local.gpus, local.running, local.waiting) == ("local", True, 4, 0, 1)
    assert (jupiter.usable, jupiter.running, jupiter.waiting, jupiter.gpus_used) == (True, 2, 1, 12)
    assert (lumi.usable, lumi.reason, lumi.running) == (False, "no route to host", 0)


def test_a_site_without_remote_ones_has_no_table_of_sites() -> None:
    assert overview.sites([], [], [], overview.nodes([node("head")], []), "") == []


def test_a_site_that_nobody_asks_does_not_answer_whatever_its_condition_says() -> None:
    sites = [remote_site("lumi", Ready="True", Answers="True")]
    _, lumi = overview.sites(sites, [], [], [], "not asked: the operator does not run")
    assert (lumi.usable, lumi.asked, lumi.reason) == (
        False,
        False,
        "not asked: the operator does not run",
    )


def test_a_site_where_nobody_has_a_project_is_usable_and_not_asked() -> None:
    site = remote_site("lumi", Ready="True", Answers="Unknown")
    site["status"]["conditions"][1] |= {"reason": "NotAsked", "message": "no partner has a project there"}
    _, lumi = overview.sites([site], [], [], [], "")
    assert (lumi.usable, lumi.asked, lumi.reason) == (True, False, "no partner has a project there")
