"""Stale is not zero: the series of each source of a remote site, and the source's age.

A source (the queue, the accounting, ...) answers now and then. Until it is older than its limit, what it told
last is shown; past it its series leave, and its age stays and grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from operators.collectors.remote import Objects, Samples
from operators.exposition.store import Store

AGE: Final = "antenna_remote_source_age_seconds"
LIMIT: Final = "antenna_remote_source_limit_seconds"

Source = tuple[str, str]
"""(site, source)."""


@dataclass
class _Shown:
    at: float
    limit: int
    samples: Samples = field(default_factory=dict)
    objects: Objects = field(default_factory=dict)


class Sources:
    """What sources told last, in the store. ``clock`` tells seconds since the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._shown: dict[Source, _Shown] = {}
        store.on_scrape(self._age)

    def expect(self, site: str, source: str, limit: int) -> None:
        """From now on the source should answer at least every ``limit`` seconds: its age begins."""
        with self._store.writing:
            self._shown.setdefault((site, source), _Shown(self._clock(), limit)).limit = limit

    def put(self, site: str, source: str, samples: Samples, objects: Objects | None = None) -> None:
        """What an expected source told now, in place of what it told before."""
        with self._store.writing:
            shown = self._shown[site, source]
            self._replace(shown, samples, objects or {})
            shown.at = self._clock()

    def forget(self, site: str) -> None:
        """The site is gone, and all that its sources told."""
        with self._store.writing:
            for key in [key for key in self._shown if key[0] == site]:
                self._replace(self._shown.pop(key), {}, {})
                self._store.remove(AGE, key)
                self._store.remove(LIMIT, key)

    def _age(self) -> None:
        now = self._clock()
        for key, shown in self._shown.items():
            age = max(0.0, now - shown.at)
            self._store.set(AGE, key, round(age, 3))
            self._store.set(LIMIT, key, shown.limit)
            if age > shown.limit:
                self._replace(shown, {}, {})

    def _replace(self, shown: _Shown, samples: Samples, objects: Objects) -> None:
        for family, labels in shown.samples.keys() - samples.keys():
            self._store.remove(family, labels)
        for key in shown.objects.keys() - objects.keys():
            self._store.drop(key)
        for (family, labels), value in samples.items():
            self._store.set(family, labels, value)
        for key, found in objects.items():
            self._store.put(key, found)
        shown.samples, shown.objects = samples, objects
