"""What remote sites tell of the Antenna's work: into the ledger, into the figures, and into the balances.

Whoever asks the sites hands over each answer (``queue``, ``ended``, ``nodes``, ``granted``); nothing here
asks. All methods but ``trouble`` may raise SQLAlchemyError; then nothing has changed.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from operators.collectors.ledger import Writes
from operators.collectors.remote import (
    Samples,
    budget_samples,
    job_samples,
    node_samples,
    queue_samples,
    total_samples,
)
from operators.collectors.sources import Sources
from operators.exposition.store import Store
from operators.ledger.remote import ACCOUNTING, LOST_SECONDS, QUEUE, Grant, Read, RemoteLedger
from operators.ledger.remote_entry import NOBODY, Payer, RemoteEntry, entry, entry_of_queued
from operators.sites.access import Granted, NodeRow, RemoteJobRow
from operators.sites.model import Partition, Site
from operators.usage.billing import billed, rate
from operators.usage.budgets import (
    Allocation,
    Balance,
    Window,
    balance,
    difference,
    local_balance,
    local_windows,
    outstanding,
    recent,
    windows,
)
from operators.usage.daily import LOCAL

NODES: Final = "nodes"
GRANTED: Final = "granted"

MISSED: Final = 5
"""Answers in a row that may fail to come before a source is stale."""
GRANTED_SECONDS: Final = 26 * 3600
"""The sites' own figures are asked for rarely, and refreshed once a day at best."""
LOCAL_SECONDS: Final = 600
UNWRITTEN_POLLS: Final = 2
"""Of a site, after which a ledger that was not written is an alert."""


