"""The version of the ledger's tables: an earlier operator's are brought up to date, a later one's refused."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, Table, inspect, select, text, update
from sqlalchemy.schema import CreateColumn

from operators.ledger.database import upsert
from operators.ledger.remote_tables import REMOTE_JOBS
from operators.ledger.tables import JOBS, SCHEMA

VERSION: Final = 2
"""Of the tables as they are declared: one more with every change of them. 0: from before there were any."""
TABLES: Final = REMOTE_JOBS.metadata
"""All of the ledger's: what this module imports declares them."""
_NAME: Final = "ledger"
_POSTGRES_LOCK: Final = 0x616E7465  # any number that is the Antenna's own


class NewerSchema(Exception):  # noqa: N818 (what it is)
    """The ledger was written by a later operator: this one could only spoil it."""


def prepare(engine: Engine) -> None:
    """See that the tables are those of ``VERSION``; nothing is written where they are.

    All of a change happens or nothing, and what the ledger holds stays. A version may add tables, and columns
    that have a default, and takes none away. Raises NewerSchema, and SQLAlchemyError when the database fails.
    """
    with engine.connect() as connection:
        if _is_current(connection):
            return
    with engine.begin() as connection:
        _begin_alone(connection)
        if _is_current(connection):
            return
        older = inspect(connection).has_table(JOBS.name) and "banked" not in _columns(connection, JOBS)
        TABLES.create_all(connection)
        _add_columns(connection)
        if older:
            # Version 1 reckoned GPUs times admitted time; from here on it is what was held.
            connection.execute(update(JOBS).values(banked=JOBS.c.gpus * (JOBS.c.earlier + JOBS.c.past)))
        upsert(connection, SCHEMA, [{"name": _NAME, "version": VERSION}])


def _is_current(connection: Connection) -> bool:
    """Whether there is nothing to do. Raises NewerSchema."""
    found = 0
    if inspect(connection).has_table(SCHEMA.name):
        found = connection.scalar(select(SCHEMA.c.version).where(SCHEMA.c.name == _NAME)) or 0
    if found > VERSION:
        raise NewerSchema(
            f"the ledger {connection.engine.url.render_as_string()} has schema version {found}, and this "
            f"operator knows versions up to {VERSION}: nothing was changed; run the operator that wrote it, "
            "or a later one"
        )
    return found == VERSION


def _begin_alone(connection: Connection) -> None:
    """Of two that open the ledger at once the second waits, and finds it done."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_POSTGRES_LOCK})"))
    else:
        # Python's module begins a transaction before rows are written, and not before tables are made.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _add_columns(connection: Connection) -> None:
    """Give the tables of an earlier version the columns that have come since."""
    for table in TABLES.sorted_tables:
        there = _columns(connection, table)
        for column in table.columns:
            if column.name not in there:
                added = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {added}"))


def _columns(connection: Connection, table: Table) -> set[str]:
    """Those that the database's table has."""
    return {column["name"] for column in inspect(connection).get_columns(table.name)}
