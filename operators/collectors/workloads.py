"""What a Workload is, as the metrics see it. Pure: object in, facts out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from operators.kube.objects import (
    NOTHING,
    Admission,
    Amounts,
    Condition,
    PodSet,
    SchedulingStats,
    Workload,
    seconds,
)
from operators.kube.workload import asks, queued_since
from operators.kube.workload import conditions as said
from operators.reasons import Reason, of_workload

T = TypeVar("T")

Held = tuple[tuple[str, Amounts], ...]
"""(flavor, amounts), in the flavors' order by name."""

# https://github.com/kubernetes-sigs/kueue/blob/v0.19.2/apis/kueue/v1beta2/workload_types.go
EVICTION_REASONS: Final = frozenset(
    {
        "Preempted",
        "FlavorMigration",
        "PodsReadyTimeout",
        "AdmissionCheck",
        "ClusterQueueStopped",
        "LocalQueueStopped",
        "NodeFailures",
        "EvictedOnManagerCluster",
        "WorkloadSliceReplaced",
        "Deactivated",
        "MaximumExecutionTimeExceeded",
        "RequeuingLimitExceeded",
    }
)
"""Every value of the label ``reason`` of evictions; any other is ``Other``."""


_ONE_POD: Final = PodSet()
_OWNER_GONE: Final = "OwnerNotFound"  # Kueue's reason of Finished
_REPLACED: Final = "WorkloadSliceReplaced"  # likewise


class WorkloadFacts(msgspec.Struct, frozen=True, gc=False):
    """The few facts that are kept of a Workload. Times are whole seconds since the epoch."""

    uid: str
    job_uid: str
    namespace: str
    queue_name: str
    cluster_queue: str
    """The ClusterQueue whose quota it holds; empty while it holds none."""
    finished: bool
    active: bool
    asks: Amounts
    """What its pods ask for together, or were admitted with."""
    wanted: Amounts
    """The same without pods whose quota was given back early."""
    held: Held
    """Quota that it holds now. A Workload that has finished holds none."""
    admitted: int | None
    """Since when it is admitted, or was when it finished."""
    past: int
    """Seconds for which it was admitted before: status.accumulatedPastExecutionTimeSeconds."""
    evictions: tuple[tuple[str, int], ...]
    reason: Reason
    over: int | None = None
    """When it ended without its Job: Kueue found its owner gone, or its own deletion began."""
    created: int | None = None
    queued: int | None = None
    """Since when it queues, or queued last."""
    released: int | None = None
    """When it was last put back, of one that is not admitted."""
    touched: int | None = None
    """When it was written last, of one that holds less than it was given: that has no time of its own."""
    replaced: bool = False
    """Another Workload of its job, with more or fewer pods, has taken its place."""


def workload_facts(workload: Workload) -> WorkloadFacts:
    """Of a Workload's object.

    Quota held is status.admission's resourceUsage, by flavor, less the share of pods that gave theirs
    back since, as Kueue itself counts for each pod set: of its admission's count as many as are left of
    all its pods. An admission that comes after some had ended is for the others only.
    https://github.com/kubernetes-sigs/kueue/blob/v0.19.2/pkg/workload/workload.go#L704
    """
    metadata, spec, status = workload.metadata, workload.spec, workload.status
    conditions = said(workload)
    finished = _true(conditions.get("Finished"))
    admitted = conditions.get("Admitted")
    whole, wanted, held, less = (
        _waiting(workload) if status.admission is None else _given(workload, status.admission)
    )
    return WorkloadFacts(
        uid=metadata.uid,
        job_uid=metadata.labels.job_uid,
        namespace=interned(metadata.namespace),
        queue_name=interned(spec.queue_name),
        cluster_queue=interned(status.admission.cluster_queue) if status.admission else "",
        finished=finished,
        active=spec.active is not False,
        asks=interned(whole),
        wanted=interned(wanted),
        held=() if finished else interned(held),
        admitted=seconds(admitted.last_transition_time) if admitted and _true(admitted) else None,
        past=status.accumulated_past_execution_time_seconds or 0,
        evictions=_evictions(status.scheduling_stats),
        reason=of_workload(
            conditions,
            active=spec.active is not False,
            checks=[check.state for check in status.admission_checks],
        ),
        over=_over(workload, conditions.get("Finished")),
        created=seconds(metadata.creation_timestamp),
        queued=seconds(queued_since(workload, conditions)),
        released=seconds(admitted.last_transition_time) if admitted and not _true(admitted) else None,
        touched=_touched(workload) if less else None,
        replaced=finished and conditions["Finished"].reason == _REPLACED,
    )


