"""A dashboard in the format of vmui's custom dashboards. Pure.

https://github.com/VictoriaMetrics/VictoriaMetrics/tree/master/app/vmui#predefined-dashboards
"""

from __future__ import annotations

import json
from typing import Any

from monitoring.dashboards.panel import Dashboard, Panel


def render(dashboard: Dashboard) -> str:
    """The file's content, for the folder of -vmui.customDashboardsPath."""
    rows = [{"title": row.title, "panels": [_panel(panel) for panel in row.panels]} for row in dashboard.rows]
    return json.dumps({"title": dashboard.title, "rows": rows}, indent=2) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "description": panel.about,
        "unit": panel.unit,
        "width": panel.width,
        "expr": [query.expression for query in panel.queries],
        "alias": [query.legend for query in panel.queries],
    }
