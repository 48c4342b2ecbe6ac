"""The rule files, from the tables of records and alerts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from monitoring.dashboards.catalog import SHOWN_ON
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.alerts import ALERTS
from monitoring.rules.records import ENERGY
from monitoring.rules.slos import SLO_RECORDS

FOLDER: Final = Path(__file__).parent
MARK: Final = "# Generated from the tables in monitoring/rules: python -m monitoring.rules\n"


def groups(runbooks: str = RUNBOOKS, contact: str = "") -> tuple[Mapping[str, Any], ...]:
    """The groups of rules of a site: see ``Alert.rule``."""
    alerts = [alert.rule(runbooks, contact, SHOWN_ON.get(alert.name, "")) for alert in ALERTS]
    return (
        {"name": "antenna-energy", "interval": "1m", "rules": [record.rule for record in ENERGY]},
        {"name": "antenna-slo", "interval": "1m", "rules": [record.rule for record in SLO_RECORDS]},
        {"name": "antenna-alerts", "interval": "15s", "rules": alerts},
    )


def rule_files(runbooks: str = RUNBOOKS, contact: str = "") -> dict[str, str]:
    """File name to content: a file a group, in Prometheus' own format."""
    return {f"{group['name']}.yaml": _render(group) for group in groups(runbooks, contact)}


def _render(group: Mapping[str, Any]) -> str:
    return MARK + yaml.safe_dump({"groups": [group]}, sort_keys=False, width=110, allow_unicode=True)
