"""A dashboard as Grafana imports it, made with Grafana's own builders. Pure.

The files are made beforehand and lie beside the tables: nothing that runs on a site needs the builders.
https://grafana.github.io/grafana-foundation-sdk/
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from monitoring.dashboards.panel import COLUMNS, EVERYTHING, Dashboard, Panel
from monitoring.rules.alert import RUNBOOKS

FOLDER: Final = Path(__file__).parent

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_TAG: Final = "antenna"
_SOURCE: Final = "source"
_RUNBOOKS: Final = "runbooks"
_FROM: Final = DataSourceRef(type_val="prometheus", uid=f"${{{_SOURCE}}}")


def files(dashboards: Sequence[Dashboard]) -> dict[str, str]:
    """File name to content."""
    return {f"antenna-{dashboard.name}.json": render(dashboard) for dashboard in dashboards}


def render(dashboard: Dashboard) -> str:
    """One file's content."""
    page = (
        board.Dashboard(f"Antenna: {dashboard.title.removeprefix('Antenna ')}")
        .uid(f"antenna-{dashboard.name}")
        .description(
            f"{dashboard.answers} Generated from monitoring/dashboards/{dashboard.name}.py: "
            "python -m monitoring.dashboards"
        )
        .tags([_TAG])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            board.DashboardLink("Antenna")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
            # The builder's own default hides it in a menu.
            .placement("")
        )
    )
    for variable in _variables(dashboard):
        page.with_variable(variable)
    number = count(1)
    for row in dashboard.rows:
        page.with_row(board.Row(row.title).id(next(number)))
        for panel in row.panels:
            page.with_panel(_panel(panel).id(next(number)))
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(page.build()) + "\n"


_Variable = board.DatasourceVariable | board.QueryVariable | board.TextBoxVariable


def _variables(dashboard: Dashboard) -> list[_Variable]:
    choices = [
        board.QueryVariable(variable.name)
        .label(variable.title)
        .datasource(_FROM)
        .query(f"label_values({variable.family}, {variable.name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(EVERYTHING)
        for variable in dashboard.variables
    ]
    told = any(panel.alerts for panel in dashboard.panels)
    return [
        board.DatasourceVariable(_SOURCE).label("Data source").type("prometheus"),
        *choices,
        *([board.TextBoxVariable(_RUNBOOKS).label("Runbooks at").default_value(RUNBOOKS)] if told else []),
    ]


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    now = panel.kind == "number"
    shown: stat.Panel | timeseries.Panel
    if now:
        shown = stat.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        shown = timeseries.Panel().legend(VizLegendOptions().show_legend(True))
    shown.title(panel.title).description(panel.about).datasource(_FROM)
    shown.unit(panel.unit.grafana).span(panel.width * _COLUMNS // COLUMNS).height(_HEIGHT)
    if panel.empty:
        shown.no_value(panel.empty)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expression).legend_format(query.legend)
        shown.with_target(asked.instant() if now else asked.range())
    return shown.links(
        [
            board.DashboardLink(f"Runbook of {alert}")
            .type(DashboardLinkType.LINK)
            .url(f"${{{_RUNBOOKS}}}/{alert}.md")
            .target_blank(True)
            for alert in panel.alerts
        ]
    )
