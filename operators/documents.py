"""Budgets and usage as documents for people's tools: what `antenna budget` and `antenna report` read.

Amounts are in their unit, rounded to a millionth; seconds are whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from operators.ledger.remote import RemoteLedger
from operators.usage.budgets import DAY, Balance, Window
from operators.usage.daily import daily
from operators.usage.remote import RemoteUsage

Document = dict[str, Any]
Query = Mapping[str, str]

LONGEST: Final = 3 * 366 * DAY
"""Seconds that one document of usage may span: three years, the Antenna's first funding."""


def documents(
    usage: RemoteUsage, ledger: RemoteLedger, clock: Callable[[], float] = time.time
) -> dict[str, Callable[[Query], Document]]:
    """Path -> what makes its document. They raise ValueError, fit for users, for a query that is wrong."""

    def budgets(_query: Query) -> Document:
        found = [*usage.balances(), *usage.local_balances()]
        return {"as_of": _stamp(int(clock())), "budgets": [_budget(one, usage) for one in found]}

    def used(query: Query) -> Document:
        window = _window(query)
        now = int(clock())
        days = daily(ledger.intervals(window, now), window)
        rows = [
            {
                "day": _stamp(day)[:10],
                **account._asdict(),
                "used": _number(sums.used),
                "gpu_seconds": sums.gpu_seconds,
                "kwh": _number(sums.kwh),
                "jobs": sums.jobs,
            }
            for (day, account), sums in sorted(days.items())
        ]
        return {
            "as_of": _stamp(now),
            "from": _stamp(window.since),
            "to": _stamp(window.until),
            "rows": rows,
        }

    return {"/budgets": budgets, "/usage": used}


def _budget(one: Balance, usage: RemoteUsage) -> Document:
    told = usage.site_figure(one)
    return {
        "tenant": one.tenant,
        "site": one.site,
        "project": one.project,
        "unit": one.unit,
        "from": _stamp(one.window.since),
        "to": _stamp(one.window.until),
        "allocated": _number(one.allocated),
        "used": _number(one.used),
        "reserved": _number(one.reserved),
        "remaining": _number(one.remaining),
        "burn_per_day": _number(one.burn),
        "exhaustion": None if one.exhaustion is None else _stamp(one.exhaustion),
        "site_used": told and told.used,
        "site_as_of": told and told.as_of and _stamp(told.as_of),
        "difference": _number(usage.difference(one)),
    }


def _window(query: Query) -> Window:
    try:
        window = Window(int(query["from"]), int(query["to"]))
    except (KeyError, ValueError):
        raise ValueError("from and to are needed, in whole seconds since the epoch") from None
    if not 0 <= window.since < window.until <= 2**40:
        raise ValueError("from must be before to")
    if window.until - window.since > LONGEST:
        raise ValueError(f"at most {LONGEST // DAY} days at a time")
    return window


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(amount: Fraction | None) -> float | int | None:
    if amount is None:
        return None
    rounded = float(round(amount, 6))
    return int(rounded) if rounded.is_integer() else rounded
