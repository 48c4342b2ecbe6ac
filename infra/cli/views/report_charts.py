"""The charts of a report, as SVG that stands in a page by itself: no script, no network. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final
from xml.etree import ElementTree

import pygal
from pygal.style import Style

from infra.cli.views.report_figures import LOCAL, Figures, Line

COLOURS: Final = ("#1f5aa6", "#2a9d8f", "#e9a03b", "#8e5ea2", "#c8553d", "#6c757d")
"""Distinct to the colour-blind too (after Okabe and Ito), and in print."""
LOCAL_COLOUR: Final = "#6c757d"
LABELS: Final = 14
"""The most that stand below a chart without touching."""
DAYS_SHOWN: Final = 62
"""Longer periods are drawn by the month."""

_INK: Final = "#22303c"
_FAINT: Final = "#8a96a3"


def by_day(figures: Figures) -> str:
    """GPU-hours a day, or a month, by site."""
    labels, series = _steps(figures.days)
    chart = pygal.StackedBar(
        **_common(list(series)),
        height=300,
        width=960,
        x_labels=labels,
        x_labels_major=labels[:: -(-len(labels) // LABELS) or 1],
        show_minor_x_labels=False,
        truncate_label=-1,
    )
    for site, values in series.items():
        chart.add(site, [round(value, 2) for value in values])
    return _svg(chart)


def by_partner(lines: Sequence[Line], figures: Figures) -> str:
    """GPU-hours of the partners that used any, by site."""
    shown = [line for line in lines if line.gpu_hours]
    used: dict[str, dict[str, float]] = {site: {} for site in figures.days}
    for row in figures.rows:
        of = used[row["site"]]
        of[row["tenant"]] = of.get(row["tenant"], 0.0) + row["gpu_seconds"] / 3600
    chart = pygal.HorizontalStackedBar(
        **_common(list(used)),
        height=90 + 30 * len(shown),
        width=960,
        # It draws from the bottom.
        x_labels=[line.title for line in reversed(shown)],
        truncate_label=-1,
    )
    for site, of in used.items():
        chart.add(site, [round(of.get(line.name, 0.0), 2) or None for line in reversed(shown)])
    return _svg(chart)


def _common(sites: Sequence[str]) -> dict[str, Any]:
    others = iter(COLOURS * len(sites))
    colours = tuple(LOCAL_COLOUR if site == LOCAL else next(others) for site in sites)
    return {
        "style": Style(
            background="transparent",
            plot_background="transparent",
            foreground=_INK,
            foreground_strong=_INK,
            foreground_subtle=_FAINT,
            guide_stroke_color="#e3e8ed",
            major_guide_stroke_color="#e3e8ed",
            guide_stroke_dasharray="0",
            major_guide_stroke_dasharray="0",
            font_family="inherit",
            label_font_size=12,
            major_label_font_size=12,
            legend_font_size=13,
            no_data_font_size=16,
            opacity="1",
            opacity_hover="1",
            transition="0s",
            colors=colours or COLOURS,
        ),
        "js": [],
        "disable_xml_declaration": True,
        "explicit_size": False,
        "legend_at_bottom": True,
        "legend_at_bottom_columns": max(len(sites), 1),
        "legend_box_size": 11,
        "margin": 4,
        "spacing": 8,
        "show_y_guides": True,
        "show_x_guides": False,
        "rounded_bars": 0,
        "value_formatter": lambda value: f"{value:,.0f}" if value >= 10 or not value % 1 else f"{value:.1f}",
        "no_data_text": "Nothing was used in this period",
    }


def _steps(days: Mapping[str, Mapping[str, float]]) -> tuple[list[str], dict[str, list[float]]]:
    """(labels, site -> values): a step a day, or a month where there are many days."""
    every = next(iter(days.values()), {})
    monthly = len(every) > DAYS_SHOWN
    names = [
        f"{date.fromisoformat(day):%b %Y}" if monthly else f"{date.fromisoformat(day):%-d %b}"
        for day in every
    ]
    labels = list(dict.fromkeys(names))
    series: dict[str, list[float]] = {}
    for site, values in days.items():
        sums = dict.fromkeys(labels, 0.0)
        for name, value in zip(names, values.values(), strict=True):
            sums[name] += value
        series[site] = list(sums.values())
    return labels, series


def _svg(chart: Any) -> str:
    """Without the script that would show values under the pointer: the page's own policy forbids scripts."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if str(child.tag).rpartition("}")[2] == "script":
                parent.remove(child)
    return ElementTree.tostring(root, encoding="unicode")
