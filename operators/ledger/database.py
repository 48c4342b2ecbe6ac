"""The ledger's database: SQLite by default, PostgreSQL by URL; both are asked in the same words."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    ExceptionContext,
    Table,
    case,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

_POSTGRESQL: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 15_000,  # milliseconds without an answer of its machine
    "options": "-c statement_timeout=120s -c idle_in_transaction_session_timeout=60s",
}
"""libpq's settings, unless the URL has its own: whoever waits for a database holds everything else up.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
_OPENED_ANEW: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""Results after which SQLite's file is opened again."""


def connect(where: Path | str) -> Engine:
    """An engine for a path of an SQLite file, or any URL that SQLAlchemy takes (SQLite, PostgreSQL)."""
    if isinstance(where, Path):
        where.parent.mkdir(parents=True, exist_ok=True)
        where = f"sqlite:///{where}"
    url = make_url(where)
    sqlite_file = url.get_backend_name() == "sqlite"
    # Parameters by their place.
    if url.get_backend_name() == "postgresql":
        arguments = {key: value for key, value in _POSTGRESQL.items() if key not in url.query}
        # A connection that the server has dropped meanwhile is no failure of what is written now.
        return create_engine(url, paramstyle="format", connect_args=arguments, pool_pre_ping=True)
    engine = create_engine(url, paramstyle="qmark" if sqlite_file else "format")
    if sqlite_file:

        @event.listens_for(engine, "connect")
        def settings(connection: Any, _record: object) -> None:
            try:
                connection.execute("PRAGMA busy_timeout=10000")
                # A commit survives the process at once, and the machine's power at the next checkpoint.
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                # SQLite opens what cannot be written for reading, and all of a process then reads only for as
                # long as one does: a connection that cannot write is none.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("PRAGMA user_version=0")
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                connection.close()
                raise

        @event.listens_for(engine, "handle_error")
        def opened_anew(context: ExceptionContext) -> None:
            # A connection whose volume failed stays what it is, and keeps that from being mounted anew.
            code = getattr(context.original_exception, "sqlite_errorcode", 0) & 0xFF
            if code in _OPENED_ANEW:
                context.is_disconnect = True

    return engine


def upsert(
    connection: Connection,
    table: Table,
    rows: list[dict[str, Any]],
    *,
    keeping: Collection[str] = (),
    where: Any = None,
) -> None:
    """Insert rows, or have them replace those of the same key.

    What replaces leaves the columns ``keeping`` as they were, and happens only ``where``: a function of the
    columns that come.
    """
    if not rows:
        return
    connection.execute(_upsert(table, connection.dialect, keeping, where), rows)


def upsert_text(table: Table, dialect: Dialect) -> str:
    """The statement of ``upsert`` as text, for rows as tuples in the table's order of columns.

    Compiled once: to take a statement's parameters apart for each row costs more than the row.
    """
    return str(_upsert(table, dialect).compile(dialect=dialect))


def _upsert(table: Table, dialect: Dialect, keeping: Collection[str] = (), where: Any = None) -> Any:
    insert: Any = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in {*keys, *keeping}}
    condition = None if where is None else where(statement.excluded)
    return statement.on_conflict_do_update(index_elements=keys, set_=others, where=condition)


def smaller(one: ColumnElement[Any], other: ColumnElement[Any] | int) -> ColumnElement[Any]:
    """The smaller of two; SQLite and PostgreSQL have other names for it."""
    return case((one < other, one), else_=other)


def larger(one: ColumnElement[Any], other: ColumnElement[Any] | int) -> ColumnElement[Any]:
    """The larger of two."""
    return case((one > other, one), else_=other)
