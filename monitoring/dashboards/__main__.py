"""Write Grafana's dashboards beside the tables."""

from __future__ import annotations

from monitoring.dashboards.catalog import DASHBOARDS
from monitoring.dashboards.grafana import FOLDER, files

for _name, _content in files(DASHBOARDS).items():
    (FOLDER / _name).write_text(_content)
