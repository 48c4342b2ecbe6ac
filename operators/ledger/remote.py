"""The ledger of remote jobs, and what was used in any period, of them and of local work.

A job's row may be written any number of times: what the site says later replaces what it said before, but
a job that ended is never opened again. What a job is billed is its rate times its time, so a period's part
is summed in whole seconds by the database and nothing is rounded.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, case, func, select

from operators.ledger.database import connect, larger, smaller, upsert
from operators.ledger.remote_entry import RemoteEntry
from operators.ledger.remote_tables import REMOTE_CURSORS, REMOTE_JOBS, REMOTE_MARKS
from operators.ledger.schema import prepare
from operators.ledger.tables import JOBS
from operators.usage.billing import HOUR
from operators.usage.budgets import Window
from operators.usage.daily import LOCAL, Account, Interval

QUEUE: Final = "queue"
ACCOUNTING: Final = "accounting"
LOST_SECONDS: Final = 2 * 86400
"""A job that neither queue nor accounting has told of for so long is given up: nothing is reserved for it any
more, and its end is no longer looked for."""

_CHUNK: Final = 1000  # rows a statement
_PAYER: Final = ("tenant", "ecosystem", "sector")
_ROW: Final = REMOTE_JOBS.c
_OVER: Final = ("succeeded", "failed", "cancelled")
"""States of a job that has ended. A run whose end left it in another was not its last."""
_UNTIL: Final = func.coalesce(_ROW.ended, _ROW.seen)

Grant = tuple[str, str, str]
"""(site, project, unit)."""
Counter = tuple[str, tuple[str, ...]]
"""(family, label values)."""
Bearer = tuple[str, str, str, str]
"""(site, tenant, sector, ecosystem)."""


class Read(NamedTuple):
    """A source of a site was read: what it had to tell until then is among the rows."""

    site: str
    source: str
    until: int


@dataclass
class Totals:
    """Sums over all remote jobs that ever were."""

    gpu_seconds: dict[Bearer, int] = field(default_factory=lambda: defaultdict(int))
    billed: dict[tuple[Bearer, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """(whose, unit) -> units."""
    kwh: dict[Bearer, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    finished: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    """(site, partition, tenant, outcome) -> jobs."""


class RemoteLedger:
    """Remote jobs in the ledger's database, which ``where`` names as for ``Ledger``.

    All methods raise SQLAlchemyError when the database fails, and may be called from any thread.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = connect(where)
        prepare(self._engine)

    def write(self, entries: Sequence[RemoteEntry], read: Read | None = None) -> None:
        """Write all of it, or nothing: the rows, and how far their source was ``read`` with them.

        Writing it again changes nothing.
        """
        rows = [msgspec.structs.asdict(entry) for entry in entries]
        with self._engine.begin() as connection:
            for start in range(0, len(rows), _CHUNK):
                upsert(
                    connection,
                    REMOTE_JOBS,
                    rows[start : start + _CHUNK],
                    keeping=_PAYER,
                    where=lambda new: (
                        new.ended.is_not(None) | (_ROW.ended.is_(None) & (new.seen >= _ROW.seen))
                    ),
                )
            if read:
                upsert(connection, REMOTE_CURSORS, [read._asdict()])

    def open(self, site: str) -> list[RemoteEntry]:
        """Jobs of the site that had not ended when they were last told of, oldest first."""
        with self._engine.connect() as connection:
            found = connection.execute(
                select(REMOTE_JOBS)
                .where(_ROW.site == site, _ROW.ended.is_(None))
                .order_by(_ROW.submitted, _ROW.id)
            )
            return [RemoteEntry(**row) for row in found.mappings()]

    def since(self, site: str) -> int | None:
        """From when on the accounting is to be read, so that no end is missed; None: from its beginning.

        It was read until then, or has yet to tell how a job ended that has left the queue: of such a job the
        end is looked for where it was seen last.
        """
        cursors = select(REMOTE_CURSORS.c.source, REMOTE_CURSORS.c.until).where(REMOTE_CURSORS.c.site == site)
        with self._engine.connect() as connection:
            until = {row.source: row.until for row in connection.execute(cursors)}
            if ACCOUNTING not in until:
                return None
            looked = until.get(QUEUE, 0)
            left = (_ROW.seen < looked) & (_ROW.seen >= looked - LOST_SECONDS)
            query = select(func.min(_ROW.seen)).where(_ROW.site == site, _ROW.ended.is_(None), left)
            seen: int | None = connection.scalar(query)
        accounted: int = until[ACCOUNTING]
        return accounted if seen is None else min(accounted, seen)

    def used(self, windows: Iterable[Window]) -> dict[Window, dict[Grant, Fraction]]:
        """What each project was billed within each window; of running jobs what is known by now."""
        by = (_ROW.site, _ROW.project, _ROW.unit, _ROW.rate)
        found: dict[Window, dict[Grant, Fraction]] = {}
        with self._engine.connect() as connection:
            for window in set(windows):
                sums: defaultdict[Grant, Fraction] = defaultdict(Fraction)
                within = _within(_ROW.started, _UNTIL, window)
                query = select(*by, func.sum(_length(_ROW.started, _UNTIL, window))).where(within)
                for site, project, unit, rate, seconds in connection.execute(query.group_by(*by)):
                    sums[site, project, unit] += Fraction(rate) * int(seconds) / HOUR
                found[window] = sums
        return found

    def local_gpu_hours(self, windows: Iterable[Window], now: int) -> dict[Window, dict[str, Fraction]]:
        """GPU-hours of each tenant on local GPUs within each window, until ``now``."""
        since, until = _local_interval(now)
        found: dict[Window, dict[str, Fraction]] = {}
        with self._engine.connect() as connection:
            for window in set(windows):
                query = (
                    select(JOBS.c.tenant, func.sum(JOBS.c.gpus * _length(since, until, window)))
                    .where(_within(since, until, window))
                    .group_by(JOBS.c.tenant)
                )
                found[window] = {
                    tenant: Fraction(int(held), HOUR) for tenant, held in connection.execute(query)
                }
        return found

    def totals(self) -> Totals:
        """Sums for counters; they only grow."""
        whose = (_ROW.site, _ROW.tenant, _ROW.sector, _ROW.ecosystem)
        by = (*whose, _ROW.unit, _ROW.rate, _ROW.kilowatts, _ROW.gpus)
        place = (_ROW.site, _ROW.partition, _ROW.tenant, _ROW.state)
        totals = Totals()
        with self._engine.connect() as connection:
            held = select(*by, func.sum(_UNTIL - _ROW.started)).where(_ROW.started.is_not(None))
            for *bearer, unit, rate, power, gpus, seconds in connection.execute(held.group_by(*by)):
                who: Bearer = (bearer[0], bearer[1], bearer[2], bearer[3])
                totals.gpu_seconds[who] += gpus * int(seconds)
                totals.billed[who, unit] += Fraction(rate) * int(seconds) / HOUR
                if power is not None:
                    totals.kwh[who] += Fraction(power) * int(seconds) / HOUR
            over = select(*place, func.count()).where(_ROW.ended.is_not(None), _ROW.state.in_(_OVER))
            for site, partition, tenant, outcome, jobs in connection.execute(over.group_by(*place)):
                totals.finished[site, partition, tenant, outcome] = int(jobs)
        return totals

    def raised(self, counters: Mapping[Counter, float]) -> dict[Counter, float]:
        """What the counters may show: as much as they ever did, at least; kept for later.

        A scheduler may tell that a job runs a moment after the end that its accounting names later.
        """
        shown = dict(counters)
        with self._engine.begin() as connection:
            for family, labels, value in connection.execute(select(REMOTE_MARKS)):
                key = (family, tuple(json.loads(labels)))
                if key in shown:
                    shown[key] = max(shown[key], value)
            marks = [
                {"family": family, "labels": json.dumps(labels), "value": value}
                for (family, labels), value in shown.items()
            ]
            upsert(connection, REMOTE_MARKS, marks)
        return shown

    def intervals(self, window: Window, now: int) -> list[Interval]:
        """All work, local and remote, that held something or ended within the window."""
        with self._engine.connect() as connection:
            remote = connection.execute(
                select(REMOTE_JOBS).where(
                    _within(func.coalesce(_ROW.started, _ROW.ended), _UNTIL, window, ends=True)
                )
            )
            found = [_remote_interval(row) for row in remote.mappings()]
            since, until = _local_interval(now)
            local = connection.execute(
                select(JOBS, since.label("since"), until.label("until")).where(
                    _within(since, until, window, ends=True)
                )
            )
            return [*found, *(_interval_of_local(row) for row in local.mappings())]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def _within(
    since: ColumnElement[Any], until: ColumnElement[Any], window: Window, *, ends: bool = False
) -> ColumnElement[bool]:
    """Whether some of it lies in the window; with ``ends`` also what only ends there, having held nothing."""
    reaches = until >= window.since if ends else until > window.since
    return (since < window.until) & reaches


