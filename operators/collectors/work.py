"""Jobs with their Workloads and stuck pods: states, reasons, ages, and what each adds to the totals.

A Job and its Workload are joined by uid (the Workload's label ``kueue.x-k8s.io/job-uid``); either may
come first, and either may go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from operators.collectors.accounts import (
    Owner,
    account,
    lost,
    opened,
    with_workload,
    without_job,
    without_workload,
)
from operators.collectors.gauges import Gauges
from operators.collectors.history import Change, replay
from operators.collectors.jobs import FAMILIES, PENDING, JobFacts, Sample, job_samples, state
from operators.collectors.pending import Oldest
from operators.collectors.queues import Usage
from operators.collectors.tenants import Places
from operators.collectors.totals import Totals
from operators.collectors.workloads import WorkloadFacts, standing
from operators.exposition.store import Store
from operators.ledger.entry import CANCELLED, UNKNOWN, Entry
from operators.reasons import SETTLED, Reason

AWAITED: Final = 60.0
"""Seconds for which a job that went without a Workload may still get one."""

Place = tuple[str, str]
"""(queue, tenant)."""


class _Record:
    """One job: its Job, its Workload, or both."""

    __slots__ = ("entry", "job", "place", "reason", "since", "state", "workload")

    def __init__(self) -> None:
        self.job: JobFacts | None = None
        self.workload: WorkloadFacts | None = None
        self.entry: Entry | None = None
        self.place: Place | None = None
        self.state = ""
        self.reason: Reason | None = None
        self.since: int | None = None
        """Since when it waits; None where it waits for nobody."""


def waits_for(job: JobFacts, workload: WorkloadFacts | None, queue: str, stuck: Reason | None) -> Reason:
    """Why a pending Job waits. ``stuck`` is what is said of its pods.

    Before it is admitted its Workload tells, or that there is none; from then on its pods do.
    """
    if job.paused:
        return Reason.SUSPENDED
    if not job.suspended:
        return stuck or Reason.STARTING
    if workload is None:
        if not job.queue_name:
            return Reason.SUSPENDED
        return Reason.BEHIND_OTHERS if queue else Reason.QUEUE_MISSING
    return Reason.STARTING if workload.reason in SETTLED else workload.reason


class Work:
    """All jobs. Gauges show from ``open`` on: the first lists come in any order; totals from ``count`` on.

    From ``prepare`` on, whatever comes is counted and rendered, though not shown: with a hundred thousand
    Jobs that takes seconds, which pass while the API server still makes the rest of the lists.
    """

    def __init__(
        self,
        *,
        store: Store,
        gauges: Gauges,
        totals: Totals,
        places: Places,
        usage: Usage,
        clock: Callable[[], float],
        site: str,
    ) -> None:
        self._store = store
        self._gauges = gauges
        self._totals = totals
        self._places = places
        self._usage = usage
        self._clock = clock
        self._site = site
        self._records: dict[str, _Record] = {}
        self._workloads: dict[str, WorkloadFacts] = {}
        self._slices: dict[str, set[str]] = {}
        """Workloads by Job, of Jobs that have several: those of an elastic one, or an old and a new one."""
        self._stuck: dict[str, Reason] = {}
        self._awaited: dict[str, float] = {}
        """Jobs that went before their Workload was seen, by when: Kueue may be making it just now."""
        self._oldest: Oldest[Place] = Oldest()
        self._shown_ages: set[Place] = set()
        self._prepared = False
        self._open = False
        self._counting = False
        store.hide(FAMILIES)

    def prepare(self) -> None:
        """Whose work is by its queue and namespace was listed once: Jobs and Workloads can be counted."""
        if not self._prepared:
            self._prepared = True
            self._count_all()

    def open(self) -> None:
        """Everything was listed once: show it."""
        if not self._open:
            self.prepare()
            self._open = True
            for record in self._records.values():
                if record.place is None:
                    self._update(record, ())
            self._store.reveal(FAMILIES)

    def count(self, present: Iterable[Entry], seen: float | None, missed: Iterable[Change]) -> None:
        """All that was missed is told: count it. ``present`` and ``seen`` are the ledger's.

        A job of the ledger that is no longer there, though nothing told of its going, counts up to when
        it was last known to run.
        """
        self._counting = True
        entries = {entry.uid: entry for entry in present}
        for entry in entries.values():
            self._totals.count(None, entry)
        jobs = {uid: record.job for uid, record in self._records.items() if record.job is not None}
        last = int(seen or 0)
        for uid, entry in replay(entries.values(), missed, jobs, self._owner, last).items():
            record = self._records.get(uid)
            now = entry
            if record is None:
                now = entry if entry.gone else lost(entry, max(last, entry.created))
            elif record.job is None:
                now = without_job(entry, last, left=True, outcome=UNKNOWN)
            if now != entries.get(uid):
                self._totals.change(entries.get(uid), now)
            if record is not None:
                record.entry = now
        for uid, record in self._records.items():
            for former in self._passed(uid, record):
                self._account(record, former)
            self._account(record)
        self._totals.open()

    # Jobs

    def job(self, facts: JobFacts) -> None:
        """A Job is there, or has changed."""
        record = self._records.setdefault(facts.uid, _Record())
        if record.job == facts:
            return
        before = self._samples(record)
        record.job = facts
        self._update(record, before)

    def job_gone(self, uid: str, outcome: str = CANCELLED) -> None:
        """A Job is gone; ``outcome`` is that of one that had not ended."""
        record = self._records.get(uid)
        if record is None or record.job is None:
            return
        job, record.job = record.job, None
        self._leave(record)
        self._store.drop(uid)
        awaited = record.workload is None and bool(job.queue_name) and self._counting
        if self._counting:
            owner = self._owner(job)
            now = int(self._clock())
            entry = account(record.entry, job, record.workload, owner, now) or opened(job, owner)
            at = now if job.deleted is None else job.deleted
            awaited = awaited and not entry.workload
            left = record.workload is not None or awaited
            self._change(record, without_job(entry, at, left=left, outcome=outcome))
        if awaited:
            self._awaited[uid] = self._clock()
        elif record.workload is None:
            del self._records[uid]
        else:
            self._account(record)

    def jobs_except(self, uids: set[str]) -> None:
        """All Jobs but these are gone; nobody saw how."""
        for uid in [uid for uid, record in self._records.items() if record.job and uid not in uids]:
            self.job_gone(uid, UNKNOWN)

    # Workloads

    def workload(self, facts: WorkloadFacts) -> None:
        """A Workload is there, or has changed."""
        old = self._workloads.get(facts.uid)
        if old == facts:
            return
        self._workloads[facts.uid] = facts
        if self._prepared:
            self._usage.change(old, facts)
        if facts.job_uid:
            record = self._records.setdefault(facts.job_uid, _Record())
            before = self._samples(record)
            record.workload = self._standing(record.workload, facts)
            self._awaited.pop(facts.job_uid, None)
            self._update(record, before)

    def workload_gone(self, uid: str) -> None:
        """A Workload is gone."""
        facts = self._workloads.pop(uid, None)
        if facts is None:
            return
        if self._prepared:
            self._usage.change(facts, None)
        left = self._without_slice(facts)
        record = self._records.get(facts.job_uid)
        if record is None or record.workload is None or record.workload.uid != uid:
            return
        before = self._samples(record)
        record.workload = left
        if left is not None:
            self._update(record, before)
            return
        if record.entry is not None and self._counting:
            at = int(self._clock()) if facts.over is None else facts.over
            self._change(record, without_workload(record.entry, at, job_gone=record.job is None))
        if record.job is None:
            del self._records[facts.job_uid]
        else:
            self._update(record, before)

    def _standing(self, before: WorkloadFacts | None, facts: WorkloadFacts) -> WorkloadFacts:
        """The Workload that stands for its Job, now that this one is so; in whatever order they come."""
        if before is not None and before.uid != facts.uid:
            self._slices.setdefault(facts.job_uid, {before.uid}).add(facts.uid)
        uids = self._slices.get(facts.job_uid)
        return facts if uids is None else standing(self._workloads[uid] for uid in uids)

    def _without_slice(self, facts: WorkloadFacts) -> WorkloadFacts | None:
        """What stands for the Job of a Workload that is gone; None where it was the only one."""
        uids = self._slices.get(facts.job_uid)
        if uids is None:
            return None
        uids.discard(facts.uid)
        left = standing(self._workloads[uid] for uid in uids)
        if len(uids) == 1:
            del self._slices[facts.job_uid]
        return left

    def workloads_except(self, uids: set[str]) -> None:
        """All Workloads but these are gone."""
        for uid in [uid for uid in self._workloads if uid not in uids]:
            self.workload_gone(uid)

    # Pods

    def stuck(self, job_uid: str, reason: Reason | None) -> None:
        """What the scheduler says of a Job's pods; None when none of them waits for a node."""
        if reason is None:
            self._stuck.pop(job_uid, None)
        else:
            self._stuck[job_uid] = reason
        record = self._records.get(job_uid)
        if record is not None:
            self._update(record, self._samples(record))

    # What follows the clock

    def show(self) -> None:
        """Hand ages to the store; count all anew where queues or namespaces have changed hands."""
        if not self._open:
            return
        if self._places.moved:
            self._count_all()
        now = self._clock()
        self._give_up(now - AWAITED)
        places = set(self._oldest.keys()) | {(q, t) for q, t in self._places.owners.items()}
        for place in places:
            since = self._oldest.earliest(place)
            age = 0.0 if since is None else max(0.0, round(now - since, 3))
            self._store.set("antenna_queue_oldest_pending_age_seconds", (self._site, *place), age)
        for place in self._shown_ages - places:
            self._store.remove("antenna_queue_oldest_pending_age_seconds", (self._site, *place))
        self._shown_ages = places
        self._usage.settle()
        self._gauges.show()

    def _give_up(self, before: float) -> None:
        """No Workload is to come any more of jobs that went before then."""
        for uid in [uid for uid, at in self._awaited.items() if at <= before]:
            at, record = self._awaited.pop(uid), self._records.pop(uid)
            if record.entry is not None:
                self._change(record, without_workload(record.entry, int(at), job_gone=True))

    # Counting

    def _count_all(self) -> None:
        self._places.moved = False
        self._gauges.clear()
        self._oldest.clear()
        self._usage.recount()
        for queue, tenant in self._places.owners.items():
            self._totals.know(queue, tenant)
        for workload in self._workloads.values():
            self._usage.change(None, workload)
        for record in self._records.values():
            if record.job is not None and self._counts(record):
                shown = record.place
                record.place = None
                self._enter(record, record.job)
                if record.place != shown:
                    self._account(record)
                    self._render(record, record.job)

    def _update(self, record: _Record, before: Sequence[Sample]) -> None:
        """Count, account for and show the record as it is now; ``before`` is shown of it so far."""
        if not self._counts(record):
            return
        if record.job is not None:
            self._enter(record, record.job)
            if before:
                self._store.change(record.job.uid, before, self._samples(record))
            else:
                self._render(record, record.job)
        self._account(record)

    def _counts(self, record: _Record) -> bool:
        """Whether it is to be counted by now: most Jobs have a Workload that is yet to be listed."""
        if self._open or record.place is not None:
            return True
        return self._prepared and record.job is not None and record.workload is not None

    def _enter(self, record: _Record, job: JobFacts) -> None:
        """Count the record where it is now, in place of where it was."""
        queue, tenant = self._place(job)
        stuck, workload = self._stuck.get(job.uid), record.workload
        now = state(job, workload, stuck)
        reason = waits_for(job, workload, queue, stuck) if now == PENDING else None
        since = None
        if reason is not None and reason is not Reason.SUSPENDED:
            since = job.created if workload is None or workload.queued is None else workload.queued
        seen = (record.place, record.state, record.reason, record.since)
        if seen == ((queue, tenant), now, reason, since):
            return
        self._leave(record)
        record.place, record.state, record.reason, record.since = (queue, tenant), now, reason, since
        self._count(record, 1)
        if since is not None:
            self._oldest.add((queue, tenant), since)

    def _leave(self, record: _Record) -> None:
        if record.place is None:
            return
        self._count(record, -1)
        if record.since is not None:
            self._oldest.remove(record.place, record.since)
        record.place = None

    def _count(self, record: _Record, sign: int) -> None:
        labels = (self._site, *(record.place or ("", "")))
        self._gauges.add("antenna_queue_jobs", (*labels, record.state), sign)
        if record.reason is not None:
            self._gauges.add("antenna_queue_pending_reason", (*labels, record.reason.value), sign)

    def _passed(self, uid: str, record: _Record) -> list[WorkloadFacts]:
        """Workloads that an elastic Job ran with, one after the other, while no operator was there."""
        slices = [self._workloads[one] for one in self._slices.get(uid, ())]
        known = record.entry.workload if record.entry is not None else ""
        last = next((w for w in slices if w.uid == known), None)
        if known and (last is None or last.admitted is None):
            return []
        after = -1 if last is None or last.admitted is None else last.admitted
        passed = [
            (w.admitted, w.uid, w)
            for w in slices
            if w is not record.workload and w.admitted is not None and w.admitted > after
        ]
        return [w for _, _, w in sorted(passed, key=lambda one: one[:2])]

    def _account(self, record: _Record, former: WorkloadFacts | None = None) -> None:
        """Bring its entry up to date; by a ``former`` Workload of it, before the one that stands for it."""
        if not self._counting:
            return
        entry, job, workload = record.entry, record.job, former or record.workload
        at = int(self._clock())
        if job is not None:
            entry = account(entry, job, workload, self._owner(job), at)
        elif entry is not None and workload is not None:
            entry = with_workload(entry, workload, at)
        if entry is not None:
            self._change(record, entry)

    def _change(self, record: _Record, entry: Entry) -> None:
        if entry != record.entry:
            self._totals.change(record.entry, entry)
            record.entry = entry

    def _render(self, record: _Record, job: JobFacts) -> None:
        self._store.put(job.uid, self._samples(record))

    def _samples(self, record: _Record) -> list[Sample]:
        """Those of its Job; none before it is counted."""
        if record.job is None or record.place is None:
            return []
        return list(job_samples(self._site, record.job, record.workload, record.state, record.place))

    def _place(self, job: JobFacts) -> Place:
        return (
            self._places.queue(job.namespace, job.queue_name),
            self._places.partner(job.namespace).tenant,
        )

    def _owner(self, job: JobFacts) -> Owner:
        partner = self._places.partner(job.namespace)
        queue = self._places.queue(job.namespace, job.queue_name)
        return Owner(queue, partner.tenant, partner.ecosystem, partner.sector)
