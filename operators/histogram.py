"""Durations as histograms in Prometheus' two shapes: classic buckets, and a native histogram. Pure.

Durations are whole seconds, so that the exponential buckets of a native histogram can be told with
whole numbers: nothing is rounded. https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

BUCKETS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 3 * 86400, 7 * 86400)
"""Upper bounds of the classic buckets, in seconds."""

SCHEMA: Final = 3
"""Of the native buckets: each power of two is divided into 2^SCHEMA, so a bound is the one before x 1.09."""

ZERO_THRESHOLD: Final = 2.0**-128
"""Up to here an observation is in the zero bucket: the threshold of most clients, so that sums over
several of them keep it. Of whole seconds only 0 is."""

_DOUBLINGS: Final = 32
"""Up to 2^32 s (136 years) ``CELLS`` tells durations apart."""
_GAP: Final = 2  # empty buckets that cost less in a span than the start of another


@dataclass(frozen=True)
class Histogram:
    """The same observations in both shapes."""

    buckets: Sequence[tuple[float, int]]
    """Classic: (upper bound, observations at or below it)."""
    sum: float
    count: int
    zero: int = 0
    """Native: observations of the zero bucket."""
    positive: Sequence[tuple[int, int]] = ()
    """Native: (index, observations) of the buckets that have any, by index."""


class Observations:
    """Durations, counted as they come."""

    def __init__(self) -> None:
        self._classic = [0] * (len(BUCKETS) + 1)
        """Not cumulative; the last is without bound."""
        self._zero = 0
        self._positive: dict[int, int] = {}
        self._sum = 0

    def add(self, seconds: int) -> None:
        """Count one."""
        self._count(seconds, 1)
        self._sum += seconds

    def include(self, cells: Iterable[tuple[int, int]], sum: int) -> None:
        """Count what was summed up elsewhere: (one of ``CELLS``, observations in it), and their sum."""
        for bound, times in cells:
            self._count(bound, times)
        self._sum += sum

    def now(self) -> Histogram:
        """What has been counted."""
        buckets, below = [], 0
        for bound, times in zip(BUCKETS, self._classic, strict=False):
            below += times
            buckets.append((float(bound), below))
        positive = tuple(sorted(self._positive.items()))
        return Histogram(buckets, self._sum, below + self._classic[-1], self._zero, positive)

    def _count(self, seconds: int, times: int) -> None:
        self._classic[bisect_left(BUCKETS, seconds)] += times
        if seconds > 0:
            index = native_index(seconds)
            self._positive[index] = self._positive.get(index, 0) + times
        else:
            self._zero += times


def native_index(seconds: int) -> int:
    """The native bucket of a duration above 0: the least i with seconds <= 2^(i / 2^SCHEMA).

    That is the least i with seconds^(2^SCHEMA) <= 2^i.
    """
    return int(seconds ** (1 << SCHEMA) - 1).bit_length()


def longest(index: int) -> int:
    """The longest whole duration in a native bucket or below it: 2^(index / 2^SCHEMA), rounded down."""
    root = 1 << index
    for _ in range(SCHEMA):
        root = isqrt(root)
    return root


CELLS: Final = tuple(sorted({0, *BUCKETS, *(longest(index) for index in range((_DOUBLINGS << SCHEMA) + 1))}))
"""Bounds between which no two durations are in different buckets, of either shape: what is known to be
in a cell may be counted as if it were the cell's bound."""


def spans(positive: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[int]]:
    """Native buckets as they are sent: spans (gap to the span before, buckets), and for each bucket in
    them how many more it has than the one before. A small gap is sent as empty buckets.
    """
    found: list[tuple[int, int]] = []
    deltas: list[int] = []
    after, last = 0, 0
    for index, times in positive:
        gap = index - after
        if not found or gap > _GAP:
            found.append((gap, 1))
        else:
            for _ in range(gap):
                deltas.append(-last)
                last = 0
            offset, length = found[-1]
            found[-1] = offset, length + gap + 1
        deltas.append(times - last)
        after, last = index + 1, times
    return found, deltas
