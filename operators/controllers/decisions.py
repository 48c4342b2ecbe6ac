"""What is done about a Tenant: which objects, what is refused, what its status says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from operators.api import API_VERSION
from operators.api.tenant import KIND, TenantSpec, cohort_of, partner_of
from operators.controllers.comparison import differs
from operators.controllers.usage import (
    Amounts,
    borrowed,
    gpus,
    nominal,
    pending,
    reserved,
    shown,
    waiting_since,
)
from operators.queues import GPU, tenant_objects
from operators.tenancy import TENANT_LABEL, Object, namespace_name

READY: Final = "Ready"
STALLED: Final = "Stalled"
# The objects that make a name taken, and that the Tenant waits for when it goes.
OUTER: Final = ("Namespace", "ClusterQueue")


@dataclass(frozen=True)
class Refusal:
    """Why the spec is not carried out. ``reason`` is one word, ``message`` says what to do."""

    reason: str
    message: str


@dataclass(frozen=True)
class Observed:
    """What the cluster holds, of what concerns one Tenant."""

    children: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    """(kind, name) -> live object, of the kinds that ``tenant_objects`` makes; whoever they belong to."""
    cohort_exists: bool = True
    flavors: frozenset[str] = frozenset()
    """The ResourceFlavors that there are."""
    held: Amounts = field(default_factory=dict)
    """What admitted work of the Tenant holds now: (flavor, resource) -> amount."""


@dataclass(frozen=True)
class Plan:
    """What to do: objects to apply in order, objects to delete, and why the rest is left."""

    apply: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()
    refusal: Refusal | None = None
    awaited: str = ""
    """An object that is being deleted, and that can be made anew only when it is gone."""


@dataclass(frozen=True)
class Ready:
    """What the conditions say."""

    ready: bool
    reason: str
    message: str
    stalled: bool = False


def plan(tenant: Object, spec: TenantSpec, observed: Observed) -> Plan:
    """What to do about a Tenant that is to stay.

    A taken name leaves everything alone. A quota that cannot be given leaves the ClusterQueue as it is,
    and everything else is kept right; where there is no ClusterQueue yet, nothing is made.
    """
    if leaving := next((obj for obj in observed.children.values() if _leaves(obj)), None):
        return Plan(awaited=" ".join(key(leaving)))
    wanted = [owned(obj, tenant) for obj in tenant_objects(partner_of(_name(tenant), spec), cohort_of(spec))]
    if taken := _taken(tenant, observed.children):
        return Plan(refusal=taken)
    refusal = _unknown(spec, observed) or _below_use(_queue(wanted), _live_queue(tenant, observed), observed)
    if refusal and _live_queue(tenant, observed) is None:
        return Plan(refusal=refusal)
    kept = [obj for obj in wanted if not (refusal and obj["kind"] == "ClusterQueue")]
    changed = tuple(obj for obj in kept if differs(observed.children.get(key(obj)), obj))
    names = {key(obj) for obj in wanted}
    stale = tuple(obj for at, obj in observed.children.items() if at not in names and belongs(obj, tenant))
    return Plan(apply=changed, delete=stale, refusal=refusal)


def lowers(tenant: Object, spec: TenantSpec, queue: Object | None) -> bool:
    """Whether the spec takes anything away that the ClusterQueue gives now."""
    if queue is None:
        return False
    wanted = tenant_objects(partner_of(_name(tenant), spec), cohort_of(spec))
    now, then = nominal(queue), nominal(_queue(wanted))
    return any(at not in then or then[at] < amount for at, amount in now.items())


def key(obj: Object) -> tuple[str, str]:
    """Kind and name: what tells the objects of one Tenant apart."""
    return obj["kind"], obj["metadata"]["name"]


def owned(obj: Object, tenant: Object) -> Object:
    """The object with the Tenant as its owner, so that it goes when the Tenant goes."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": tenant["metadata"]["name"],
        "uid": tenant["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner]}}


def belongs(obj: Object, tenant: Object) -> bool:
    """Whether an object is this Tenant's: by its owner or, where it has none, by its label.

    Objects with the label and without an owner were made for the partner before it was a Tenant, or were
    left by a Tenant that was deleted without its dependents.
    """
    metadata = obj["metadata"]
    if metadata.get("ownerReferences"):
        return _owned_by(obj, tenant)
    return bool((metadata.get("labels") or {}).get(TENANT_LABEL) == tenant["metadata"]["name"])


def remaining(tenant: Object, children: Iterable[Object]) -> list[Object]:
    """The objects that a Tenant which is being deleted still waits for.

    They name it as their owner: the garbage collector takes it off those of a Tenant that is deleted
    without its dependents (``--cascade=orphan``), and a label alone is no reason to delete anything.
    """
    return [obj for obj in children if obj["kind"] in OUTER and _owned_by(obj, tenant)]


def said_of(plan: Plan, queue: Object | None) -> Ready:
    """What Ready says once a plan is carried out; ``queue`` is the live ClusterQueue."""
    if plan.refusal:
        return Ready(False, plan.refusal.reason, plan.refusal.message, stalled=True)
    if plan.awaited:
        return Ready(False, "Terminating", f"waits until {plan.awaited} is gone, to make it anew")
    active = next(iter(_conditions(queue, "Active")), None)
    if active is None:
        return Ready(False, "Progressing", "Kueue has not taken the ClusterQueue in yet")
    if active["status"] != "True":
        return Ready(False, "QueueInactive", f"the ClusterQueue takes no work: {active.get('message', '')}")
    return Ready(True, "Applied", "all is made, and the queue takes work")


def conditions(said: Ready, before: Iterable[Object], generation: int, now: datetime) -> list[Object]:
    """Ready and Stalled; the time of a transition is kept while the status stays.

    Stalled is True where the operator can do nothing until somebody does something, as kstatus has it:
    https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    """
    old = {condition["type"]: condition for condition in before}
    made: list[Object] = []
    for kind, holds in ((READY, said.ready), (STALLED, said.stalled)):
        status = str(holds)
        kept = kind in old and old[kind]["status"] == status
        made.append(
            {
                "type": kind,
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": old[kind]["lastTransitionTime"] if kept else _time(now),
                "reason": said.reason,
                "message": said.message if kind == READY or holds else "",
            }
        )
    return made


def figures(queue: Object | None, oldest: Object | None) -> Object:
    """The part of the status that follows the work: GPUs, what waits, and since when."""
    if queue is None:
        return {"gpus": {"quota": 0, "used": 0, "borrowed": 0}, "pending": 0, "oldestPendingSince": None}
    return {
        "gpus": {
            "quota": gpus(nominal(queue)),
            "used": gpus(reserved(queue)),
            "borrowed": gpus(borrowed(queue)),
        },
        "pending": pending(queue),
        "oldestPendingSince": waiting_since(oldest) if oldest else None,
    }


def is_news(said: Ready, before: Iterable[Object], generation: int) -> bool:
    """Whether a refusal was not told of this generation before."""
    old = next((condition for condition in before if condition["type"] == STALLED), None)
    told = old and (old["status"], old["reason"], old["observedGeneration"])
    return said.stalled and told != ("True", said.reason, generation)


def _owned_by(obj: Object, tenant: Object) -> bool:
    owners = obj["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == tenant["metadata"]["uid"] for owner in owners)


def _taken(tenant: Object, children: Mapping[tuple[str, str], Object]) -> Refusal | None:
    name = _name(tenant)
    for at in (("Namespace", namespace_name(name)), ("ClusterQueue", name)):
        live = children.get(at)
        if live is not None and not belongs(live, tenant):
            return Refusal(
                "NameTaken",
                f"{at[0]} {at[1]} exists and is not this Tenant's: "
                "delete it, or give the Tenant another name",
            )
    return None


def _unknown(spec: TenantSpec, observed: Observed) -> Refusal | None:
    if not observed.cohort_exists:
        return Refusal("UnknownCohort", f"there is no Cohort {spec.cohort}: declare it, or name another")
    if missing := [quota.flavor for quota in spec.quotas if quota.flavor not in observed.flavors]:
        there = ", ".join(sorted(observed.flavors)) or "none"
        return Refusal(
            "UnknownFlavor", f"there is no ResourceFlavor {', '.join(missing)}; there are: {there}"
        )
    return None


def _below_use(wanted: Object, live: Object | None, observed: Observed) -> Refusal | None:
    """Refuse to take away what runs. What is borrowed may be taken back by its owner at any time anyway.

    A quota may always rise, and may fall to what is in use of it: the smaller of what is held and what
    was the Tenant's own.
    """
    if live is None:
        return None
    now, then = nominal(live), nominal(wanted)
    flavors = {flavor for flavor, _ in then}
    told = []
    for (flavor, resource), own in sorted(now.items(), key=lambda item: item[0][1] != GPU):
        held = observed.held.get((flavor, resource), Decimal(0))
        if flavor not in flavors and held:
            told.append(f"flavor {flavor} is no longer listed and {shown(held, resource)} of it are in use")
        elif then.get((flavor, resource), Decimal(0)) < min(own, held):
            asked = shown(then.get((flavor, resource), Decimal(0)), resource)
            told.append(
                f"flavor {flavor}: {asked} asked for, {shown(held, resource)} in use, "
                f"{shown(own, resource)} in force"
            )
    if not told:
        return None
    return Refusal(
        "QuotaBelowUse",
        f"{'; '.join(told)}. The quota stays as it is until enough work has ended, and is then changed by "
        f"itself; to have it sooner, delete Jobs in namespace {namespace_name(live['metadata']['name'])}",
    )


def _leaves(obj: Object) -> bool:
    return obj["kind"] in OUTER and "deletionTimestamp" in obj["metadata"]


def _conditions(obj: Object | None, kind: str) -> list[Object]:
    found = ((obj or {}).get("status") or {}).get("conditions") or ()
    return [condition for condition in found if condition["type"] == kind]


def _queue(objects: Iterable[Object]) -> Object:
    return next(obj for obj in objects if obj["kind"] == "ClusterQueue")


def _live_queue(tenant: Object, observed: Observed) -> Object | None:
    return observed.children.get(("ClusterQueue", _name(tenant)))


def _name(tenant: Object) -> str:
    return str(tenant["metadata"]["name"])


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