class RemoteUsage:
    """One place for all remote sites. May be called from any thread.

    What is told of a site that is not configured (any more) is passed over.
    """

    def __init__(self, store: Store, ledger: RemoteLedger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sources = Sources(store, clock)
        self._writes = Writes(store, clock)
        self._lock = threading.RLock()
        self._sites: dict[str, Site] = {}
        self._allocations: tuple[Allocation, ...] = ()
        self._payers: Mapping[str, Payer] = {}
        self._live: dict[str, dict[tuple[int, int], tuple[RemoteJobRow, int]]] = {}
        """By site: the jobs that have not ended by (id, submitted), and when each was last told of."""
        self._unwritten: defaultdict[str, dict[tuple[int, int], RemoteEntry]] = defaultdict(dict)
        """By site: what the queue told of jobs and the ledger did not take. It may be told only once."""
        self._granted: dict[tuple[str, str, str], Granted] = {}
        self._read: set[str] = set()
        """Sites whose accounting is in the ledger up to the last look."""

    def configure(
        self, sites: Iterable[Site], allocations: Sequence[Allocation], payers: Iterable[Payer]
    ) -> None:
        """The sites there are, what they granted, and who the tenants are."""
        with self._lock:
            found = {site.name: site for site in sites}
            for gone in self._sites.keys() - found.keys():
                self._sources.forget(gone)
                self._writes.forget(gone)
                self._live.pop(gone, None)
                self._unwritten.pop(gone, None)
                self._read.discard(gone)
            self._sites = found
            self._allocations = tuple(allocations)
            self._payers = {payer.tenant: payer for payer in payers}
            for site in found.values():
                floor = site.access.poll_floor_seconds
                self._writes.expect(site.name, UNWRITTEN_POLLS * floor)
                limit = MISSED * floor
                for source in (QUEUE, ACCOUNTING, NODES):
                    self._sources.expect(site.name, source, limit)
                self._sources.expect(site.name, GRANTED, GRANTED_SECONDS)

    def queue(self, site: str, rows: Sequence[RemoteJobRow]) -> None:
        """All jobs of ours that wait or run at the site now, and those that it remembers to have ended.

        One that is no longer among the first keeps its reservation until the accounting has it. The ends of
        the others are waited for likewise: they may be all that was ever seen of them.
        """
        with self._lock:
            if (here := self._sites.get(site)) is None:
                return
            now = int(self._clock())
            projects = self._projects(site)
            unwritten = self._unwritten[site]
            for row in rows:
                payer = projects.get(row.project, NOBODY)
                unwritten[row.id, row.submitted] = entry_of_queued(row, here, payer, now)
            with self._writes.attempt(site, QUEUE):
                self._ledger.write(list(unwritten.values()), Read(site, QUEUE, now))
            closed = {key for key, one in unwritten.items() if one.ended is not None}
            unwritten.clear()
            told = {
                key: one
                for key, one in self._live.get(site, {}).items()
                if now - one[1] < LOST_SECONDS and key not in closed
            }
            rows = [row for row in rows if row.ended is None]
            self._live[site] = {**told, **{(row.id, row.submitted): (row, now) for row in rows}}
            places = [(p.name, a.tenant) for a in self._at(site) for p in _paid_by(a, here)]
            samples = queue_samples(site, rows, projects, places, now)
            self._sources.put(site, QUEUE, samples, job_samples(site, rows, projects))

    def ended(self, site: str, rows: Sequence[RemoteJobRow], until: int | None = None) -> None:
        """Jobs of ours that ended there, as the accounting tells; the same may come any number of times.

        ``until``: they are all that have ended between what ``since`` said and then; None: some are.
        """
        with self._lock:
            if (here := self._sites.get(site)) is None:
                return
            read = None if until is None else Read(site, ACCOUNTING, until)
            with self._writes.attempt(site, ACCOUNTING):
                now, payers = int(self._clock()), self._projects(site)
                entries = [entry(row, here, payers.get(row.project, NOBODY), now) for row in rows]
                self._ledger.write(entries, read)
                for row in rows:
                    self._live.get(site, {}).pop((row.id, row.submitted), None)
                samples = self._ledger.raised(total_samples(site, self._ledger.totals()))
            if read:
                self._read.add(site)
            balances = [one for one in self.balances() if one.site == site]
            samples |= budget_samples(balances)
            samples |= self._differences(balances)
            self._sources.put(site, ACCOUNTING, samples)

    def projects(self, site: str) -> list[str]:
        """The projects that the site granted something to."""
        with self._lock:
            return sorted(self._projects(site))

    def since(self, site: str) -> int:
        """From when on the accounting has to be read now, so that no end is missed.

        As the ledger says, which alone knows what was written; of a site that it knows nothing of, from when
        its first allocation began.
        """
        now = int(self._clock())
        since = self._ledger.since(site)
        if since is None:
            with self._lock:
                since = min((one.window.since for one in self._at(site)), default=now)
        return min(since, now)  # a clock that was ahead must hide nothing

    def trouble(self, site: str) -> str:
        """Why what is left there is not known, for users: the ledger cannot be written. Waits for nothing."""
        return self._writes.trouble(site)

    def nodes(self, site: str, rows: Iterable[NodeRow]) -> None:
        """How the nodes of its partitions are."""
        with self._lock:
            if site in self._sites:
                self._sources.put(site, NODES, node_samples(site, rows))

    def granted(self, site: str, told: Granted) -> None:
        """A project's own figures, as the site tells them."""
        with self._lock:
            if site in self._sites:
                self._granted[site, told.project, told.unit] = told
                self._sources.put(site, GRANTED, {})

    def balances(self) -> list[Balance]:
        """Every allocation in force, as of now; not of sites whose queue is unknown yet, and so what runs."""
        with self._lock:
            now = int(self._clock())
            known = [
                (one, self._sites[one.site].accounting)
                for one in self._allocations
                if one.site in self._live and one.site in self._sites
            ]
            wanted = {w for one, books in known for w in (*windows(one, books, now), recent(one, now))}
            used = self._ledger.used(wanted)
            reserved_at = {site: self._outstanding(self._sites[site]) for site in {a.site for a, _ in known}}
            found = []
            for one, books in known:
                grant = (one.site, one.project, one.unit)
                mine = {window: sums.get(grant, Fraction(0)) for window, sums in used.items()}
                reserved = reserved_at[one.site].get(grant, Fraction(0))
                stands = balance(one, books, used=mine, reserved=reserved, now=now)
                found += [stands] if stands else []
            return found

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        """What the tenant was granted there, and may overdraw, and no ended job has used.

        None until the queue and the accounting have been read since the start, and written.

        For who reserves the whole cost of every job from its admission to its end: what running jobs have
        used so far is part of that, and not taken off here.
        """
        with self._lock:
            if site not in self._live or site not in self._read:
                return None
            mine = [b for b in self.balances() if (b.tenant, b.site, b.unit) == (tenant, site, unit)]
            left = Fraction(0)
            for one in mine:
                left += (one.allocated or 0) + one.overdraft - one.used + self._elapsed(one)
            return left

    def local_balances(self) -> list[Balance]:
        """What every tenant used of the Antenna's own GPUs this month."""
        now = int(self._clock())
        both = local_windows(now)
        used = self._ledger.local_gpu_hours(both, now)
        return [
            local_balance(
                tenant,
                used={window: used[window].get(tenant, Fraction(0)) for window in both},
                reserved=Fraction(0),
                now=now,
            )
            for tenant in sorted({*self._payers, *(t for sums in used.values() for t in sums)})
            if tenant
        ]

    def local(self) -> None:
        """Show what local work used; to be called now and then."""
        with self._lock:
            self._sources.expect(LOCAL, ACCOUNTING, LOCAL_SECONDS)
            self._sources.put(LOCAL, ACCOUNTING, budget_samples(self.local_balances()))

    def site_figure(self, one: Balance) -> Granted | None:
        """What the site itself told last of the allocation."""
        return self._granted.get((one.site, one.project, one.unit))

    def difference(self, one: Balance) -> Fraction | None:
        """How much more the site's own figure is than ours as of when it was refreshed; None without one."""
        told = self.site_figure(one)
        if told is None:
            return None
        window = Window(one.window.since, max(one.window.since, told.as_of or one.now))
        ours = self._ledger.used([window])[window].get((one.site, one.project, one.unit), Fraction(0))
        return difference(told, ours)

    def _elapsed(self, one: Balance) -> Fraction:
        """What jobs that run have used of an allocation in its present period."""
        site, used = self._sites[one.site], Fraction(0)
        for row, seen in self._live[one.site].values():
            partition = site.partition(row.partition)
            if (
                partition
                and row.held_since is not None
                and (row.project, partition.billing.unit)
                == (
                    one.project,
                    one.unit,
                )
            ):
                held = seen - max(row.held_since, one.window.since)
                used += billed(partition.billing, row.resources, max(0, held))
        return used

    def _outstanding(self, site: Site) -> dict[Grant, Fraction]:
        reserved: defaultdict[Grant, Fraction] = defaultdict(Fraction)
        for row, seen in self._live[site.name].values():
            # It may come to run in the dearest of those that it waits for.
            dearest: dict[Grant, Fraction] = {}
            for partition in filter(None, map(site.partition, row.partitions)):
                limit = row.limit or partition.max_seconds
                hourly = rate(partition.billing, row.resources) * row.tasks
                grant: Grant = (site.name, row.project, partition.billing.unit)
                may = outstanding(hourly, limit, row.held_since, seen)
                dearest[grant] = max(may, dearest.get(grant, Fraction(0)))
            for grant, may in dearest.items():
                reserved[grant] += may
        return reserved

    def _differences(self, balances: Iterable[Balance]) -> Samples:
        found: defaultdict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        for one in balances:
            if (more := self.difference(one)) is not None:
                found["antenna_budget_difference", (one.site, one.tenant, one.unit)] += float(more)
        return dict(found)

    def _at(self, site: str) -> list[Allocation]:
        return [one for one in self._allocations if one.site == site]

    def _projects(self, site: str) -> dict[str, Payer]:
        return {one.project: self._payers.get(one.tenant, NOBODY) for one in self._at(site)}


def _paid_by(allocation: Allocation, site: Site) -> list[Partition]:
    return [one for one in site.partitions if one.billing.unit == allocation.unit]
