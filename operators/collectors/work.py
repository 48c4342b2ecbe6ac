"""Jobs with their Workloads and stuck pods: states, reasons, ages, and what each adds to the totals.

A Job and its Workload are joined by uid (the Workload's label ``kueue.x-k8s.io/job-uid``); either may
come first, and either may go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from operators.collectors.accounts import Owner, account, opened, without_workload
from operators.collectors.gauges import Gauges
from operators.collectors.jobs import PENDING, JobFacts, Sample, job_samples, state
from operators.collectors.pending import Oldest
from operators.collectors.queues import Usage
from operators.collectors.tenants import Places
from operators.collectors.totals import Totals
from operators.collectors.workloads import WorkloadFacts
from operators.exposition.store import Store
from operators.ledger.entry import Entry, closed
from operators.reasons import SETTLED, Reason

Place = tuple[str, str]
"""(queue, tenant)."""


class _Record:
    """One job: its Job, its Workload, or both."""

    __slots__ = ("entry", "job", "place", "reason", "state", "workload")

    def __init__(self) -> None:
        self.job: JobFacts | None = None
        self.workload: WorkloadFacts | None = None
        self.entry: Entry | None = None
        self.place: Place | None = None
        self.state = ""
        self.reason: Reason | None = None


def waits_for(
    job: JobFacts, workload: WorkloadFacts | None, queue: str, stuck: Reason | None
) -> Reason | None:
    """Why a Job waits; None for one that does not. ``stuck`` is what the scheduler says of its pods.

    Before it is admitted its Workload tells, or that there is none; from then on its pods do.
    """
    if state(job) != PENDING:
        return None
    if not job.suspended:
        return stuck or Reason.STARTING
    if workload is None:
        if not job.queue_name:
            return Reason.SUSPENDED
        return Reason.BEHIND_OTHERS if queue else Reason.QUEUE_MISSING
    return Reason.STARTING if workload.reason in SETTLED else workload.reason


class Work:
    """All jobs. Nothing is counted before ``open``: the first lists come in any order."""

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
        self._stuck: dict[str, Reason] = {}
        self._oldest: Oldest[Place] = Oldest()
        self._shown_ages: set[Place] = set()
        self._open = False

    def open(self, present: Iterable[Entry], seen: float | None) -> None:
        """Everything was listed once: count it. ``present`` and ``seen`` are the ledger's.

        A job of the ledger that is no longer there went while nobody looked: it counts up to when
        it was last known to run.
        """
        self._open = True
        for entry in present:
            self._totals.count(None, entry)
            record = self._records.get(entry.uid)
            if record is not None and record.job is not None:
                record.entry = entry
            else:
                self._totals.change(entry, closed(entry, int(seen or entry.created)))
        self._count_all()
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

    def job_gone(self, uid: str) -> None:
        """A Job is gone."""
        record = self._records.get(uid)
        if record is None or record.job is None:
            return
        job, record.job = record.job, None
        self._leave(record, job)
        if self._open:
            self._store.drop(uid)
            at = int(self._clock()) if job.deleted is None else job.deleted
            entry = account(record.entry, job, record.workload, self._owner(job)) or opened(
                job, self._owner(job)
            )
            self._totals.change(record.entry, closed(entry, at))
            record.entry = None
        if record.workload is None:
            del self._records[uid]

    def jobs_except(self, uids: set[str]) -> None:
        """All Jobs but these are gone."""
        for uid in [uid for uid, record in self._records.items() if record.job and uid not in uids]:
            self.job_gone(uid)

    # Workloads

    def workload(self, facts: WorkloadFacts) -> None:
        """A Workload is there, or has changed."""
        old = self._workloads.get(facts.uid)
        if old == facts:
            return
        self._workloads[facts.uid] = facts
        if self._open:
            self._usage.change(old, facts)
        if facts.job_uid:
            record = self._records.setdefault(facts.job_uid, _Record())
            before = self._samples(record)
            record.workload = facts
            self._update(record, before)

    def workload_gone(self, uid: str) -> None:
        """A Workload is gone."""
        facts = self._workloads.pop(uid, None)
        if facts is None:
            return
        if self._open:
            self._usage.change(facts, None)
        record = self._records.get(facts.job_uid)
        if record is None or record.workload is None or record.workload.uid != uid:
            return
        before = self._samples(record)
        record.workload = None
        if record.job is None:
            del self._records[facts.job_uid]
            return
        if record.entry is not None:
            entry = without_workload(record.entry, int(self._clock()))
            if entry is not record.entry:
                self._totals.change(record.entry, entry)
                record.entry = entry
        self._update(record, before)

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
            if record.job is not None:
                shown = record.place
                record.place = None
                self._enter(record, record.job)
                if record.place != shown:
                    self._account(record, record.job)
                    self._render(record, record.job)

    def _update(self, record: _Record, before: Sequence[Sample]) -> None:
        """Count, account for and show the record as it is now; ``before`` is shown of it so far."""
        if self._open and record.job is not None:
            self._enter(record, record.job)
            self._account(record, record.job)
            if before:
                self._store.change(record.job.uid, before, self._samples(record))
            else:
                self._render(record, record.job)

    def _enter(self, record: _Record, job: JobFacts) -> None:
        """Count the record where it is now, in place of where it was."""
        queue, tenant = self._place(job)
        now = state(job)
        reason = waits_for(job, record.workload, queue, self._stuck.get(job.uid))
        if (record.place, record.state, record.reason) == ((queue, tenant), now, reason):
            return
        self._leave(record, job)
        record.place, record.state, record.reason = (queue, tenant), now, reason
        self._count(record, 1)
        if now == PENDING:
            self._oldest.add((queue, tenant), job.created)

    def _leave(self, record: _Record, job: JobFacts) -> None:
        if record.place is None:
            return
        self._count(record, -1)
        if record.state == PENDING:
            self._oldest.remove(record.place, job.created)
        record.place = None

    def _count(self, record: _Record, sign: int) -> None:
        labels = (self._site, *(record.place or ("", "")))
        self._gauges.add("antenna_queue_jobs", (*labels, record.state), sign)
        if record.reason is not None:
            self._gauges.add("antenna_queue_pending_reason", (*labels, record.reason.value), sign)

    def _account(self, record: _Record, job: JobFacts) -> None:
        entry = account(record.entry, job, record.workload, self._owner(job))
        if entry is not None and entry != record.entry:
            self._totals.change(record.entry, entry)
            record.entry = entry

    def _render(self, record: _Record, job: JobFacts) -> None:
        self._store.put(job.uid, self._samples(record))

    def _samples(self, record: _Record) -> list[Sample]:
        """Those of its Job; none before it is counted."""
        if record.job is None or record.place is None:
            return []
        return list(job_samples(self._site, record.job, record.workload, *record.place))

    def _place(self, job: JobFacts) -> Place:
        return (
            self._places.queue(job.namespace, job.queue_name),
            self._places.partner(job.namespace).tenant,
        )

    def _owner(self, job: JobFacts) -> Owner:
        partner = self._places.partner(job.namespace)
        queue = self._places.queue(job.namespace, job.queue_name)
        return Owner(queue, partner.tenant, partner.ecosystem, partner.sector)


class Jobs:
    """The stream of Jobs, as ``job_facts`` reads them."""

    def __init__(self, work: Work, arrived: Callable[[], None]) -> None:
        self._work = work
        self._arrived = arrived

    def replace(self, objects: Iterable[JobFacts]) -> None:
        """All there are."""
        there = set()
        for facts in objects:
            there.add(facts.uid)
            self._work.job(facts)
        self._work.jobs_except(there)
        self._arrived()

    def apply(self, obj: JobFacts) -> None:
        """A new or changed one."""
        self._work.job(obj)

    def delete(self, obj: JobFacts) -> None:
        """One that is gone: as it ended, which may be news."""
        self._work.job(obj)
        self._work.job_gone(obj.uid)


class Workloads:
    """The stream of Workloads, as ``workload_facts`` reads them."""

    def __init__(self, work: Work, arrived: Callable[[], None]) -> None:
        self._work = work
        self._arrived = arrived

    def replace(self, objects: Iterable[WorkloadFacts]) -> None:
        """All there are."""
        there = set()
        for facts in objects:
            there.add(facts.uid)
            self._work.workload(facts)
        self._work.workloads_except(there)
        self._arrived()

    def apply(self, obj: WorkloadFacts) -> None:
        """A new or changed one."""
        self._work.workload(obj)

    def delete(self, obj: WorkloadFacts) -> None:
        """One that is gone."""
        self._work.workload_gone(obj.uid)
