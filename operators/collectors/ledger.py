"""Whether the ledger takes what it is given, by site: for how long it has not, and why not in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from operators.exposition.store import Store
from operators.ledger.trouble import words

UNWRITTEN: Final = "antenna_ledger_unwritten_seconds"
LIMIT: Final = "antenna_ledger_unwritten_limit_seconds"


@dataclass(frozen=True)
class _Owed:
    """What was to be written and is not."""

    since: float
    """When that was first tried."""
    words: str = ""
    """Why it failed; empty while the first attempt lasts."""


class Writes:
    """Attempts to write. May be called from any thread; ``clock`` tells seconds since the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._limits: dict[str, int] = {}
        self._owed: dict[tuple[str, str], _Owed] = {}
        store.on_scrape(self._show)

    def expect(self, site: str, limit: int) -> None:
        """From now on what the site tells is to be written within ``limit`` seconds."""
        self._limits[site] = limit

    def forget(self, site: str) -> None:
        """The site is gone, and what is owed of it."""
        self._limits.pop(site, None)
        for key in [key for key in self._owed if key[0] == site]:
            del self._owed[key]
        for family in (UNWRITTEN, LIMIT):
            self._store.remove(family, (site,))

    @contextmanager
    def attempt(self, site: str, source: str) -> Iterator[None]:
        """Writing what a source of the site told: owed until it succeeds."""
        key = site, source
        began = self._owed.get(key, _Owed(self._clock()))
        self._owed[key] = began
        try:
            yield
        except SQLAlchemyError as error:
            self._owed[key] = _Owed(began.since, words(error))
            raise
        except BaseException:
            self._owed.pop(key, None)  # it did not come to the ledger
            raise
        self._owed.pop(key, None)

    def trouble(self, site: str) -> str:
        """Why nothing of the site can be charged now, for users; empty while the ledger is written.

        Once an attempt has failed, until the next one succeeds; and while one has lasted for longer than the
        limit.
        """
        owed = sorted((one.since, one.words) for (of, _), one in list(self._owed.items()) if of == site)
        for since, said in owed:
            if said or self._clock() - since > self._limits.get(site, 0):
                at = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                return f"the ledger cannot be written since {at}: {said or 'its database does not answer'}"
        return ""

    def _show(self) -> None:
        now = self._clock()
        for site, limit in list(self._limits.items()):
            owed = [one.since for (of, _), one in list(self._owed.items()) if of == site]
            lasts = max(0.0, now - min(owed)) if owed else 0.0
            self._store.set(UNWRITTEN, (site,), round(lasts, 3))
            self._store.set(LIMIT, (site,), limit)
