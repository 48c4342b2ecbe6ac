"""What a job adds to the totals. Pure: facts in, a ledger entry out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import structs

from operators.collectors.jobs import JobFacts
from operators.collectors.workloads import WorkloadFacts
from operators.ledger.entry import Entry


class Owner(NamedTuple):
    """Who pays: queue and partner."""

    queue: str
    tenant: str
    ecosystem: str
    sector: str


def account(old: Entry | None, job: JobFacts, workload: WorkloadFacts | None, owner: Owner) -> Entry | None:
    """The entry of a job as it is now; None while it adds nothing to any total.

    - Wait: first admission - creation. Of a job that is met only after it had been put back, the
      first admission is taken to be the present one less the time it was admitted before.
    - Run: end - last admission.
    - Admitted time: the Workload's accumulatedPastExecutionTimeSeconds, plus what lies between the last
      admission and the end; what a former Workload of the job had is kept.
    - A Job that no queue has a hand in is admitted when it starts.

    Nothing but ``gpus`` and ``running_since`` ever goes down: the API may forget, the totals must not.
    """
    admitted, past, evictions, gpus = _held(old, job, workload)
    if old is None:
        if admitted is None and not (past or evictions or job.restarts or job.outcome):
            return None
        old = opened(job, owner)
    wait = old.wait
    if wait is None and admitted is not None:
        wait = max(0, admitted - past - job.created)
    ran, run = old.ran, old.run
    if job.outcome and admitted is not None and job.finished is not None:
        ran = max(ran, job.finished - admitted)
        run = ran if run is None else run
    return structs.replace(
        old,
        gpus=gpus,
        wait=wait,
        running_since=None if job.outcome else admitted,
        # Kueue clears the time of a Workload that is switched off; a new Workload begins at 0.
        earlier=old.earlier + (old.past if past < old.past else 0),
        past=past,
        ran=ran,
        run=run,
        outcome=old.outcome or job.outcome or None,
        finished=job.finished if old.finished is None else old.finished,
        restarts=max(old.restarts, job.restarts),
        evictions=_most(dict(old.evictions), dict(evictions)),
    )


def opened(job: JobFacts, owner: Owner) -> Entry:
    """The entry of a job that has added nothing to any total so far."""
    return Entry(uid=job.uid, namespace=job.namespace, job=job.name, created=job.created, **owner._asdict())


def without_workload(old: Entry, at: int) -> Entry:
    """The entry of a job whose Workload is gone at ``at``, while the Job is not."""
    if old.running_since is None:
        return old
    held = max(0, at - old.running_since)
    return structs.replace(old, earlier=old.earlier + held, running_since=None)


def _held(
    old: Entry | None, job: JobFacts, workload: WorkloadFacts | None
) -> tuple[int | None, int, tuple[tuple[str, int], ...], int]:
    """(admitted since, admitted before, evictions, GPUs) of the job."""
    if workload is not None:
        return workload.admitted, workload.past, workload.evictions, workload.asks.gpus
    if not job.queue_name:
        since = None if job.suspended and not job.outcome else job.started
        return since, old.past if old else 0, (), job.asks.gpus
    if old is not None:
        return old.running_since, old.past, (), old.gpus
    return None, 0, (), job.asks.gpus


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if one == other:
        return tuple(sorted(one.items()))
    return tuple(sorted((reason, max(one.get(reason, 0), other.get(reason, 0))) for reason in {*one, *other}))
