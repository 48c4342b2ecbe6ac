"""What partners have left, and what of it is reserved by work that was let go."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from operators.dispatch.accounts import Accounts

Account = tuple[str, str, str]
"""(tenant, site, unit)."""

LASTS: Final = 5.0  # seconds that an answer of the accounts is used for: a thousand jobs ask the same


class Reservations:
    """Of the dispatch's thread alone. What a job reserves counts until its end is known."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._left: dict[Account, tuple[float, Fraction | None]] = {}
        self._mine: dict[str, tuple[Account, Fraction]] = {}
        self._totals: dict[Account, Fraction] = {}

    def empty(self) -> None:
        """Nothing is reserved."""
        self._left.clear()
        self._mine.clear()
        self._totals.clear()

    def left(self, account: Account) -> Fraction | None:
        """Granted and not used by what has ended; None while it is not known."""
        at, amount = self._left.get(account, (float("-inf"), None))
        if amount is None or self._clock() - at > LASTS:
            at, amount = self._clock(), self._accounts.remaining(*account)
            self._left[account] = (at, amount)
        return amount

    def reserved(self, account: Account, but: str) -> Fraction:
        """What all jobs but one reserve."""
        mine = self._mine.get(but)
        own = mine[1] if mine and mine[0] == account else Fraction(0)
        return self._totals.get(account, Fraction(0)) - own

    def reserve(self, uid: str, account: Account | None, amount: Fraction = Fraction(0)) -> None:
        """What a job reserves from now on, in place of what it did; None: nothing."""
        if before := self._mine.pop(uid, None):
            self._totals[before[0]] -= before[1]
        if account:
            self._mine[uid] = (account, amount)
            self._totals[account] = self._totals.get(account, Fraction(0)) + amount
