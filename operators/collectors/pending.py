"""Since when the oldest pending work of each queue waits."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")


class Oldest(Generic[K]):
    """Times by key, of which the earliest is asked for. Each step takes O(log n)."""

    def __init__(self) -> None:
        self._counts: dict[K, Counter[int]] = {}
        self._heaps: dict[K, list[int]] = {}

    def clear(self) -> None:
        """Forget all."""
        self._counts.clear()
        self._heaps.clear()

    def add(self, key: K, time: int) -> None:
        """One more of that time, in whole seconds."""
        counts = self._counts.setdefault(key, Counter())
        if time not in counts:
            heapq.heappush(self._heaps.setdefault(key, []), time)
        counts[time] += 1

    def remove(self, key: K, time: int) -> None:
        """One less."""
        counts = self._counts[key]
        counts[time] -= 1
        if not counts[time]:
            del counts[time]

    def keys(self) -> Iterable[K]:
        """Those that something was ever added to."""
        return self._counts.keys()

    def earliest(self, key: K) -> int | None:
        """The earliest time of a key; None where there is none."""
        heap, counts = self._heaps.get(key, []), self._counts.get(key, Counter())
        while heap and heap[0] not in counts:
            heapq.heappop(heap)
        return heap[0] if heap else None
