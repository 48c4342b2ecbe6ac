from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.cli.work import burst
from infra.cli.work.burst import Queue, Work
from operators.queues import Cohort, Flavor, cluster_queue, cohort_objects, local_queue
from operators.tenancy import Quota, Tenant

COHORT = Cohort("antenna", (Flavor("local"),), {"local": {"nvidia.com/gpu": 2}})


def tenant(name: str, gpus: int, limit: int | None = None) -> Tenant:
    return Tenant(name, name, "federal", quotas={"local": {"nvidia.com/gpu": Quota(gpus, limit)}})


def find(*tenants: Tenant) -> list[Queue]:
    return burst.queues(
        [cluster_queue(t, COHORT) for t in tenants],
        [local_queue(t) for t in tenants],
        [o for o in cohort_objects(COHORT) if o["kind"] == "Cohort"],
    )


def workload(gpus: int, reserved: str = "", finished: str = "", **metadata: str) -> dict[str, Any]:
    conditions = []
    if reserved:
        conditions.append({"type": "QuotaReserved", "status": "True", "lastTransitionTime": reserved})
    if finished:
        conditions.append({"type": "Finished", "status": "True", "lastTransitionTime": finished})
    usage = {"cpu": "10m", "nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {"name": "w", "namespace": "tenant-a", **metadata},
        "spec": {"queueName": "default"},
        "status": {"admission": {"podSetAssignments": [{"resourceUsage": usage}]}, "conditions": conditions},
    }


def at(second: int) -> str:
    return f"2026-01-01T10:00:{second:02d}Z"


def test_a_queue_reaches_its_quota_and_what_the_cohort_lends() -> None:
    found = {
        q.partner: q
        for q in find(tenant("a", 3), tenant("b", 0), tenant("c", 1, limit=1), tenant("d", 2, limit=0))
    }
    assert {name: q.most for name, q in found.items()} == {"a": 8, "b": 8, "c": 2, "d": 2}
    assert found["a"].namespace == "tenant-a"
    assert found["a"].local_queue == "default"


def test_a_queue_that_can_never_get_a_gpu_is_left_out() -> None:
    assert [q.partner for q in find(tenant("a", 1), tenant("b", 0, limit=0))] == ["a"]


def test_the_burst_asks_more_than_the_site_has_from_five_partners() -> None:
    found = find(*(tenant(f"p{i:02d}", 2 if i < 4 else 0) for i in range(15)))
    works = burst.plan(found, "x", largest=4)
    assert len(works) == 24
    assert len({w.queue for w in works}) == 5
    assert sum(w.gpus for w in works) > 8
    assert {w.gpus for w in works} == {1, 2, 3, 4}
    assert all(5 <= w.seconds <= 15 for w in works)
    assert len({w.name for w in works}) == 24


def test_the_burst_has_partners_with_and_without_quota_so_that_some_borrow() -> None:
    found = find(*(tenant(f"p{i:02d}", 2 if i < 4 else 0) for i in range(15)))
    nominal = {w.queue.nominal for w in burst.plan(found, "x", largest=4)}
    assert nominal == {2, 0}


def test_no_job_is_larger_than_a_node_or_than_its_queue_can_ever_get() -> None:
    found = find(tenant("a", 4), tenant("b", 0, limit=1))
    works = burst.plan(found, "x", largest=2)
    assert max(w.gpus for w in works) == 2
    assert {w.gpus for w in works if w.queue.partner == "b"} == {1}


def test_nothing_is_planned_without_queues() -> None:
    assert burst.plan([], "x", largest=4) == []


def test_a_job_fits_pod_security_restricted() -> None:
    queue = find(tenant("a", 4))[0]
    job = burst.job(Work("demo-x-00", queue, 3, 5), "x")
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "default"
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "3"


def test_the_peak_is_the_most_reserved_at_one_moment() -> None:
    loads = [
        workload(4, at(0), at(10)),
        workload(3, at(5), at(20)),
        workload(4, at(10), at(15)),
        workload(8, at(30)),
        workload(5),
    ]
    assert sum(burst.peak(loads[:3]).values()) == 7
    assert sum(burst.peak(loads).values()) == 8


