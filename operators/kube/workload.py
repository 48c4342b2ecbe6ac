"""What a Workload says: whether it is in line, since when, and before whom. Pure.

The arithmetic is Kueue's own (v0.19, pkg/workload/workload.go). Who asks has the object as the stream decodes
it, or makes that of a plain one with ``read``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from operators.kube.objects import NOTHING, Amounts, Condition, Workload

Conditions = Mapping[str, Condition]
"""By type."""
Place = tuple[int, datetime, str]
"""A place in Kueue's order: minus the priority, the queue-order timestamp, the uid."""

_ABSENT: Final = Condition("", "Unknown")
_TO_THE_END: Final = ("AdmissionCheck", "PodsReadyTimeout")
"""Evictions after which a Workload queues at the end of the line."""


def read(obj: Mapping[str, Any]) -> Workload:
    """A Workload as the API server sent it. Raises msgspec.ValidationError on what is none."""
    return msgspec.convert(obj, Workload)


def conditions(workload: Workload) -> dict[str, Condition]:
    """All that Kueue says of it."""
    return {condition.type: condition for condition in workload.status.conditions}


def in_line(workload: Workload) -> bool:
    """Whether it queues for quota."""
    true = {c.type for c in workload.status.conditions if c.status == "True"}
    return workload.spec.active is not False and not true & {"QuotaReserved", "Finished"}


def asks(workload: Workload) -> Amounts:
    """What it asks its queue for: of pods that gave their quota back it does no longer.

    totalRequestsFromPodSets with podSetsCountsAfterReclaim.
    """
    reclaimed = {pods.name: pods.count for pods in workload.status.reclaimable_pods}
    total = NOTHING
    for pods in workload.spec.pod_sets:
        left = max(0, pods.count - reclaimed.get(pods.name, 0))
        total = total.plus(pods.template.spec.amounts.times(left))
    return total


def queued_since(workload: Workload, said: Conditions) -> datetime | None:
    """Since when it queues, or queued last: since it was made, or put back. ``said``: its conditions.

    Kueue's QueuedWaitTime counts from the last transition of Requeued. That condition stays True through a
    second preemption: then the moment at which the quota was given back tells.
    """
    if "Requeued" not in said and "Evicted" not in said:
        return workload.metadata.creation_timestamp  # most never were put back
    requeued = said.get("Requeued", _ABSENT)
    since = requeued.last_transition_time or workload.metadata.creation_timestamp
    evicted = said.get("Evicted", _ABSENT)
    put_back = evicted.last_transition_time
    if evicted.status != "True" or put_back is None or (requeued.type and since and since >= put_back):
        return since
    reserved = said.get("QuotaReserved", _ABSENT)
    given_back = None if reserved.status == "True" else reserved.last_transition_time
    return max(put_back, given_back or put_back)


def waits_since(workload: Workload, said: Conditions) -> datetime | None:
    """Since when it waits for what it waits for now: quota, its admission checks, its pods."""
    reached = [
        said[kind].last_transition_time
        for kind in ("QuotaReserved", "Admitted")
        if kind in said and said[kind].status == "True"
    ]
    return max(filter(None, [queued_since(workload, said), *reached]), default=None)


def place(workload: Workload, said: Conditions) -> Place | None:
    """Where it stands in Kueue's order; None of one without a time.

    pkg/cache/queue/cluster_queue.go (baseCompareFunc) and GetQueueOrderTimestamp, with the feature gates as
    they are unless set: PrioritySortingWithinCohort on, PriorityBoost off.
    """
    when = workload.metadata.creation_timestamp
    evicted = said.get("Evicted", _ABSENT)
    if evicted.status == "True" and evicted.reason in _TO_THE_END:
        when = evicted.last_transition_time or when
    return None if when is None else (-(workload.spec.priority or 0), when, workload.metadata.uid)
