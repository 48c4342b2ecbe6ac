"""What was measured, and what it comes to. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One run of one measurement of one program."""

    measure: str
    """``scrape``, ``scrape gzip``, ``events``, ``cold start``, ``freshness``, ``poll``, ``poll, live`` or
    ``antenna VERB``."""
    program: str
    jobs: int
    """How many Jobs there were."""
    figures: dict[str, float]
    """figure -> value; the unit is in the figure's name. Seconds, bytes and counts."""


@dataclass(frozen=True)
class Summary:
    """The runs of one measurement of one program: the median of each figure."""

    measure: str
    program: str
    jobs: int
    runs: int
    figures: dict[str, float]


def summarise(readings: Iterable[Reading]) -> list[Summary]:
    """In the order in which they were first measured."""
    groups: dict[tuple[str, str, int], list[Reading]] = {}
    for reading in readings:
        groups.setdefault((reading.measure, reading.program, reading.jobs), []).append(reading)
    return [
        Summary(measure, program, jobs, len(group), _medians(group))
        for (measure, program, jobs), group in groups.items()
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0..1) of all do not exceed (nearest rank).

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _medians(group: list[Reading]) -> dict[str, float]:
    names = list(dict.fromkeys(name for reading in group for name in reading.figures))
    return {name: statistics.median(r.figures[name] for r in group if name in r.figures) for name in names}
