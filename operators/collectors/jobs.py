"""What a Job is, as the metrics see it. Pure: object in, facts and samples out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from operators import catalog
from operators.collectors.workloads import WorkloadFacts, interned
from operators.kube.objects import NOTHING, Amounts, Job, seconds
from operators.reasons import Reason

PENDING: Final = "pending"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATES: Final = (PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED)

Sample = tuple[str, tuple[str, ...], float]

FAMILIES: Final = tuple(
    f.name for f in catalog.FAMILIES if f.per_object and f.name.startswith("antenna_job_")
)
"""Those of one series a Job."""

_ENDS: Final = {"Complete": SUCCEEDED, "Failed": FAILED}


class JobFacts(msgspec.Struct, frozen=True, gc=False):
    """The few facts that are kept of a Job. Times are whole seconds since the epoch."""

    uid: str
    name: str
    namespace: str
    queue_name: str
    """The LocalQueue that its label names; empty where it names none."""
    owner: str
    """``Kind/name`` of the controller that made it; empty where nobody but a user did."""
    created: int
    asks: Amounts
    """What its pods ask for together."""
    holds: Amounts = NOTHING
    """The same without pods that have succeeded and are not made anew."""
    paused: bool = False
    """It wants no pod: its parallelism is 0."""
    suspended: bool = False
    suspended_at: int | None = None
    """Since when it is suspended."""
    ready: bool = False
    """A pod of it is ready."""
    ended: bool = False
    """A pod of it has ended."""
    started: int | None = None
    restarts: int = 0
    """Pods of it that failed."""
    outcome: str = ""
    finished: int | None = None
    deleted: int | None = None
    """When its deletion began."""


def job_facts(job: Job) -> JobFacts:
    """Of a Job's object.

    It has as many pods as its parallelism, but no more than completions (Kueue counts them so too).
    """
    metadata, spec, status = job.metadata, job.spec, job.status
    uncounted = status.uncounted_terminated_pods
    failed = status.failed + (len(uncounted.failed) if uncounted else 0)
    ended = status.succeeded + failed + (len(uncounted.succeeded) if uncounted else 0)
    pods = 1 if spec.parallelism is None else spec.parallelism
    if spec.completions is not None:
        pods = min(pods, spec.completions)
    left = pods if spec.completions is None else max(0, min(pods, spec.completions - status.succeeded))
    outcome, finished, suspended_at = "", None, None
    for condition in status.conditions:
        if condition.status == "True" and condition.type in _ENDS:
            outcome = _ENDS[condition.type]
            finished = seconds(status.completion_time or condition.last_transition_time)
        elif condition.status == "True" and condition.type == "Suspended":
            suspended_at = seconds(condition.last_transition_time)
    one = spec.template.spec.amounts
    asks: Amounts = interned(one.times(pods))
    return JobFacts(
        uid=metadata.uid,
        name=metadata.name,
        namespace=interned(metadata.namespace),
        queue_name=interned(metadata.labels.queue_name),
        owner=next((f"{o.kind}/{o.name}" for o in metadata.owner_references if o.controller), ""),
        created=seconds(metadata.creation_timestamp) or 0,
        asks=asks,
        holds=asks if left == pods else interned(one.times(left)),
        paused=pods == 0,
        suspended=spec.suspend,
        suspended_at=suspended_at,
        ready=bool(status.ready),
        ended=bool(ended),
        started=seconds(status.start_time),
        restarts=failed,
        outcome=outcome,
        finished=finished,
        deleted=seconds(metadata.deletion_timestamp),
    )


def state(job: JobFacts, workload: WorkloadFacts | None, stuck: Reason | None) -> str:
    """One of STATES; ``stuck`` is what is said of a pod of it that cannot start.

    - ``succeeded``, ``failed``: its condition Complete or Failed is True.
    - ``cancelled``: it is being deleted and had not ended.
    - ``pending``: it is suspended (it waits for quota, or was put back into its queue), or it is
      admitted and no pod of it has become ready or ended since: the pods wait for a node, an image, ...
    - ``running``: it is not suspended, and a pod of it is ready; or none is at this moment, but one has ended
      since it was admitted, and none is stuck. Of a job that was put back once nobody knows which of
      its pods ended before that: it runs when one is ready.
    """
    if job.outcome:
        return job.outcome
    if job.deleted is not None:
        return CANCELLED
    if job.suspended:
        return PENDING
    again = workload is not None and bool(workload.past or workload.evictions)
    return RUNNING if job.ready or (job.ended and not again and stuck is None) else PENDING


def asked(job: JobFacts, workload: WorkloadFacts | None) -> Amounts:
    """What the Job has or waits for: by its Workload (which may be admitted for fewer pods), or its own."""
    return job.asks if workload is None else workload.asks


def job_samples(
    site: str, job: JobFacts, workload: WorkloadFacts | None, state: str, place: tuple[str, str]
) -> Iterator[Sample]:
    """All per-object samples of a Job in a state; ``place``: its queue and tenant."""
    key = (site, job.namespace, job.name)
    amounts = asked(job, workload)
    yield "antenna_job_info", (*key, job.uid, *place, job.owner), 1
    yield "antenna_job_state", (*key, state), 1
    yield "antenna_job_gpus", key, amounts.gpus
    yield "antenna_job_cpu_cores", key, amounts.millicores / 1000
    yield "antenna_job_memory_bytes", key, amounts.bytes
    yield "antenna_job_created_timestamp_seconds", key, job.created
    if workload is not None and workload.admitted is not None:
        yield "antenna_job_admitted_timestamp_seconds", key, workload.admitted
    if job.started is not None:
        yield "antenna_job_started_timestamp_seconds", key, job.started
    if job.finished is not None:
        yield "antenna_job_finished_timestamp_seconds", key, job.finished
    yield "antenna_job_restarts", key, job.restarts
    yield "antenna_job_evictions", key, sum(n for _, n in workload.evictions) if workload else 0