def test_a_release_counts_before_a_reservation_of_the_same_second() -> None:
    loads = [workload(8, at(0), at(9), name="a"), workload(8, at(9), at(12), name="b")]
    assert burst.peak(loads) == {"tenant-a/a": 8}


def test_what_was_stamped_finished_late_is_held_to_the_end_of_its_job() -> None:
    owner: Any = [{"uid": "u"}]
    first = workload(8, at(0), at(11), name="a", ownerReferences=owner)
    second = workload(1, at(9), at(12), name="b")
    done = {"type": "Complete", "status": "True", "lastTransitionTime": at(8)}
    job = {"metadata": {"uid": "u"}, "status": {"conditions": [done]}}
    assert burst.peak([first, second]) == {"tenant-a/a": 8, "tenant-a/b": 1}
    assert burst.peak([first, second], [job]) == {"tenant-a/a": 8}


def test_a_workload_seen_unfinished_again_holds_nothing_once_its_job_has_ended() -> None:
    owner: Any = [{"uid": "u"}]
    first = workload(8, at(0), name="a", ownerReferences=owner)
    second = workload(1, at(9), name="b", ownerReferences=[{"uid": "v"}])
    done = {"type": "Complete", "status": "True", "lastTransitionTime": at(8)}
    jobs: Any = [
        {"metadata": {"uid": "u"}, "status": {"conditions": [done]}},
        {"metadata": {"uid": "v"}, "status": {}},
    ]
    assert burst.holders([first, second]) == {"tenant-a/a": 8, "tenant-a/b": 1}
    assert burst.holders(burst.of_living_jobs([first, second], jobs)) == {"tenant-a/b": 1}


def test_only_what_is_reserved_and_not_finished_is_held_now() -> None:
    assert [burst.reserved(w) for w in (workload(4), workload(4, at(1)), workload(4, at(1), at(2)))] == [
        0,
        4,
        0,
    ]


def test_a_wait_is_from_creation_to_quota() -> None:
    loads = [workload(1, at(9), creationTimestamp=at(2)), workload(1, creationTimestamp=at(2))]
    assert burst.waits(loads) == [7.0]


def test_the_table_has_a_row_a_partner() -> None:
    first, second = find(tenant("a", 4), tenant("b", 0))
    works = [
        Work("j0", first, 2, 5),
        Work("j1", first, 2, 5),
        Work("j2", first, 2, 5),
        Work("j3", second, 1, 5),
    ]
    done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    jobs = [
        {"metadata": {"namespace": "tenant-a", "name": "j0"}, "spec": {"suspend": False}},
        {"metadata": {"namespace": "tenant-a", "name": "j1"}, "spec": {"suspend": True}},
        {"metadata": {"namespace": "tenant-a", "name": "j2"}, **done},
        {"metadata": {"namespace": "tenant-b", "name": "j3"}, **failed},
    ]
    rows = burst.table(works, jobs, [workload(6, at(1))])
    assert rows == [burst.Row("a", 1, 1, 1, 0, 6, 2), burst.Row("b", 0, 0, 0, 1, 0, 0)]


RESULT = burst.Result(
    jobs=24, succeeded=24, failed=0, sites={},
    partners=["a", "b"], gpus=8, gpus_requested=45, peak_gpus=8, peak_holders={"tenant-a/j": 8},
    peak_borrowed=3,
    wait_seconds_mean=9.0, wait_seconds_max=30.0, seconds=60.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (replace(RESULT, succeeded=23, failed=1), "1 of 24 jobs failed"),
        (replace(RESULT, succeeded=22), "2 of 24 jobs did not finish in time"),
        (
            replace(RESULT, peak_gpus=9, peak_holders={"tenant-b/k": 1, "tenant-a/j": 8}),
            "9 GPUs were admitted at once, the site has 8: tenant-a/j 8, tenant-b/k 1",
        ),
    ],
)
def test_what_the_demo_did_not_show_is_a_problem(result: burst.Result, problem: str) -> None:
    assert result.problems == [problem]


def test_a_burst_that_went_well_has_no_problem() -> None:
    assert RESULT.document()["problems"] == []
