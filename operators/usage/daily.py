"""What was used, by whom, on which day: intervals of work cut at midnight and summed up. Pure and exact.

An interval is a job's time with the resources that it held: a line of the ledger, local or remote.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from operators.usage.billing import HOUR
from operators.usage.budgets import DAY, Window

LOCAL: Final = "local"
"""The site of what ran on the Antenna's own GPUs."""


class Account(NamedTuple):
    """What figures are kept apart by. ``queue`` is the ClusterQueue, or the partition."""

    site: str
    queue: str
    tenant: str
    ecosystem: str
    sector: str
    unit: str


@dataclass(frozen=True)
class Interval:
    """From ``since`` until ``until`` a job held ``gpus`` and cost ``rate`` units an hour."""

    account: Account
    since: int
    until: int
    gpus: int
    rate: Fraction
    kilowatts: Fraction | None
    """Mean power; None where it is not known."""
    outcome: str | None
    """How it ended, at ``until``; None while it runs."""


@dataclass
class Sums:
    """Figures of one account on one day. ``kwh`` is of what has a known power."""

    used: Fraction = Fraction(0)
    gpu_seconds: int = 0
    kwh: Fraction = Fraction(0)
    jobs: dict[str, int] = field(default_factory=dict)
    """outcome -> jobs that ended on that day."""


def daily(intervals: Iterable[Interval], window: Window) -> dict[tuple[int, Account], Sums]:
    """(the day's first second in UTC, account) -> sums, of what lies within the window."""
    found: dict[tuple[int, Account], Sums] = {}
    for interval in intervals:
        end = min(interval.until, window.until)
        at = max(interval.since, window.since)
        while at < end:
            day = at - at % DAY
            seconds = min(end, day + DAY) - at
            sums = found.setdefault((day, interval.account), Sums())
            sums.used += interval.rate * seconds / HOUR
            sums.gpu_seconds += interval.gpus * seconds
            sums.kwh += (interval.kilowatts or Fraction(0)) * seconds / HOUR
            at += seconds
        if interval.outcome is not None and window.since <= interval.until < window.until:
            sums = found.setdefault((interval.until - interval.until % DAY, interval.account), Sums())
            sums.jobs[interval.outcome] = sums.jobs.get(interval.outcome, 0) + 1
    return found
