"""Tables of remote jobs. The first holds what ``RemoteEntry`` says; SQLite and PostgreSQL take both alike."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text

from operators.ledger.tables import METADATA

REMOTE_JOBS: Final = Table(
    "remote_jobs",
    METADATA,
    Column("site", Text, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("submitted", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("ecosystem", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("raw_state", Text, nullable=False),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("seen", BigInteger, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("rate", Text, nullable=False),
    Column("kilowatts", Text),
    Index("remote_jobs_ended", "ended"),
    Index("remote_jobs_project", "site", "project"),
)

REMOTE_CURSORS: Final = Table(
    "remote_cursors",
    METADATA,
    Column("site", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
)
"""Until when the rows know what a source of a site had to tell: written with the rows, or not at all."""

REMOTE_MARKS: Final = Table(
    "remote_marks",
    METADATA,
    Column("family", Text, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Float, nullable=False),
)
"""What counters showed last: no later figure may be lower. ``labels`` is a JSON list of their values."""
