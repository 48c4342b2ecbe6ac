"""What was answered to the board's questions, and which part of it is a partner's own. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from monitoring import firing
from monitoring.board.asks import ASKS, TRENDS, Ask, SourceName

NAMESPACE: Final = "tenant-"
"""How the name of a partner's namespace begins."""


@dataclass(frozen=True)
class Row:
    """One figure."""

    labels: Mapping[str, str]
    value: float

    def of(self, *names: str) -> tuple[str, ...]:
        """The labels' values; "" for one that is not there."""
        return tuple(self.labels.get(name, "") for name in names)


@dataclass(frozen=True)
class Series:
    """One figure over the last day: (Unix time, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Answers:
    """All that the board is made of."""

    asked: datetime
    heard: Mapping[SourceName, float] = field(default_factory=dict)
    """When each source last told something, in Unix time; none where it told nothing within a day."""
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """By the name of its row in ``ASKS`` or ``of_jobs``."""
    trends: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    alerts: Sequence[firing.Row] = ()
    judged: bool = True
    """Whether who judges the rules answered: otherwise more may fire than is known."""
    unknown: Sequence[str] = ()
    """What could not be asked, a sentence each."""


def rows(result: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    """An instant vector of the query API. What is no number is left out."""
    found = (Row(one["metric"], float(one["value"][1])) for one in result)
    return tuple(row for row in found if math.isfinite(row.value))


def series(result: Iterable[Mapping[str, Any]]) -> tuple[Series, ...]:
    """A matrix of the query API."""
    return tuple(
        Series(
            one["metric"],
            tuple((float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))),
        )
        for one in result
    )


def of_partner(answers: Answers, tenant: str) -> Answers:
    """What a partner may see: rows that name it, and of sites and links what names nobody.

    Sentences about what could not be asked, and reasons of silences, are other people's free text.
    """
    namespace = f"{NAMESPACE}{tenant}"

    def is_own(labels: Mapping[str, str]) -> bool:
        if "namespace" in labels:
            return labels["namespace"] == namespace
        return labels.get("tenant") == tenant

    def is_shown(ask: Ask | None, labels: Mapping[str, str]) -> bool:
        return is_own(labels) or bool(ask and ask.shared and "tenant" not in labels)

    return replace(
        answers,
        rows={
            name: tuple(row for row in found if is_shown(ASKS.get(name), row.labels))
            for name, found in answers.rows.items()
        },
        trends={
            name: tuple(one for one in found if is_shown(TRENDS.get(name), one.labels))
            for name, found in answers.trends.items()
        },
        alerts=[replace(alert, quiet="") for alert in answers.alerts if is_own(dict(alert.labels))],
        unknown=["some figures could not be asked"] if answers.unknown else [],
    )