def standing(workloads: Iterable[WorkloadFacts]) -> WorkloadFacts:
    """Of several Workloads of one Job the one that stands for it.

    One that has ended or goes comes after one that has not, one that was replaced comes last, and what was
    admitted later comes first: an elastic Job that grows has a Workload that waits beside the one that it
    runs with, until that is replaced
    (https://github.com/kubernetes-sigs/kueue/tree/main/keps/77-dynamically-sized-jobs).
    """
    return max(workloads, key=_standing_order)


@lru_cache(maxsize=16384)
def interned(value: T) -> T:
    """The same value, as one object for all who hold it: few are different among many Jobs."""
    return value


def _standing_order(workload: WorkloadFacts) -> tuple[bool, bool, int, int, str]:
    lives = not workload.finished and workload.over is None
    last = not workload.replaced
    # Of those that have ended the last one that was made: what it replaced was admitted once, it maybe not.
    made = workload.created or 0
    admitted = -1 if workload.admitted is None else workload.admitted
    when = (admitted, made) if lives else (made, admitted)
    return (lives, last, *when, workload.uid)


def _true(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"


def _over(workload: Workload, finished: Condition | None) -> int | None:
    deleted = seconds(workload.metadata.deletion_timestamp)
    if finished is None or finished.reason != _OWNER_GONE or not _true(finished):
        return deleted
    found = seconds(finished.last_transition_time)
    return found if deleted is None or found is None else min(found, deleted)


def _touched(workload: Workload) -> int | None:
    times = [fields.time for fields in workload.metadata.managed_fields if fields.time is not None]
    return seconds(max(times)) if times else None


def _share(whole: Amounts, part: int, count: int) -> Amounts:
    if count in (part, 0):
        return whole
    return Amounts(*(amount * part // count for amount in whole))


def _waiting(workload: Workload) -> tuple[Amounts, Amounts, Held, bool]:
    """What a Workload without quota asks for, wants, and holds."""
    whole = NOTHING
    for pods in workload.spec.pod_sets:
        whole = whole.plus(pods.template.spec.amounts.times(pods.count))
    return whole, asks(workload) if workload.status.reclaimable_pods else whole, (), False


def _given(workload: Workload, admission: Admission) -> tuple[Amounts, Amounts, Held, bool]:
    """What a Workload with quota asks for, wants, and holds; and whether that is less than it was given."""
    reclaimed = {pods.name: pods.count for pods in workload.status.reclaimable_pods}
    sets = {pods.name: pods for pods in workload.spec.pod_sets}
    all_pods = wanted = NOTHING
    less = False
    held: dict[str, Amounts] = {}
    for given in admission.pod_set_assignments:
        pods = sets.get(given.name, _ONE_POD)
        count = pods.count if given.count is None else given.count
        whole, flavors = given.resource_usage.amounts, given.flavors
        left = _share(whole, min(count, max(0, pods.count - reclaimed.get(given.name, 0))), count)
        # Fewer than all: some had ended before, which still are the job's; or it was content with fewer.
        partly = count < pods.count and pods.min_count is None
        # More than all: an elastic job has become smaller since, and keeps its admission.
        shrunk = given.name in sets and pods.count < count
        all_pods = all_pods.plus(pods.template.spec.amounts.times(pods.count) if partly or shrunk else whole)
        wanted = wanted.plus(left)
        less = less or left != whole
        if flavors.gpu == flavors.cpu == flavors.memory:
            parts = [(flavors.gpu, left)]
        else:
            parts = [
                (flavors.gpu, Amounts(gpus=left.gpus)),
                (flavors.cpu, Amounts(millicores=left.millicores)),
                (flavors.memory, Amounts(bytes=left.bytes)),
            ]
        for flavor, amounts in parts:
            if flavor:
                held[flavor] = held.get(flavor, NOTHING).plus(amounts)
    return all_pods, wanted, tuple(sorted(held.items())), less


def _evictions(stats: SchedulingStats | None) -> tuple[tuple[str, int], ...]:
    if stats is None or not stats.evictions:
        return ()
    counts: dict[str, int] = {}
    for one in stats.evictions:
        reason = one.reason if one.reason in EVICTION_REASONS else "Other"
        counts[reason] = counts.get(reason, 0) + one.count
    counted: tuple[tuple[str, int], ...] = interned(tuple(sorted(counts.items())))
    return counted
