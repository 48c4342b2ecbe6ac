"""What happened to Jobs and Workloads since the ledger was last written, in its order. Pure.

The API server keeps what has changed for a while, so that a watch can go on from where another ended
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes; with its
watch cache, for 75 s at least). The ledger holds the version that its entries know of: what came after
it is replayed into them. Versions of all resources are of one sequence, that of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from operators.collectors.accounts import (
    Owner,
    account,
    counts,
    opened,
    with_workload,
    without_job,
    without_workload,
)
from operators.collectors.jobs import JobFacts
from operators.collectors.workloads import WorkloadFacts, standing
from operators.ledger.entry import Entry

Facts = JobFacts | WorkloadFacts


class Change(NamedTuple):
    """One object as it was since a version."""

    version: int
    facts: Facts
    gone: bool


class History:
    """Gathers changes of several resources until all of them have caught up."""

    def __init__(self, since: Mapping[str, int], caught_up: Callable[[], None]) -> None:
        self.positions: dict[str, int] = {}
        """The version that each resource is at."""
        self.gathering = True
        self._since = since
        self._caught_up = caught_up
        self._changes: list[Change] = []
        self._behind: set[str] = set()

    def of(self, resource: str, read: Callable[[Any], Facts]) -> Log:
        """The history of one resource, whose objects ``read`` makes facts of."""
        self._behind.add(resource)
        return Log(self, resource, read, self._since.get(resource, 0))

    @property
    def whole(self) -> bool:
        """Whether all have caught up."""
        return not self._behind

    def take(self) -> list[Change]:
        """All changes in their order; none is gathered from now on."""
        changes = sorted(self._changes, key=lambda change: change.version)
        self._changes, self.gathering = [], False
        return changes

    def note(self, resource: str, facts: Facts, *, gone: bool) -> None:
        """One of them was seen to be so, at the version that the resource is at."""
        if self.gathering:
            self._changes.append(Change(self.positions.get(resource, 0), facts, gone))

    def arrived(self, resource: str) -> None:
        """The resource has caught up. Told again where what followed from that failed."""
        self._behind.discard(resource)
        self._caught_up()


class Log:
    """One resource's side of the history: what its stream tells, under the streams' lock."""

    def __init__(self, history: History, resource: str, read: Callable[[Any], Facts], since: int) -> None:
        self.since: Final = since
        """The version from which its changes are wanted; 0 for none."""
        self._history = history
        self._resource = resource
        self._read = read

    def reach(self, version: int) -> None:
        """What is told next is of this version."""
        self._history.positions[self._resource] = version

    def missed(self, kind: str, obj: Any) -> None:
        """It changed so while nobody watched."""
        self.note(self._read(obj), gone=kind == "DELETED")

    def note(self, facts: Facts, *, gone: bool) -> None:
        """It has just changed so."""
        self._history.note(self._resource, facts, gone=gone)

    def caught_up(self) -> None:
        """All is told that is still known of what was missed."""
        self._history.arrived(self._resource)


def replay(
    entries: Iterable[Entry],
    changes: Iterable[Change],
    jobs: Mapping[str, JobFacts],
    owner: Callable[[JobFacts], Owner],
    seen: int,
) -> dict[str, Entry]:
    """The entries by the job's uid, after the changes.

    ``jobs`` are those that are there now, ``owner`` tells whose a job is. Entries know what happened
    until ``seen``; the time of what has none is that of the last thing before it that has.
    """
    changes = list(changes)
    who = {c.facts.uid: c.facts for c in changes if isinstance(c.facts, JobFacts)}
    ledger = {entry.uid: entry for entry in entries}
    workloads: dict[str, dict[str, WorkloadFacts]] = {}
    gone: set[str] = set()
    at = seen
    for _, facts, over in changes:
        at = max(at, _latest(facts))
        if isinstance(facts, JobFacts):
            uid = facts.uid
            entry, workload = ledger.get(uid), _standing(workloads.get(uid))
            if entry is not None and workload is not None and _former(entry, workload):
                workload = None
            entry = account(entry, facts, workload, owner(facts), at)
            if over:
                gone.add(uid)
                entry = entry or opened(facts, owner(facts))
                # A Workload of which nothing was told yet is still there, and may even be admitted: its end
                # is to come.
                known = workloads.get(uid)
                left = bool(entry.workload or facts.queue_name) if known is None else bool(known)
                entry = without_job(entry, at, left=left)
        else:
            uid = facts.job_uid
            entry, job = ledger.get(uid), who.get(uid) or jobs.get(uid)
            if entry is None and job is not None and counts(facts):
                entry = opened(job, owner(job))
            slices = workloads.setdefault(uid, {})
            slices[facts.uid] = facts
            if entry is not None and not entry.gone and not _former(entry, facts):
                entry = with_workload(entry, standing(slices.values()), at)
            if over:
                del slices[facts.uid]
                if entry is not None and not entry.gone and entry.workload == facts.uid:
                    after = _standing(slices)
                    went = at if facts.over is None else facts.over
                    entry = (
                        without_workload(entry, went, job_gone=uid in gone)
                        if after is None
                        else with_workload(entry, after, at)
                    )
        if entry is not None:
            ledger[uid] = entry
    return ledger


def _standing(slices: Mapping[str, WorkloadFacts] | None) -> WorkloadFacts | None:
    return standing(slices.values()) if slices else None


def _former(entry: Entry, workload: WorkloadFacts) -> bool:
    """Whether another Workload than this one has stood for the job, and goes on to."""
    if entry.workload in ("", workload.uid):
        return False
    if workload.finished:
        return True
    since = entry.running_since
    return since is not None and (workload.admitted is None or workload.admitted < since)


def _latest(facts: Facts) -> int:
    """The latest time that it tells."""
    if isinstance(facts, JobFacts):
        times = (facts.created, facts.started, facts.finished, facts.deleted, facts.suspended_at)
    else:
        times = (0, facts.admitted, facts.over, facts.released, facts.touched)
    return max(time for time in times if time is not None)
