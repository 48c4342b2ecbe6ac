"""What a job adds to the totals. Pure: an entry and what is seen of its Job or Workload in, the entry out.

Each step may be taken again with the same facts, and changes nothing then. An entry holds all that later
steps need, so that what happened while no operator ran can be made up for in the order in which it
happened.

- Wait: first admission - creation. Of a job that is met only after it had been put back, the first
  admission is taken to be the present one less the time for which it was admitted before.
- Run: end - last admission. It is counted when there can be no further admission: Kueue has declared the
  Workload finished, or it is gone.
- Admitted time: the Workload's accumulatedPastExecutionTimeSeconds, plus what lies between the last
  admission and the end; what former Workloads of the job had is kept.
- GPU-seconds: the integral of the GPUs held over admitted time. What is over is banked with the GPUs that
  were held then: a job that asks for more afterwards, or gives some back, changes nothing of the past.
  An elastic job that grows has another Workload, whose admission ends the former one's.
- A job that is deleted before its end holds its quota until its Workload is over: Kueue finds the owner
  gone, or the Workload's deletion begins. Both happen at once, and the earlier time may be told later: what
  is said of the end counts when Kueue has said its own, or the Workload is gone.
- A Job that no queue has a hand in is admitted when it starts.

Outcome, wait, run, restarts and evictions never go down: the API may forget, the totals must not.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from operators.collectors.jobs import JobFacts
from operators.collectors.workloads import WorkloadFacts
from operators.ledger.entry import CANCELLED, UNKNOWN, Entry

Counts = tuple[tuple[str, int], ...]
"""(Kueue's reason, how often)."""
Held = tuple[int | None, bool, int, int | None, int | None]
"""running_since, over, ran, began and run of an entry."""


class Owner(NamedTuple):
    """Who pays: queue and partner."""

    queue: str
    tenant: str
    ecosystem: str
    sector: str


def opened(job: JobFacts, owner: Owner) -> Entry:
    """The entry of a job that has added nothing to any total so far."""
    return Entry(uid=job.uid, namespace=job.namespace, job=job.name, created=job.created, **owner._asdict())


def counts(workload: WorkloadFacts) -> bool:
    """Whether it adds to any total: it is admitted, or was."""
    return workload.admitted is not None or bool(workload.past or workload.evictions)


def account(
    old: Entry | None, job: JobFacts, workload: WorkloadFacts | None, owner: Owner, at: int
) -> Entry | None:
    """The entry of a job as it is now; None while it adds nothing to any total.

    ``at`` is the time of what changed without telling when.
    """
    if old is None:
        alone = workload is None and not job.queue_name
        if not (
            (job.outcome or job.restarts)
            or (workload is not None and counts(workload))
            or (alone and job.started is not None and not job.suspended)
        ):
            return None
        old = opened(job, owner)
    entry = with_job(old, job, at, alone=workload is None and not old.workload and not job.queue_name)
    return entry if workload is None else with_workload(entry, workload, at)


def with_job(entry: Entry, job: JobFacts, at: int, *, alone: bool) -> Entry:
    """The entry once its Job is so; ``alone``: no queue has a hand in it."""
    outcome = entry.outcome or job.outcome or None
    finished = job.finished if entry.finished is None else entry.finished
    restarts = max(entry.restarts, job.restarts)
    if (outcome, finished, restarts) != (entry.outcome, entry.finished, entry.restarts):
        entry = replace(entry, outcome=outcome, finished=finished, restarts=restarts)
    if alone:
        since = None if job.suspended and not job.outcome else job.started
        wait = entry.wait
        if wait is None and since is not None:
            wait = max(0, since - entry.created)
        if entry.wait != wait:
            entry = replace(entry, wait=wait)
        if since != entry.running_since and entry.running_since is not None:
            entry = _banked(entry, job.suspended_at or at)
        entry = _sized(entry, since, job.holds.gpus, at)
        return _holding(entry, _held(entry, since, finished, last=outcome is not None))
    # Its Workload may have been told gone before: streams are not of one pace.
    since = entry.began if entry.running_since is None else entry.running_since
    if finished is not None and since is not None:
        return _holding(entry, _held(entry, since, finished, last=False))
    return entry


def with_workload(entry: Entry, workload: WorkloadFacts, at: int) -> Entry:
    """The entry once its Workload is so. ``at``: see ``account``."""
    past, evictions, admitted = workload.past, workload.evictions, workload.admitted
    if entry.workload and entry.workload != workload.uid:
        entry = _without_former(entry, at if admitted is None else admitted)
    entry = _grown(entry, workload, at)
    if entry.evictions:
        evictions = _most(entry.evictions, _sum(entry.evictions_before, evictions))
    wait = entry.wait
    if wait is None and admitted is not None:
        wait = max(0, admitted - past - entry.created)
    over = workload.over if workload.finished else None
    end = over if entry.finished is None else entry.finished
    held = _held(entry, admitted, end, last=entry.outcome is not None and workload.finished)
    now = (workload.uid, past, evictions, wait, *held)
    if now == (entry.workload, entry.past, entry.evictions, entry.wait, *_holds(entry)):
        return entry
    since, over, ran, began, run = held
    return replace(
        entry,
        workload=workload.uid,
        # Kueue clears the time of a Workload that is switched off.
        earlier=entry.earlier + (entry.past if past < entry.past else 0),
        past=past,
        evictions=evictions,
        wait=wait,
        running_since=since,
        over=over,
        ran=ran,
        began=began,
        run=run,
    )


def without_workload(entry: Entry, at: int, *, job_gone: bool) -> Entry:
    """The entry once its Workload, which ``with_workload`` was told of last, is gone.

    ``at`` is when it was over, or when it went where it did not tell.
    """
    if entry.running_since is not None:
        entry = _over(entry, at if entry.finished is None else entry.finished)
    return _closed(entry, at, gone=job_gone)


def without_job(entry: Entry, at: int, *, left: bool, outcome: str = CANCELLED) -> Entry:
    """The entry once its Job is gone, with this ``outcome`` if it had none.

    ``left``: its Workload is still there, and its end is still to come. ``at`` is when it went.
    """
    entry = replace(entry, outcome=entry.outcome or outcome)
    if left:
        return _closed(entry, at, gone=False) if entry.outcome == CANCELLED else entry
    if entry.running_since is not None:
        entry = _over(entry, at if entry.finished is None else entry.finished)
    return _closed(entry, at, gone=True)


def lost(entry: Entry, at: int) -> Entry:
    """The entry of a job that went, with its Workload, while nobody looked; last seen at ``at``."""
    return without_job(entry, at, left=False, outcome=UNKNOWN)


def _holds(entry: Entry) -> Held:
    return entry.running_since, entry.over, entry.ran, entry.began, entry.run


def _held(entry: Entry, since: int | None, end: int | None, *, last: bool) -> Held:
    """running_since, over, ran, began and run of an admission: since and until when, if it was the last."""
    if entry.run is not None:
        return _holds(entry)
    if since is None:
        return None, False, 0, None, None
    if end is None:
        return since, False, 0, None, None
    ran = max(0, end - since)
    return None, True, ran, since, ran if last and entry.outcome != UNKNOWN else None


def _holding(entry: Entry, held: Held) -> Entry:
    if held == _holds(entry):
        return entry
    since, over, ran, began, run = held
    return replace(entry, running_since=since, over=over, ran=ran, began=began, run=run)


def _over(entry: Entry, end: int) -> Entry:
    """With its admission over; another may follow, as far as is known."""
    return _holding(entry, _held(entry, entry.running_since, end, last=False))


def _closed(entry: Entry, at: int, *, gone: bool) -> Entry:
    """With its run, if its last admission is over and it has ended: nothing can follow."""
    run = entry.run
    if run is None and entry.over and entry.outcome not in (None, UNKNOWN):
        run = entry.ran
    finished = at if gone and entry.finished is None else entry.finished
    return replace(entry, run=run, finished=finished, gone=gone)


def _grown(entry: Entry, workload: WorkloadFacts, at: int) -> Entry:
    """With what its Workload has held since banked, and the GPUs that it holds now."""
    if entry.run is not None:
        return entry
    admitted, more = workload.admitted, max(0, workload.past - entry.past)
    holds = entry.gpus if admitted is None else workload.wanted.gpus
    if entry.running_since is not None and entry.running_since != admitted and not more:
        # Kueue tells the time of an admission that is over in whole seconds, unless it has forgotten it.
        entry = _banked(entry, at if workload.released is None else workload.released)
    elif more:
        # Of admissions that nobody saw: with as many as it held then, as far as is known.
        seen = entry.running_since is not None or entry.over
        gpus = entry.gpus if seen or entry.gpus else (holds or workload.asks.gpus)
        entry = replace(entry, banked=entry.banked + gpus * more)
        if entry.running_since != admitted:
            entry = replace(entry, running_since=None, resized=None)
    return _sized(entry, admitted, holds, at if workload.touched is None else min(at, workload.touched))


def _sized(entry: Entry, since: int | None, gpus: int, at: int) -> Entry:
    """Holding so many GPUs from ``at`` on, of an admission that began at ``since``."""
    if entry.gpus == gpus or entry.run is not None or entry.over:
        return entry
    if since is None or since != entry.running_since:
        return replace(entry, gpus=gpus, resized=None)
    at = max(at, since, entry.resized or since)
    return replace(entry, gpus=gpus, resized=at, banked=entry.banked + (entry.gpus - gpus) * (at - since))


def _banked(entry: Entry, end: int) -> Entry:
    """With its last admission over at ``end`` and banked."""
    if entry.running_since is None:
        return entry
    end = max(end, entry.running_since, entry.resized or end)
    held = entry.gpus * (end - entry.running_since)
    return replace(entry, banked=entry.banked + held, running_since=None, resized=None)


def _without_former(entry: Entry, end: int) -> Entry:
    """Ready for another Workload: what the former one had, until ``end`` where it did not tell, is kept."""
    more = entry.ran if entry.run is None else 0
    if entry.running_since is not None:
        more = max(0, end - entry.running_since)
    elif more:
        entry = replace(entry, banked=entry.banked + entry.gpus * more)
    entry = _banked(entry, end)
    ran = 0 if entry.run is None else entry.ran
    return replace(
        entry,
        earlier=entry.earlier + entry.past + more,
        resized=None,
        past=0,
        ran=ran,
        over=False,
        began=None,
        running_since=None,
        evictions_before=entry.evictions,
    )


def _sum(one: Counts, other: Counts) -> Counts:
    counts = dict(one)
    for reason, count in other:
        counts[reason] = counts.get(reason, 0) + count
    return tuple(sorted(counts.items()))


def _most(one: Counts, other: Counts) -> Counts:
    if one == other:
        return one
    counts = dict(one)
    for reason, count in other:
        counts[reason] = max(counts.get(reason, 0), count)
    return tuple(sorted(counts.items()))
