"""What a Workload is, as the metrics see it. Pure: object in, facts out."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from operators.objects import Amounts, Condition, Workload, seconds
from operators.reasons import Condition as Told
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


def workload_facts(workload: Workload) -> WorkloadFacts:
    """Of a Workload's object.

    Quota held is status.admission's resourceUsage, by flavor, less the share of reclaimable pods,
    as Kueue itself counts: resourceUsage x (count - reclaimable) / count for each pod set.
    """
    metadata, spec, status = workload.metadata, workload.spec, workload.status
    conditions = {c.type: c for c in status.conditions}
    finished = _true(conditions.get("Finished"))
    admitted = conditions.get("Admitted")
    reclaimed = {pods.name: pods.count for pods in status.reclaimable_pods}
    asks = wanted = Amounts()
    held: dict[str, Amounts] = {}
    if status.admission is None:
        for pods in spec.pod_sets:
            one = pods.template.spec.amounts
            asks = _plus(asks, one.times(pods.count))
            wanted = _plus(wanted, one.times(max(0, pods.count - reclaimed.get(pods.name, 0))))
    else:
        counts = {pods.name: pods.count for pods in spec.pod_sets}
        for given in status.admission.pod_set_assignments:
            count = counts.get(given.name, 1) if given.count is None else given.count
            usage, flavors = given.resource_usage, given.flavors
            whole = usage.amounts
            left = _share(whole, max(0, count - reclaimed.get(given.name, 0)), count)
            asks, wanted = _plus(asks, whole), _plus(wanted, left)
            for flavor, amounts in (
                (flavors.gpu, Amounts(gpus=left.gpus)),
                (flavors.cpu, Amounts(millicores=left.millicores)),
                (flavors.memory, Amounts(bytes=left.bytes)),
            ):
                if flavor:
                    held[flavor] = _plus(held.get(flavor, Amounts()), amounts)
    stats = status.scheduling_stats
    evictions: dict[str, int] = {}
    for one_reason in stats.evictions if stats else ():
        reason = one_reason.reason if one_reason.reason in EVICTION_REASONS else "Other"
        evictions[reason] = evictions.get(reason, 0) + one_reason.count
    return WorkloadFacts(
        uid=metadata.uid,
        job_uid=metadata.labels.job_uid,
        namespace=interned(metadata.namespace),
        queue_name=interned(spec.queue_name),
        cluster_queue=interned(status.admission.cluster_queue) if status.admission else "",
        finished=finished,
        active=spec.active is not False,
        asks=interned(asks),
        wanted=interned(wanted),
        held=() if finished else interned(tuple(sorted(held.items()))),
        admitted=seconds(admitted.last_transition_time) if admitted and _true(admitted) else None,
        past=status.accumulated_past_execution_time_seconds or 0,
        evictions=interned(tuple(sorted(evictions.items()))),
        reason=of_workload(
            {c.type: Told(c.status, c.reason, c.message) for c in status.conditions},
            active=spec.active is not False,
            checks=[check.state for check in status.admission_checks],
        ),
    )


@lru_cache(maxsize=16384)
def interned(value: T) -> T:
    """The same value, as one object for all who hold it: few are different among many Jobs."""
    return value


def _true(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(one.gpus + other.gpus, one.millicores + other.millicores, one.bytes + other.bytes)


def _share(whole: Amounts, part: int, count: int) -> Amounts:
    if count in (part, 0):
        return whole
    return Amounts(*(amount * part // count for amount in whole))
