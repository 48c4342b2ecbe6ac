"""The ledger: a row a job, written in batches by a thread of its own.

Writing an entry again changes nothing, so that what is read from the API server after a crash may be
written once more. Totals are shown only once the rows that they come from are on disk; nothing that
was ever shown is lost with the process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from operators.ledger.database import connect, upsert_text
from operators.ledger.entry import Entry
from operators.ledger.schema import prepare
from operators.ledger.tables import CLOCK, EVICTIONS, JOBS, MARKS, POSITIONS
from operators.ledger.trouble import told, words

COMMIT_SECONDS: Final = 0.5
_CHUNK: Final = 2000  # rows a statement
_SEEN: Final = "seen"
NOWHERE: Final[Mapping[str, int]] = {}

_log = logging.getLogger(__name__)

Place = tuple[str, str]
"""(queue, tenant)."""
Account = tuple[str, str, str]
"""(tenant, sector, ecosystem)."""


@dataclass(frozen=True)
class Durations:
    """Observations by the cell that they are in, and their sum in seconds."""

    cells: tuple[tuple[int, int], ...]
    """(upper bound of the cell, observations)."""
    total: int


@dataclass(frozen=True)
class Settled:
    """Sums over the jobs that are gone."""

    finished: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(queue, tenant, outcome) -> jobs."""
    restarts: Mapping[Place, int] = field(default_factory=dict)
    evictions: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(queue, tenant, reason) -> times."""
    waits: Mapping[Place, Durations] = field(default_factory=dict)
    runs: Mapping[Place, Durations] = field(default_factory=dict)
    gpu_seconds: Mapping[Account, int] = field(default_factory=dict)


class Ledger:
    """Entries in a database. ``write`` may be called by any thread; it never waits for the disk.

    ``where`` is a path of an SQLite file, or any URL that SQLAlchemy takes (SQLite, PostgreSQL).
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = connect(where)
        self._lock = threading.Lock()
        self._pending: dict[str, Entry] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        prepare(self._engine)
        self._upserts = {
            table: upsert_text(table, self._engine.dialect)
            for table in (JOBS, EVICTIONS, MARKS, CLOCK, POSITIONS)
        }

    # At start

    def present(self) -> list[Entry]:
        """Entries of jobs that were in the API when they were written last."""
        with self._engine.connect() as connection:
            evictions: dict[str, list[tuple[str, int]]] = {}
            before: dict[str, list[tuple[str, int]]] = {}
            joined = EVICTIONS.join(JOBS, JOBS.c.uid == EVICTIONS.c.uid)
            for uid, reason, count, former in connection.execute(
                select(EVICTIONS)
                .select_from(joined)
                .where(JOBS.c.gone.is_(False))
                .order_by(EVICTIONS.c.reason)
            ):
                evictions.setdefault(uid, []).append((reason, count))
                if former:
                    before.setdefault(uid, []).append((reason, former))
            return [
                Entry(
                    **row,
                    evictions=tuple(evictions.get(row["uid"], ())),
                    evictions_before=tuple(before.get(row["uid"], ())),
                )
                for row in connection.execute(select(JOBS).where(JOBS.c.gone.is_(False))).mappings()
            ]

    def settled(self, bounds: Sequence[int]) -> Settled:
        """Sums over the jobs that are gone; ``bounds``: the upper bounds, rising and in seconds, of the
        cells that durations are told apart by. What is beyond the last is put at one second more.
        """
        place = (JOBS.c.queue, JOBS.c.tenant)
        account = (JOBS.c.tenant, JOBS.c.sector, JOBS.c.ecosystem)
        held = JOBS.c.banked + JOBS.c.gpus * JOBS.c.ran
        with self._engine.connect() as connection:

            def sums(by: Sequence[ColumnElement[Any]], value: ColumnElement[Any]) -> dict[Any, int]:
                query = select(*by, value).where(JOBS.c.gone.is_(True)).group_by(*by)
                return {tuple(row[:-1]): int(row[-1] or 0) for row in connection.execute(query)}

            put_back = JOBS.join(EVICTIONS, JOBS.c.uid == EVICTIONS.c.uid)
            by_reason = (*place, EVICTIONS.c.reason)
            evictions = connection.execute(
                select(*by_reason, func.sum(EVICTIONS.c.count))
                .select_from(put_back)
                .where(JOBS.c.gone.is_(True))
                .group_by(*by_reason)
            )
            return Settled(
                finished=sums((*place, JOBS.c.outcome), func.count()),
                restarts=sums(place, func.sum(JOBS.c.restarts)),
                evictions={(row[0], row[1], row[2]): int(row[3]) for row in evictions},
                waits=_durations(connection, JOBS.c.wait, bounds),
                runs=_durations(connection, JOBS.c.run, bounds),
                gpu_seconds=sums(account, func.sum(held)),
            )

    def marks(self) -> dict[Account, float]:
        """The GPU-seconds that were shown last."""
        with self._engine.connect() as connection:
            return {
                (r.tenant, r.sector, r.ecosystem): r.gpu_seconds for r in connection.execute(select(MARKS))
            }

    def seen(self) -> float | None:
        """Until when what ran was known; None in a new ledger."""
        with self._engine.connect() as connection:
            return connection.scalar(select(CLOCK.c.time).where(CLOCK.c.name == _SEEN))

    def positions(self) -> dict[str, int]:
        """The resourceVersion of each stream up to which the entries know what has happened."""
        with self._engine.connect() as connection:
            return {row.resource: row.version for row in connection.execute(select(POSITIONS))}

    # While it runs

    def write(self, entry: Entry) -> None:
        """Have this written with the next commit, in place of what the job had."""
        with self._lock:
            self._pending[entry.uid] = entry

    def take(self) -> list[Entry]:
        """What waits to be written; whoever takes it commits it."""
        with self._lock:
            taken, self._pending = self._pending, {}
        return list(taken.values())

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Have what could not be committed written later, but for what was written anew meanwhile."""
        with self._lock:
            self._pending = {**{entry.uid: entry for entry in entries}, **self._pending}

    def commit(
        self,
        entries: Sequence[Entry],
        marks: Mapping[Account, float],
        seen: float,
        positions: Mapping[str, int] = NOWHERE,
    ) -> None:
        """Write all of it, or nothing. Raises SQLAlchemyError."""
        with self._engine.begin() as connection:
            for start in range(0, len(entries), _CHUNK):
                chunk = entries[start : start + _CHUNK]
                counts = [
                    (entry.uid, reason, count, before.get(reason, 0))
                    for entry in chunk
                    for before in (dict(entry.evictions_before),)
                    for reason, count in entry.evictions
                ]
                self._upsert(connection, JOBS, [_row(entry) for entry in chunk])
                self._upsert(connection, EVICTIONS, counts)
            self._upsert(connection, MARKS, [(*account, value) for account, value in marks.items()])
            self._upsert(connection, CLOCK, [(_SEEN, seen)])
            self._upsert(connection, POSITIONS, list(positions.items()))

    def start(self, tick: Callable[[], None], seconds: float = COMMIT_SECONDS) -> None:
        """Call ``tick`` every so often in a thread of its own. One that fails is called again."""
        failing = ""

        def attempt() -> None:
            nonlocal failing
            try:
                tick()
            except SQLAlchemyError as error:
                # Told once: it is tried twice a second.
                if failing != (failing := words(error)):
                    _log.error("the ledger cannot be written: %s; trying again", told(error))
            else:
                if failing:
                    _log.info("the ledger is written again")
                failing = ""

        def run() -> None:
            while not self._stop.wait(seconds):
                attempt()
            attempt()

        self._thread = threading.Thread(target=run, name="ledger", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call what ``start`` was given a last time, end the thread, and let go of the database."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._engine.dispose()

    def _upsert(self, connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Write rows, in the table's order of columns."""
        if rows:
            connection.exec_driver_sql(self._upserts[table], rows)


