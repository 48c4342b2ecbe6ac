"""What is done about a Tenant, decided on plain data."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.paths import REPOSITORY
from operators.api.tenant import TenantSpec, tenant_object
from operators.controllers import usage
from operators.controllers.comparison import differs
from operators.controllers.decisions import (
    Observed,
    Plan,
    Ready,
    Refusal,
    belongs,
    conditions,
    figures,
    is_news,
    key,
    lowers,
    owned,
    plan,
    remaining,
    said_of,
)
from operators.queues import GPU, Cohort, Flavor, tenant_objects
from operators.tenancy import Object, Quota
from operators.tenancy import Tenant as Partner

COHORT = Cohort("antenna", (Flavor("h100"),))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def partner(gpus: int = 4, **others: Any) -> Partner:
    quotas = {"h100": {GPU: Quota(gpus), "cpu": Quota(8), "memory": Quota("16Gi")}}
    return Partner("vib", "VIB", "flanders", ("science-research",), ("people",), quotas, **others)


def tenant(who: Partner | None = None, cohort: Cohort = COHORT) -> Object:
    made = tenant_object(who or partner(), cohort)
    return {**made, "metadata": {"name": "vib", "uid": "u-1", "generation": 2}}


def spec_of(obj: Object) -> TenantSpec:
    return TenantSpec.model_validate(obj["spec"])


def observed(who: Partner | None = None, **others: Any) -> Observed:
    """A cluster in which all is as ``who`` wants it."""
    objects = [owned(deepcopy(o), tenant()) for o in tenant_objects(who or partner(), COHORT)]
    children = {key(obj): obj for obj in objects}
    return Observed(children=children, **{"flavors": frozenset({"h100"}), **others})


def decide(who: Partner | None = None, seen: Observed | None = None, cohort: Cohort = COHORT) -> Plan:
    obj = tenant(who, cohort)
    return plan(obj, spec_of(obj), seen if seen is not None else observed())


def kinds(made: Plan) -> list[str]:
    return [obj["kind"] for obj in made.apply]


def test_a_new_tenant_is_given_everything_with_itself_as_the_owner() -> None:
    made = decide(seen=Observed(flavors=frozenset({"h100"})))
    assert list(made.apply) == [owned(obj, tenant()) for obj in tenant_objects(partner(), COHORT)]
    assert made.refusal is None
    (owner,) = made.apply[0]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Tenant", "vib", "u-1", True)


def test_where_all_is_right_nothing_is_done() -> None:
    assert decide() == Plan()


def test_what_differs_is_applied_and_nothing_else() -> None:
    seen = observed()
    seen.children["RoleBinding", "submitters"]["subjects"][0]["name"] = "others"
    assert kinds(decide(seen=seen)) == ["RoleBinding"]


def test_what_is_no_longer_wanted_is_deleted_where_it_is_the_tenants() -> None:
    made = decide(replace(partner(), groups=()))
    assert [key(obj) for obj in made.delete] == [("RoleBinding", "submitters")]
    seen = observed()
    foreign = {"kind": "Role", "metadata": {"name": "theirs", "labels": {}}}
    assert decide(seen=Observed({**seen.children, key(foreign): foreign}, flavors=seen.flavors)) == Plan()


@pytest.mark.parametrize("kind", ["Namespace", "ClusterQueue"])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": {"antenna.be/tenant": "ulb"}},
        {"ownerReferences": [{"kind": "Tenant", "name": "vib", "uid": "another"}]},
    ],
)
def test_a_taken_name_leaves_everything_alone(kind: str, metadata: dict[str, Any]) -> None:
    name = "tenant-vib" if kind == "Namespace" else "vib"
    taken = {"kind": kind, "metadata": {"name": name, **metadata}}
    made = decide(seen=Observed({(kind, name): taken}, flavors=frozenset({"h100"})))
    assert made.refusal
    assert made.refusal.reason == "NameTaken"
    assert f"{kind} {name}" in made.refusal.message
    assert (made.apply, made.delete) == ((), ())


def test_what_was_made_for_the_partner_before_is_taken_over() -> None:
    seen = observed()
    for obj in seen.children.values():
        del obj["metadata"]["ownerReferences"]
    assert kinds(decide(seen=seen)) == [obj["kind"] for obj in tenant_objects(partner(), COHORT)]


@pytest.mark.parametrize(
    ("others", "reason"),
    [({"cohort_exists": False}, "UnknownCohort"), ({"flavors": frozenset({"a100"})}, "UnknownFlavor")],
)
def test_an_unknown_cohort_or_flavor_makes_nothing_new_and_leaves_the_queue(
    others: dict[str, Any], reason: str
) -> None:
    made = decide(seen=Observed(**{"flavors": frozenset({"h100"}), **others}))
    assert made.refusal
    assert (made.refusal.reason, made.apply) == (reason, ())
    seen = observed(**others)
    seen.children["ClusterQueue", "vib"]["spec"]["cohortName"] = "other"
    seen.children["ResourceQuota", "object-counts"]["spec"]["hard"] = {}
    assert kinds(decide(seen=seen)) == ["ResourceQuota"]


def test_an_outer_object_that_is_being_deleted_is_waited_for() -> None:
    seen = observed()
    seen.children["Namespace", "tenant-vib"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    made = decide(seen=seen)
    assert made == Plan(awaited="Namespace tenant-vib")
    assert said_of(made, None).reason == "Terminating"
    assert not said_of(made, None).stalled


# Quotas and what runs


def held(gpus: int) -> dict[tuple[str, str], Decimal]:
    return {("h100", GPU): Decimal(gpus)}


@pytest.mark.parametrize(
    ("now", "then", "uses", "is_refused"),
    [
        (4, 2, 3, True),
        (4, 2, 2, False),
        (4, 0, 1, True),
        (4, 0, 0, False),
        (4, 5, 6, False),  # rises, though what is borrowed is beyond it
        (4, 4, 6, False),
        (4, 3, 6, True),
        (0, 0, 3, False),  # lives on what others leave
    ],
)
def test_a_quota_never_falls_below_what_runs_on_it(now: int, then: int, uses: int, is_refused: bool) -> None:
    made = decide(partner(then), observed(partner(now), held=held(uses)))
    assert (made.refusal is not None) is is_refused
    assert ("ClusterQueue" in kinds(made)) is (not is_refused and now != then)
    if made.refusal:
        assert made.refusal.reason == "QuotaBelowUse"
        assert "delete Jobs in namespace tenant-vib" in made.refusal.message


def test_a_flavor_cannot_leave_while_work_holds_any_of_it() -> None:
    other = Cohort("antenna", (Flavor("a100"),))
    flavors = frozenset({"h100", "a100"})
    made = decide(partner(), observed(held=held(2), flavors=flavors), other)
    assert made.refusal
    assert "flavor h100 is no longer listed and 2 GPUs of it are in use" in made.refusal.message
    assert decide(partner(), observed(flavors=flavors), other).refusal is None


def test_the_rest_of_a_refused_edit_is_carried_out() -> None:
    made = decide(partner(1, weight="2"), observed(held=held(3)))
    assert kinds(made) == []
    seen = observed(held=held(3))
    seen.children["Namespace", "tenant-vib"]["metadata"]["annotations"]["antenna.be/title"] = "old"
    assert kinds(decide(partner(1), seen)) == ["Namespace"]


def test_only_a_spec_that_takes_away_needs_to_know_what_runs() -> None:
    queue = observed(partner(4)).children["ClusterQueue", "vib"]
    for gpus, less in ((3, True), (4, False), (5, False)):
        obj = tenant(partner(gpus))
        assert lowers(obj, spec_of(obj), queue) is less
    assert not lowers(tenant(), spec_of(tenant()), None)


# Going


def test_a_tenant_that_goes_waits_for_its_namespace_and_queue_and_for_nobody_elses() -> None:
    children = observed().children
    assert {key(o) for o in remaining(tenant(), children.values())} == {
        ("Namespace", "tenant-vib"),
        ("ClusterQueue", "vib"),
    }
    foreign = {"kind": "ClusterQueue", "metadata": {"name": "vib"}}
    assert remaining(tenant(), [foreign]) == []


def test_what_the_garbage_collector_took_from_its_owner_is_not_deleted_for_its_label() -> None:
    orphan = {"kind": "ClusterQueue", "metadata": {"name": "vib", "labels": {"antenna.be/tenant": "vib"}}}
    assert belongs(orphan, tenant())
    assert remaining(tenant(), [orphan]) == []


def test_an_object_is_the_owners_whatever_its_label_says() -> None:
    theirs = {"metadata": {"labels": {"antenna.be/tenant": "vib"}, "ownerReferences": [{"uid": "other"}]}}
    assert not belongs(theirs, tenant())


# Status


def active(status: str, message: str = "") -> Object:
    queue = deepcopy(observed().children["ClusterQueue", "vib"])
    queue["status"] = {"conditions": [{"type": "Active", "status": status, "message": message}]}
    return queue


def test_ready_is_what_kueue_says_of_the_queue() -> None:
    assert said_of(Plan(), active("True")).ready
    assert said_of(Plan(), observed().children["ClusterQueue", "vib"]).reason == "Progressing"
    held_back = said_of(Plan(), active("False", "Can't admit new workloads: is stopped."))
    assert (held_back.ready, held_back.stalled, held_back.reason) == (False, False, "QueueInactive")
    assert "is stopped" in held_back.message


def test_a_refusal_is_said_whatever_the_queue_does() -> None:
    said = said_of(Plan(refusal=Refusal("NameTaken", "taken")), active("True"))
    assert (said.ready, said.stalled, said.reason, said.message) == (False, True, "NameTaken", "taken")


def test_the_time_of_a_condition_is_that_of_its_last_change() -> None:
    first = conditions(Ready(True, "Applied", "fine"), [], 1, datetime(2026, 1, 1, tzinfo=UTC))
    assert {c["type"]: c["status"] for c in first} == {"Ready": "True", "Stalled": "False"}
    same = conditions(Ready(True, "Applied", "fine"), first, 2, NOW)
    assert {c["lastTransitionTime"] for c in same} == {"2026-01-01T00:00:00Z"}
    assert {c["observedGeneration"] for c in same} == {2}
    broken = conditions(Ready(False, "NameTaken", "taken", stalled=True), same, 2, NOW)
    assert {c["lastTransitionTime"] for c in broken} == {"2026-01-02T03:04:05Z"}
    assert {c["message"] for c in broken} == {"taken"}


def test_a_refusal_is_told_once_a_generation() -> None:
    said = Ready(False, "QuotaBelowUse", "3 in use", stalled=True)
    before = conditions(said, [], 2, NOW)
    assert is_news(said, [], 2)
    assert not is_news(Ready(False, "QuotaBelowUse", "2 in use", stalled=True), before, 2)
    assert is_news(said, before, 3)
    assert is_news(Ready(False, "NameTaken", "taken", stalled=True), before, 2)
    assert not is_news(Ready(True, "Applied", ""), before, 2)


def test_the_figures_are_the_queues_own() -> None:
    queue = active("True")
    queue["status"] |= {
        "pendingWorkloads": 2,
        "flavorsReservation": [
            {"name": "h100", "resources": [{"name": GPU, "total": "6", "borrowed": "2"}, {"name": "cpu"}]}
        ],
    }
    oldest = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert figures(queue, oldest) == {
        "gpus": {"quota": 4, "used": 6, "borrowed": 2},
        "pending": 2,
        "oldestPendingSince": "2026-01-01T00:00:00Z",
    }
    assert figures(None, None)["gpus"] == {"quota": 0, "used": 0, "borrowed": 0}


# Usage


def workload(
    *conditions: str, since: str = "2026-03-02T01:00:00Z", made: str = "2026-03-02T00:00:00Z", **status: Any
) -> Object:
    said = [
        {"type": c.lstrip("!"), "status": "False" if c[0] == "!" else "True", "lastTransitionTime": since}
        for c in conditions
    ]
    return {
        "metadata": {"creationTimestamp": made},
        "spec": {"queueName": "default"},
        "status": {"conditions": said, **status},
    }


def at(hour: int) -> str:
    return f"2026-03-02T{hour:02}:00:00Z"


def admitted(gpus: str, count: int = 1, back: int = 0, *conditions: str, of: int = 0) -> Object:
    pods = {"name": "main", "count": count, "flavors": {GPU: "h100"}, "resourceUsage": {GPU: gpus}}
    returned = {"reclaimablePods": [{"name": "main", "count": back}]} if back else {}
    made = workload(*conditions, admission={"podSetAssignments": [pods]}, **returned)
    made["spec"] = {"podSets": [{"name": "main", "count": of or count}]}
    return made


def test_held_is_what_admitted_work_has_and_has_not_given_back() -> None:
    work = [
        admitted("4"),
        admitted("8", 4, 1),
        admitted("1", 1, 3, of=4),
        admitted("16", 1, 0, "Finished"),
        workload("!QuotaReserved"),
    ]
    assert usage.held(work) == {("h100", GPU): Decimal(11)}


def test_the_larger_of_two_readings_counts() -> None:
    one, other = {("a", GPU): Decimal(1), ("b", GPU): Decimal(5)}, {("a", GPU): Decimal(2)}
    assert usage.larger(one, other) == {("a", GPU): Decimal(2), ("b", GPU): Decimal(5)}


def test_the_oldest_is_the_one_that_has_waited_longest_since_it_last_held_quota() -> None:
    evicted = workload("Evicted", "!QuotaReserved", made=at(0), since=at(7))
    waiting = workload("!QuotaReserved", made=at(5), since=at(9))
    running = workload("QuotaReserved", made=at(0))
    done = workload("Finished", made=at(0))
    stopped = {**workload(made=at(0)), "spec": {"queueName": "default", "active": False}}
    oldest = usage.oldest([evicted, waiting, running, done, stopped])
    assert oldest is waiting
    assert usage.waiting_since(evicted) == at(7)
    assert usage.oldest([running]) is None


@pytest.mark.parametrize(
    ("amount", "resource", "text"),
    [
        ("1", GPU, "1 GPU"),
        ("4", GPU, "4 GPUs"),
        ("2.5", "cpu", "2.5 cores"),
        (str(2**36), "memory", "64 GiB"),
    ],
)
def test_amounts_are_shown_in_their_units(amount: str, resource: str, text: str) -> None:
    assert usage.shown(Decimal(amount), resource) == text


# Comparison


@pytest.mark.parametrize(
    ("live", "wanted", "is_different"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, False),  # b is another's
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}, False),
        ({"cpu": "500m"}, {"cpu": "5"}, True),
        ({"n": "x"}, {"n": "y"}, True),
        ({"l": [1, 2]}, {"l": [1]}, True),
        ({"l": [{"name": "a", "limit": "1"}]}, {"l": [{"name": "a"}]}, True),
        ({"l": [{"name": "a", "nominal": "1Gi"}]}, {"l": [{"name": "a", "nominal": "1024Mi"}]}, False),
        ({"m": None}, {"m": {"a": 1}}, True),
        ({"l": None}, {"l": []}, True),
        (None, {}, True),
    ],
)
def test_only_what_is_wanted_and_is_otherwise_is_a_difference(
    live: Any, wanted: Any, is_different: bool
) -> None:
    assert differs(live, wanted) is is_different


def test_every_reason_is_explained() -> None:
    sources = (p.read_text() for p in (REPOSITORY / "operators/controllers").glob("*.py"))
    reasons = set(re.findall(r'(?:Refusal\(|Ready\((?:True|False),)\s*"(\w+)"', "\n".join(sources)))
    assert {"NameTaken", "QuotaBelowUse", "QueueInactive", "Invalid"} < reasons
    explained = (REPOSITORY / "docs/tenants.md").read_text()
    assert [reason for reason in reasons - {"Applied"} if f"`{reason}`" not in explained] == []
