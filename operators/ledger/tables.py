"""The ledger's tables. They hold what ``Entry`` says; SQLite and PostgreSQL take them alike."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, false

METADATA: Final = MetaData()

SCHEMA: Final = Table(
    "schema_version",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
"""One row: which tables and columns there are, see ``schema.py``."""

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("uid", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("ecosystem", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("banked", BigInteger, nullable=False, server_default="0"),
    Column("resized", BigInteger),
    Column("wait", BigInteger),
    Column("running_since", BigInteger),
    Column("earlier", BigInteger, nullable=False),
    Column("past", BigInteger, nullable=False),
    Column("over", Boolean, nullable=False, server_default=false()),
    Column("ran", BigInteger, nullable=False),
    Column("began", BigInteger),
    Column("run", BigInteger),
    Column("outcome", Text),
    Column("finished", BigInteger),
    Column("restarts", Integer, nullable=False),
    Column("workload", Text, nullable=False, server_default=""),
    Column("gone", Boolean, nullable=False),
    Index("jobs_present", "gone"),
)

EVICTIONS: Final = Table(
    "evictions",
    METADATA,
    Column("uid", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("before", Integer, nullable=False, server_default="0"),
)
"""``before``: those under Workloads that the job no longer has."""

MARKS: Final = Table(
    "marks",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("sector", Text, primary_key=True),
    Column("ecosystem", Text, primary_key=True),
    Column("gpu_seconds", Float, nullable=False),
)
"""The GPU-seconds that were shown last: no later figure may be lower."""

CLOCK: Final = Table(
    "clock",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("time", Float, nullable=False),
)
"""``seen``: until when the operator knew what ran, in seconds since the epoch."""

POSITIONS: Final = Table(
    "positions",
    METADATA,
    Column("resource", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""The resourceVersion of each stream up to which the rows of jobs know what has happened."""
