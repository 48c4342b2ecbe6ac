"""What is wrong with the ledger's database, in words that a partner may read: no address, no path. Pure."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

_FULL: Final = "its volume is full"
_READ_ONLY: Final = "it is read-only"
_AWAY: Final = "there is no connection to its database"
_FAILS: Final = "its volume cannot be written"
_REFUSES: Final = "its database refuses what is written"

_SQLITE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _FAILS,
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_BUSY: "its file is held by another process",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is damaged",
}
"""By the primary result code: https://www.sqlite.org/rescode.html"""
_POSTGRESQL: Final = (
    ("53100", _FULL),
    ("25006", _READ_ONLY),
    ("57P", _AWAY),
    ("08", _AWAY),
    ("53", "its database has no room for the operator"),
    ("58", _FAILS),
)
"""Beginnings of SQLSTATE, the first that fits: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


def told(error: SQLAlchemyError) -> str:
    """The same for the log: with the database's own words, without the statement and what it would write."""
    return f"{words(error)} ({error.orig if isinstance(error, DBAPIError) else error})"


def words(error: SQLAlchemyError) -> str:
    """Why the ledger cannot be used."""
    if not isinstance(error, DBAPIError):
        return _REFUSES
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code & 0xFF, _REFUSES)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # It did not come to an answer.
        return _AWAY if isinstance(error, OperationalError) else _REFUSES
    return next((said for start, said in _POSTGRESQL if state.startswith(start)), _REFUSES)
