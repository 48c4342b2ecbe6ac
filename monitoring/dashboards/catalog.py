"""All dashboards, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitoring.dashboards.budgets import BUDGETS
from monitoring.dashboards.glance import GLANCE
from monitoring.dashboards.gpus import NODES_AND_GPUS
from monitoring.dashboards.links import LINKS
from monitoring.dashboards.operator import OPERATOR
from monitoring.dashboards.panel import Dashboard
from monitoring.dashboards.partner import PARTNER
from monitoring.dashboards.queues import QUEUES
from monitoring.dashboards.site import SITE_PAGE

DASHBOARDS: Final[tuple[Dashboard, ...]] = (
    GLANCE,
    QUEUES,
    PARTNER,
    SITE_PAGE,
    LINKS,
    BUDGETS,
    NODES_AND_GPUS,
    OPERATOR,
)

SHOWN_ON: Final[Mapping[str, str]] = {
    alert: dashboard.title for dashboard in DASHBOARDS for panel in dashboard.panels for alert in panel.alerts
}
"""Alert to the title of the dashboard on which its cause is seen."""
