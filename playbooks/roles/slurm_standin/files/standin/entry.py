"""What the stand-in was told: the remote site's own entry, and its projects with what was granted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path("/etc/antenna/standin.json")


@dataclass(frozen=True)
class Grant:
    """``amount`` of ``unit`` (gpu-hours, core-hours, tb-hours) from ``start`` to ``end``, ISO dates."""

    amount: float
    unit: str
    start: str
    end: str


@dataclass(frozen=True)
class Account:
    """A project there: the login that works for it, who may log in as that, and what it was granted."""

    project: str
    user: str
    keys: tuple[str, ...]
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Entry:
    """The site, as ``site:sites`` has it, its projects, and the login that reads: of no project."""

    site: dict[str, Any]
    accounts: tuple[Account, ...]
    reader: str = ""
    reader_keys: tuple[str, ...] = ()


def read(path: Path = FILE) -> Entry:
    """What the role wrote."""
    return parse(json.loads(path.read_text()))


def parse(told: dict[str, Any]) -> Entry:
    """From plain data, the Antenna's key among those of each login that it has. Pure."""
    keys = told.get("login_keys", {})
    reader = told.get("reader", "")
    return Entry(
        told["site"],
        tuple(
            Account(
                row["project"],
                row["user"],
                (*row.get("keys", ()), *([keys[row["user"]]] if row["user"] in keys else ())),
                tuple(Grant(**grant) for grant in row.get("grants", ())),
            )
            for row in told["accounts"]
        ),
        reader if reader in keys else "",
        (keys[reader],) if reader in keys else (),
    )
