"""What a dashboard is made of, whichever program shows it."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = 12
"""A row is this wide."""


@dataclass(frozen=True)
class Query:
    """One expression and what its series are called: ``{{label}}`` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One graph. ``width`` in columns."""

    title: str
    about: str
    """What a reader should know to read it right; shown on the panel."""
    queries: tuple[Query, ...]
    unit: str = ""
    width: int = 4


@dataclass(frozen=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """One page. ``name`` is its file's."""

    name: str
    title: str
    rows: tuple[Row, ...]
