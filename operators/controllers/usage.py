"""What a ClusterQueue gives and what its work holds, in numbers. Pure.

Fields as Kueue has them: https://kueue.sigs.k8s.io/docs/reference/kueue.v1beta2/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from operators.kube import workload
from operators.kube.time import written
from operators.queues import GPU, quantity
from operators.tenancy import Object

Amounts = Mapping[tuple[str, str], Decimal]
"""(flavor, resource) -> amount in the resource's base unit: cores, bytes, GPUs."""

_UNITS = {GPU: ("GPU", "GPUs"), "cpu": ("core", "cores")}


def nominal(queue: Object) -> dict[tuple[str, str], Decimal]:
    """The nominal quotas of a ClusterQueue."""
    return {
        (flavor["name"], resource["name"]): quantity(resource["nominalQuota"])
        for group in queue["spec"].get("resourceGroups") or ()
        for flavor in group["flavors"]
        for resource in flavor["resources"]
    }


def reserved(queue: Object) -> dict[tuple[str, str], Decimal]:
    """What the work of a ClusterQueue holds, as its status says; a moment late."""
    return _reservation(queue, "total")


def borrowed(queue: Object) -> dict[tuple[str, str], Decimal]:
    """What of it is beyond the nominal quota."""
    return _reservation(queue, "borrowed")


def pending(queue: Object) -> int:
    """Workloads that wait in it for quota."""
    return int((queue.get("status") or {}).get("pendingWorkloads") or 0)


def gpus(amounts: Amounts) -> int:
    """GPUs of all flavors."""
    return int(sum(amount for (_, resource), amount in amounts.items() if resource == GPU))


def held(workloads: Iterable[Object]) -> dict[tuple[str, str], Decimal]:
    """What Workloads hold that have a quota reservation, as Kueue reckons it: what a Job's finished pods
    have given back is not counted."""
    total: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for holder in workloads:
        status = holder.get("status") or {}
        if "admission" not in status or _is(holder, "Finished"):
            continue
        left = {pods["name"]: pods.get("count", 1) for pods in holder["spec"].get("podSets") or ()}
        for pods in status.get("reclaimablePods") or ():
            left[pods["name"]] = max(0, left.get(pods["name"], 0) - pods["count"])
        for pods in status["admission"]["podSetAssignments"]:
            count = pods.get("count") or 1
            share = Decimal(min(count, left.get(pods["name"], count))) / count
            for resource, amount in (pods.get("resourceUsage") or {}).items():
                flavor = (pods.get("flavors") or {}).get(resource, "")
                total[flavor, resource] += quantity(amount) * share
    return dict(total)


def larger(one: Amounts, other: Amounts) -> dict[tuple[str, str], Decimal]:
    """The larger of two readings of the same, amount by amount."""
    zero = Decimal(0)
    return {at: max(one.get(at, zero), other.get(at, zero)) for at in one.keys() | other.keys()}


def oldest(workloads: Iterable[Object]) -> Object | None:
    """The Workload that waits longest."""
    return min(filter(waiting_since, workloads), key=waiting_since, default=None)


def waiting_since(obj: Object) -> str:
    """Since when a Workload waits in line, RFC 3339; empty of one that does not."""
    found = workload.read(obj)
    since = workload.queued_since(found, workload.conditions(found)) if workload.in_line(found) else None
    return written(since) if since else ""


def shown(amount: Decimal, resource: str) -> str:
    """An amount for people: "4 GPUs", "2.5 cores", "64 GiB"."""
    if resource == "memory":
        return f"{float(amount / 2**30):g} GiB"
    one, many = _UNITS.get(resource, (resource, resource))
    return f"{float(amount):g} {one if amount == 1 else many}"


def _reservation(queue: Object, figure: str) -> dict[tuple[str, str], Decimal]:
    return {
        (flavor["name"], resource["name"]): quantity(resource.get(figure) or 0)
        for flavor in (queue.get("status") or {}).get("flavorsReservation") or ()
        for resource in flavor.get("resources") or ()
    }


def _is(obj: Object, condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in _conditions(obj))


def _conditions(obj: Object) -> Iterator[Object]:
    yield from (obj.get("status") or {}).get("conditions") or ()
