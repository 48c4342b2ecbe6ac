"""Coordinates of what the board draws as SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from monitoring.board.asks import DAY_SECONDS, TREND_SECONDS
from monitoring.board.model import Board, Link, Site, Trend

WIDTH: Final = 240
HEIGHT: Final = 48

_MARGIN: Final = 3
_GAP: Final = 1.5 * TREND_SECONDS / DAY_SECONDS
"""Further apart than that, two points have something missing between them."""
_ROW: Final = 92


@dataclass(frozen=True)
class Place:
    """A site in the drawing of sites and links: its box's upper left corner."""

    site: Site
    x: int
    y: int


def places(board: Board) -> tuple[Place, ...]:
    """The local site on the left, the others below each other on the right."""
    local, *remote = board.sites
    middle = max(0, len(remote) - 1) * _ROW // 2
    return (
        Place(local, 10, 10 + middle),
        *(Place(site, 430, 10 + _ROW * number) for number, site in enumerate(remote)),
    )


def height(board: Board) -> int:
    """Of the drawing."""
    return 20 + _ROW * max(1, len(board.sites) - 1)


def lines(trend: Trend) -> tuple[str, ...]:
    """The paths of a trend, one for each stretch in which nothing is missing; from 0 to its highest."""
    highest = peak(trend) or 1.0
    stretches: list[list[tuple[float, float]]] = []
    for number, point in enumerate(trend.points):
        if number == 0 or point[0] - trend.points[number - 1][0] > _GAP:
            stretches.append([])
        stretches[-1].append(point)
    return tuple(_path(stretch, highest) for stretch in stretches)


def cells(link: Link) -> tuple[tuple[float, float, str], ...]:
    """A link's last day as cells of a strip: (x, width, state)."""
    width = TREND_SECONDS / DAY_SECONDS * WIDTH
    return tuple(
        (round(max(0.0, at * WIDTH - width), 1), round(width - 0.5, 1), "good" if up else "bad")
        for at, up in link.day
    )


def peak(trend: Trend) -> float:
    """Its highest value."""
    return max((value for _, value in trend.points), default=0.0)


def _path(points: Sequence[tuple[float, float]], highest: float) -> str:
    placed = [
        (
            round(_MARGIN + at * (WIDTH - 2 * _MARGIN), 1),
            round(HEIGHT - _MARGIN - value / highest * (HEIGHT - 2 * _MARGIN), 1),
        )
        for at, value in points
    ]
    begin = f"M{placed[0][0]} {placed[0][1]}"
    # A line of no length is drawn as the dot that its round ends are.
    return begin + ("".join(f"L{x} {y}" for _, (x, y) in pairwise(placed)) or "h0")
