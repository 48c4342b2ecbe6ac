"""Reading the few fields of Kubernetes objects that the commands show. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from operators.queues import GPU, quantity

Object = Mapping[str, Any]


def gpus(amount: int | str | None) -> int:
    """A quantity of GPUs, which are whole; 0 for None."""
    return int(quantity(amount or 0))


def condition(found: Object, kind: str) -> Object:
    """The condition of this type, or an empty one."""
    for one in found.get("status", {}).get("conditions") or []:
        if one.get("type") == kind:
            return dict(one)
    return {}


def is_true(found: Object, kind: str) -> bool:
    """Whether the condition of this type is there and True."""
    return bool(condition(found, kind).get("status") == "True")


def gpu_quotas(queue: Object) -> Iterator[Object]:
    """The GPU entry of each flavor of a ClusterQueue or Cohort: nominalQuota, borrowingLimit."""
    for group in queue["spec"].get("resourceGroups") or []:
        for flavor in group["flavors"]:
            yield from (r for r in flavor["resources"] if r["name"] == GPU)


def nominal(queue: Object) -> int:
    """Nominal GPUs of a ClusterQueue or Cohort, over all flavors."""
    return sum(gpus(entry.get("nominalQuota")) for entry in gpu_quotas(queue))


def reservation(cluster_queue: Object) -> tuple[int, int]:
    """(GPUs reserved, of which borrowed) of a ClusterQueue over all flavors, as Kueue says."""
    entries = [
        resource
        for flavor in cluster_queue.get("status", {}).get("flavorsReservation") or []
        for resource in flavor.get("resources") or []
        if resource["name"] == GPU
    ]
    return sum(gpus(e.get("total")) for e in entries), sum(gpus(e.get("borrowed")) for e in entries)
