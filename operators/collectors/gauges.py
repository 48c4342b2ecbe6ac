"""Sums that follow the objects: kept by adding what changed, handed to the store at the next scrape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from operators.exposition.store import Store

Labels = tuple[str, ...]
_CPU: Final = "antenna_queue_cpu_cores_"


class Gauges:
    """Aggregate gauges, in whole units (CPU in thousandths of a core), so that sums stay exact."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._values: dict[tuple[str, Labels], int] = {}
        self._changed: set[tuple[str, Labels]] = set()
        self._kept: set[str] = set()

    def keep(self, queues: Iterable[str]) -> None:
        """Show these queues' series even while they are 0; other series only while they are not."""
        self._kept = set(queues)

    def clear(self) -> None:
        """Begin anew: what is not added or put again leaves the store."""
        self._changed.update(self._values)
        self._values.clear()

    def add(self, family: str, labels: Labels, amount: int) -> None:
        """Add to a series; one that is new begins at 0."""
        key = family, labels
        self._values[key] = self._values.get(key, 0) + amount
        self._changed.add(key)

    def put(self, family: str, labels: Labels, amount: int) -> None:
        """Set a series."""
        self._values[family, labels] = amount
        self._changed.add((family, labels))

    def show(self) -> None:
        """Hand what changed to the store."""
        for key in self._changed:
            (family, labels), value = key, self._values.get(key)
            if value or (value == 0 and labels[1] in self._kept):
                self._store.set(family, labels, value / 1000 if family.startswith(_CPU) else value)
            else:
                self._values.pop(key, None)
                self._store.remove(family, labels)
        self._changed.clear()
