"""Counters and histograms: sums over all jobs that ever were, each counted once.

They are the sums of the ledger's entries. An entry that changes adds the difference; the job's end or
its removal from the API takes nothing away. What is shown was written to the ledger before, so that no
figure is lower after a restart, however the process ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from operators.exposition.store import Store
from operators.histogram import CELLS, Observations
from operators.ledger.entry import CANCELLED, Entry
from operators.ledger.ledger import NOWHERE, Account, Ledger, Settled

LAG: Final = 2.0
"""Seconds by which the GPU-seconds of running jobs are behind.

The end of a job is stamped in whole seconds and arrives a moment later; counted up to the very
moment, the sum would have to go back.
"""

_FINISHED: Final = "antenna_jobs_finished_total"
_RESTARTS: Final = "antenna_jobs_restarted_total"
_EVICTIONS: Final = "antenna_jobs_evicted_total"
_PREEMPTIONS: Final = "antenna_jobs_preempted_total"
_GPU_SECONDS: Final = "antenna_gpu_seconds_total"
_WAIT: Final = "antenna_job_wait_seconds"
_RUN: Final = "antenna_job_run_seconds"
_PREEMPTED: Final = "Preempted"  # Kueue's reason

Key = tuple[str, tuple[str, ...]]


class _Held:
    """GPU-seconds of one account: what is over, and what goes on."""

    def __init__(self) -> None:
        self.over = 0
        self.gpus = 0
        self.since = 0
        """The sum of GPUs x the second since when they are held."""

    def at(self, time: float) -> float:
        return self.over + self.gpus * time - self.since


class Totals:
    """All counters and histograms. ``change`` is called under the store's ``writing``."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        clock: Callable[[], float],
        site: str,
        positions: Mapping[str, int] = NOWHERE,
    ) -> None:
        self._positions = positions
        """The version that each stream is at: what is counted knows of all until then."""
        self._written = dict(ledger.positions())
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._site = site
        self._counters: dict[Key, int] = {}
        self._histograms: dict[Key, Observations] = {}
        self._held: dict[Account, _Held] = {}
        self._floor = ledger.marks()
        self._marks: dict[Account, float] = {}
        self._changed: set[Key] = set()
        self._open = False
        self._settle(ledger.settled(CELLS))

    def open(self) -> None:
        """From now on what is summed is all there is: show it."""
        self._open = True

    def know(self, queue: str, tenant: str) -> None:
        """Show a queue's counters before anything has happened in it."""
        for outcome in ("succeeded", "failed", CANCELLED):
            self._add(_FINISHED, (queue, tenant, outcome), 0)
        for family in (_RESTARTS, _PREEMPTIONS):
            self._add(family, (queue, tenant), 0)

    def change(self, old: Entry | None, new: Entry) -> None:
        """Count the difference, and have the entry written."""
        self.count(old, new)
        self._ledger.write(new)

    def count(self, old: Entry | None, new: Entry) -> None:
        """Count the difference between two entries of one job."""
        place = (new.queue, new.tenant)
        if new.outcome is not None and (old is None or old.outcome is None):
            self._add(_FINISHED, (*place, new.outcome), 1)
        self._add(_RESTARTS, place, new.restarts - (old.restarts if old else 0))
        before = dict(old.evictions) if old else {}
        for reason, count in new.evictions:
            more = count - before.get(reason, 0)
            self._add(_EVICTIONS, (*place, reason), more)
            if reason == _PREEMPTED:
                self._add(_PREEMPTIONS, place, more)
        for family, value, known in (
            (_WAIT, new.wait, old and old.wait),
            (_RUN, new.run, old and old.run),
        ):
            if value is not None and known is None:
                self._histogram(family, place).add(value)
        held = self._held.setdefault((new.tenant, new.sector, new.ecosystem), _Held())
        for entry, sign in ((old, -1), (new, 1)):
            if entry is not None:
                held.over += sign * entry.gpu_seconds
                if entry.running_since is not None:
                    held.gpus += sign * entry.gpus
                    held.since += sign * entry.gpus * entry.running_since

    def publish(self) -> None:
        """Write what changed, then show it. Called again and again by the ledger's thread."""
        now = self._clock()
        with self._store.writing:
            if not self._open:
                return
            changed, self._changed = self._changed, set()
            counters = [
                (family, labels, self._counters[family, labels])
                for family, labels in changed
                if (family, labels) in self._counters
            ]
            histograms = [
                (family, labels, self._histograms[family, labels].now())
                for family, labels in changed
                if (family, labels) in self._histograms
            ]
            marks = self._advance(now - LAG)
            entries = self._ledger.take()
            positions = dict(self._positions)
        if not (changed or marks or entries) and positions == self._written:
            return
        try:
            self._ledger.commit(entries, marks, now, positions)
        except SQLAlchemyError:
            with self._store.writing:
                self._ledger.give_back(entries)
                self._changed |= changed
            raise
        self._written = positions
        self._marks.update(marks)
        for family, labels, value in counters:
            self._store.set(family, (self._site, *labels), value)
        for family, labels, histogram in histograms:
            self._store.histogram(family, (self._site, *labels), histogram)
        for (tenant, sector, ecosystem), held in marks.items():
            self._store.set(_GPU_SECONDS, (self._site, tenant, sector, ecosystem), held)

    def _advance(self, time: float) -> dict[Account, float]:
        """GPU-seconds that have grown, as they are to be shown: never less than they were."""
        grown = {}
        for account, held in self._held.items():
            last = self._marks.get(account)
            value = max(round(held.at(time), 3), self._floor.get(account, 0.0) if last is None else last)
            if value != last:
                grown[account] = value
        return grown

    def _add(self, family: str, labels: tuple[str, ...], amount: int) -> None:
        key = family, labels
        if amount or key not in self._counters:
            self._counters[key] = self._counters.get(key, 0) + amount
            self._changed.add(key)

    def _histogram(self, family: str, place: tuple[str, str]) -> Observations:
        self._changed.add((family, place))
        return self._histograms.setdefault((family, place), Observations())

    def _settle(self, settled: Settled) -> None:
        for place, count in settled.finished.items():
            self._add(_FINISHED, place, count)
        for two, count in settled.restarts.items():
            self._add(_RESTARTS, two, count)
        for (queue, tenant, reason), count in settled.evictions.items():
            self._add(_EVICTIONS, (queue, tenant, reason), count)
            if reason == _PREEMPTED:
                self._add(_PREEMPTIONS, (queue, tenant), count)
        for family, durations in ((_WAIT, settled.waits), (_RUN, settled.runs)):
            for two, summed in durations.items():
                self._histogram(family, two).include(summed.cells, summed.total)
        for account, held in settled.gpu_seconds.items():
            self._held.setdefault(account, _Held()).over += held