def _length(since: ColumnElement[Any], until: ColumnElement[Any], window: Window) -> ColumnElement[Any]:
    return smaller(until, window.until) - larger(since, window.since)


def _local_interval(now: int) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Since when and until when a local job held its GPUs.

    The ledger knows the last admission; what a job held in earlier ones is put in front of it, or of one that
    was put back and waits, after its first admission.
    """
    row = JOBS.c
    over, runs = row.finished.is_not(None), row.running_since.is_not(None)
    admitted = row.created + func.coalesce(row.wait, 0)
    before = row.earlier + row.past
    since = case((over, row.finished - before - row.ran), (runs, row.running_since - before), else_=admitted)
    until = case((over, row.finished), (runs, larger(row.running_since, now)), else_=admitted + before)
    return since, until


def _remote_interval(row: Any) -> Interval:
    until = row["seen"] if row["ended"] is None else row["ended"]
    power = row["kilowatts"]
    return Interval(
        account=Account(
            row["site"], row["partition"], row["tenant"], row["ecosystem"], row["sector"], row["unit"]
        ),
        since=until if row["started"] is None else row["started"],
        until=until,
        gpus=row["gpus"],
        rate=Fraction(row["rate"]),
        kilowatts=None if power is None else Fraction(power),
        outcome=row["state"] if row["ended"] is not None and row["state"] in _OVER else None,
    )


def _interval_of_local(row: Any) -> Interval:
    return Interval(
        account=Account(LOCAL, row["queue"], row["tenant"], row["ecosystem"], row["sector"], "gpu-hours"),
        since=row["since"],
        until=row["until"],
        gpus=row["gpus"],
        rate=Fraction(row["gpus"]),
        kilowatts=None,
        outcome=row["outcome"],
    )
