"""What partners may use of remote sites and what is left of it. Pure and exact: no floats.

An allocation is what a site granted a partner's project, in the site's unit, from one day to another. Where
the site's budgets run by project all of it may be used at any time; where they run by month it is divided
evenly over the months. Days and months are those of UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

from operators.sites.access import Granted
from operators.sites.model import Accounting
from operators.usage.billing import HOUR

DAY: Final = 24 * HOUR
BURN_DAYS: Final = 7
"""Days over which the burn is averaged: a week holds its weekend."""
LOCAL: Final = Accounting("sacct", "at-once", "month")
"""How the use of the Antenna's own GPUs is shown: by the month."""

_ZERO: Final = Fraction(0)


class Window(NamedTuple):
    """From ``since`` until just before ``until``, in seconds since the epoch."""

    since: int
    until: int


@dataclass(frozen=True)
class Allocation:
    """What a site granted a tenant's project; ``end`` is the last day."""

    tenant: str
    site: str
    project: str
    unit: str
    amount: Fraction
    start: date
    end: date

    @property
    def window(self) -> Window:
        """The time in which it may be used."""
        return Window(_midnight(self.start), _midnight(self.end + timedelta(days=1)))


@dataclass(frozen=True)
class Balance:
    """An allocation's present period: the project's whole time, or this month.

    ``allocated`` is None where nobody granted an amount (local work): then nothing runs out. Amounts are in
    ``unit``.
    """

    tenant: str
    site: str
    project: str
    unit: str
    window: Window
    allocated: Fraction | None
    """With what a month before left or owes."""
    used: Fraction
    reserved: Fraction
    """What running and submitted jobs may use yet, up to their time limits."""
    burn: Fraction
    """Used a day, over the last days."""
    now: int
    overdraft: Fraction = Fraction(0)
    """What the site lets the project use beyond that, at lower priority."""

    @property
    def remaining(self) -> Fraction | None:
        """What new work may use; below 0 where more was used than there was."""
        return None if self.allocated is None else self.allocated - self.used - self.reserved

    @property
    def exhaustion(self) -> int | None:
        """When it will be used up if the burn goes on; None where it lasts until the window's end.

        (allocated - used) / burn from now. What is reserved is not taken off: it burns like the rest.
        """
        if self.allocated is None:
            return None
        left = self.allocated - self.used
        if left <= 0:
            return self.now
        if self.burn <= 0:
            return None
        at = self.now + int(left / self.burn * DAY)
        return at if at < self.window.until else None


def windows(allocation: Allocation, accounting: Accounting, now: int) -> tuple[Window, ...]:
    """The periods of an allocation that have begun, the present one last; empty when it is not in force."""
    whole = allocation.window
    if not whole.since <= now < whole.until:
        return ()
    return tuple(window for window in _periods(whole, accounting) if window.since <= now)


def recent(allocation: Allocation, now: int) -> Window:
    """The last days, of which the burn is the average; less where it began later."""
    return Window(max(now - BURN_DAYS * DAY, min(allocation.window.since, now - 1)), now)


def balance(
    allocation: Allocation,
    accounting: Accounting,
    *,
    used: Mapping[Window, Fraction],
    reserved: Fraction,
    now: int,
) -> Balance | None:
    """Where an allocation stands; None when it is not in force.

    A project that may overdraw goes on, at lower priority, until it owes one month's quota: JSC, "Allocation
    Procedures", as in ``carried``.

    ``used`` has every window that ``windows`` and ``recent`` name.
    """
    begun = windows(allocation, accounting, now)
    if not begun:
        return None
    share = allocation.amount / len(_periods(allocation.window, accounting))
    before = [used[window] for window in begun[:-1]]
    return Balance(
        tenant=allocation.tenant,
        site=allocation.site,
        project=allocation.project,
        unit=allocation.unit,
        window=begun[-1],
        allocated=share + carried(share, before, accounting.carry_over_months),
        used=used[begun[-1]],
        reserved=reserved,
        burn=_burn(recent(allocation, now), used),
        now=now,
        overdraft=share if accounting.overdraw else _ZERO,
    )


def local_balance(tenant: str, *, used: Mapping[Window, Fraction], reserved: Fraction, now: int) -> Balance:
    """A tenant's GPU-hours on the Antenna's own GPUs this month; nobody limits their sum.

    ``used`` has the windows of ``local_windows``.
    """
    month, week = local_windows(now)
    return Balance(
        tenant, "local", "", "gpu-hours", month, None, used[month], reserved, _burn(week, used), now
    )


def local_windows(now: int) -> tuple[Window, Window]:
    """This month, and the last days."""
    today = datetime.fromtimestamp(now, UTC).date()
    first = today.replace(day=1)
    return Window(_midnight(first), _midnight(_next_month(first))), Window(now - BURN_DAYS * DAY, now)


def carried(share: Fraction, used: Sequence[Fraction], months: int) -> Fraction:
    """What the months before add to the present one: their rest, or less than 0 where they owe.

    CQ = PQ + MQ: the rest of the month before is added to a month's quota, that of the month before it is
    forfeited; an overdrawn account is carried over as a negative quota. JSC, "Allocation Procedures":
    https://www.fz-juelich.de/en/ias/jsc/services/user-support/using-systems/allocation-procedures.

    Here for any number of months: ``share`` is each month's quota, ``used`` what was used in each month
    before, and the oldest rest is used first.
    """
    rests: list[Fraction] = []
    owed = _ZERO
    for spent in used:
        rests.append(max(share - owed, _ZERO))
        owed = max(owed - share, _ZERO)
        left = spent
        for i, rest in enumerate(rests):
            rests[i] = max(rest - left, _ZERO)
            left = max(left - rest, _ZERO)
        owed += left
        rests = rests[max(len(rests) - months, 0) :]
    return sum(rests, _ZERO) - owed


def outstanding(per_hour: Fraction, limit: int, started: int | None, now: int) -> Fraction:
    """What a job that waits or runs may use yet: its rate, for what is left of its time limit in seconds."""
    ran = 0 if started is None else max(0, now - started)
    return per_hour * max(0, limit - ran) / HOUR


def difference(granted: Granted, used: Fraction) -> Fraction:
    """The site's own figure less ours, in its unit: above 0 the site counts more than we know of."""
    return Fraction(str(granted.used)) - used


def shown(amount: Fraction) -> str:
    """An amount for people: at most two decimals, none where it is whole."""
    return f"{float(round(amount, 2)):,.2f}".rstrip("0").rstrip(".")


def _burn(window: Window, used: Mapping[Window, Fraction]) -> Fraction:
    """A day's mean; of less than a day's time what was used, not its multiple."""
    return used[window] * DAY / max(window.until - window.since, DAY)


def _periods(whole: Window, accounting: Accounting) -> list[Window]:
    if accounting.period == "project":
        return [whole]
    found = []
    since = whole.since
    while since < whole.until:
        first = datetime.fromtimestamp(since, UTC).date().replace(day=1)
        until = min(_midnight(_next_month(first)), whole.until)
        found.append(Window(since, until))
        since = until
    return found


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
