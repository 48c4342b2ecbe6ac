"""A dashboard in the format of vmui's custom dashboards. Pure.

vmui has no variables: a page shows everything, and series say what they are of.
https://github.com/VictoriaMetrics/VictoriaMetrics/tree/master/app/vmui#predefined-dashboards
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from monitoring.dashboards.panel import Dashboard, Panel


def files(dashboards: Sequence[Dashboard], runbooks: str) -> dict[str, str]:
    """File name to content, for the folder of -vmui.customDashboardsPath; vmui goes by the names' order.

    ``runbooks`` is where their pages are served.
    """
    return {
        f"{number:02}-{dashboard.name}.json": render(dashboard, runbooks)
        for number, dashboard in enumerate(dashboards, 1)
    }


def render(dashboard: Dashboard, runbooks: str) -> str:
    """One file's content."""
    rows = [
        {"title": row.title, "panels": [_panel(dashboard, panel, runbooks) for panel in row.panels]}
        for row in dashboard.rows
    ]
    return json.dumps({"title": dashboard.title, "rows": rows}, indent=1) + "\n"


def _panel(dashboard: Dashboard, panel: Panel, runbooks: str) -> dict[str, Any]:
    told = [
        panel.about,
        *([f"Empty: {panel.empty}."] if panel.empty else []),
        *(_told_by(alert, runbooks) for alert in panel.alerts),
    ]
    return {
        "title": panel.title,
        "description": " ".join(told),
        "unit": panel.unit.suffix,
        "width": panel.width,
        "expr": [dashboard.chosen(query.expression) for query in panel.queries],
        "alias": [query.legend for query in panel.queries],
    }


def _told_by(alert: str, runbooks: str) -> str:
    """In Markdown. Without a server of them a runbook is in the repository alone."""
    if "://" in runbooks:
        return f"Alert: [{alert}]({runbooks}/{alert}.md)."
    return f"Alert: {alert}; `antenna alerts {alert}` prints its runbook."