_row: Final[Callable[[Entry], tuple[Any, ...]]] = attrgetter(*JOBS.columns.keys())


def _durations(connection: Connection, column: Column[Any], bounds: Sequence[int]) -> dict[Place, Durations]:
    value = f"{JOBS.name}.{column.name}"
    cell: ColumnElement[int] = literal_column(_cell(value, (*bounds, bounds[-1] + 1))).label("cell")
    query = (
        select(JOBS.c.queue, JOBS.c.tenant, cell, func.count(), func.sum(column))
        .where(JOBS.c.gone.is_(True), column.is_not(None))
        .group_by(JOBS.c.queue, JOBS.c.tenant, cell)
    )
    cells: dict[Place, list[tuple[int, int]]] = {}
    totals: dict[Place, int] = {}
    for queue, tenant, bound, count, total in connection.execute(query):
        cells.setdefault((queue, tenant), []).append((int(bound), int(count)))
        totals[queue, tenant] = totals.get((queue, tenant), 0) + int(total)
    return {place: Durations(tuple(cells[place]), total) for place, total in totals.items()}


def _cell(value: str, bounds: Sequence[int]) -> str:
    """SQL for the first of the bounds that a value does not exceed; the last, where it exceeds all others.

    By halves: a row is compared a few times, not once a bound. As text: SQLAlchemy takes 0.1 s to put
    hundreds of bounds together.
    """
    if len(bounds) == 1:
        return str(bounds[0])
    middle = len(bounds) // 2
    low, high = _cell(value, bounds[:middle]), _cell(value, bounds[middle:])
    return f"CASE WHEN {value} <= {bounds[middle - 1]:d} THEN {low} ELSE {high} END"
