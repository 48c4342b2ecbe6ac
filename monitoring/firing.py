"""Alerts that fire or are pending, as the judge of the rules and Alertmanager tell them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

_ORDER: Final = ("critical", "warning")
_OURS: Final = ("alertgroup", "alertname", "alertstate", "__name__", "severity", "owner")

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One alert. ``state``: firing, pending, silenced, or follows (from another that fires)."""

    name: str
    severity: str
    state: str
    labels: Labels
    since: datetime
    summary: str
    contact: str
    quiet: str = ""
    """Why nobody is told of it: the silence's reason, or the alert that is its cause."""
    times: int | None = None
    """How often it has fired of late; None where nobody can be asked."""
    runbook: str = ""
    """The page's path on this host."""
    command: str = ""
    """The first command of the page's diagnosis."""

    @property
    def about(self) -> str:
        """The labels that tell it from another of its name."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.labels) if name not in _OURS)

    def document(self) -> dict[str, Any]:
        """The stable keys of a row of `antenna alerts --json`."""
        return {
            "alert": self.name,
            "severity": self.severity,
            "state": self.state,
            "labels": {name: value for name, value in sorted(self.labels) if name not in _OURS},
            "since": self.since.isoformat(),
            "times": self.times,
            "summary": self.summary,
            "contact": self.contact,
            "quiet": self.quiet,
            "runbook": self.runbook,
            "command": self.command,
        }


def judged(alerts: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of vmalert's /api/v1/alerts: what fires and what is pending."""
    return [
        Row(
            name=alert["labels"].get("alertname", alert.get("name", "")),
            severity=alert["labels"].get("severity", ""),
            state=alert["state"],
            labels=identity(alert["labels"]),
            since=datetime.fromisoformat(alert["activeAt"]),
            summary=(alert.get("annotations") or {}).get("summary", ""),
            contact=(alert.get("annotations") or {}).get("contact", ""),
        )
        for alert in alerts
    ]


def sent(alerts: Iterable[Mapping[str, Any]], silences: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of Alertmanager's /api/v2/alerts: what fires, and whether anybody is told of it."""
    known = list(alerts)
    reasons = {silence["id"]: silence.get("comment", "") for silence in silences}
    names = {alert["fingerprint"]: alert["labels"].get("alertname", "") for alert in known}
    rows = []
    for alert in known:
        status = alert["status"]
        state, quiet = "firing", ""
        if status.get("silencedBy"):
            state, quiet = "silenced", reasons.get(status["silencedBy"][0], "")
        elif status.get("inhibitedBy"):
            state, quiet = "follows", names.get(status["inhibitedBy"][0], "another alert")
        rows.append(
            Row(
                name=alert["labels"].get("alertname", ""),
                severity=alert["labels"].get("severity", ""),
                state=state,
                labels=identity(alert["labels"]),
                since=datetime.fromisoformat(alert["startsAt"]),
                summary=alert["annotations"].get("summary", ""),
                contact=alert["annotations"].get("contact", ""),
                quiet=quiet,
            )
        )
    return rows


def merged(judged: Iterable[Row], sent: Iterable[Row]) -> list[Row]:
    """What the judge says, with what Alertmanager says of the same alert; the worst and oldest first."""
    told = {(row.name, row.labels): row for row in sent}
    rows = []
    for row in judged:
        known = told.pop((row.name, row.labels), None)
        told_too = known is not None and row.state == "firing"
        rows.append(replace(row, state=known.state, quiet=known.quiet) if known and told_too else row)
    return sorted(filter(_is_fault, [*rows, *told.values()]), key=_rank)


def critical(rows: Iterable[Row]) -> tuple[str, ...]:
    """The critical ones of which somebody is told, a line each."""
    return tuple(
        f"{row.name}: {row.summary}" for row in rows if row.severity == "critical" and row.state == "firing"
    )


def identity(labels: Mapping[str, str]) -> Labels:
    """The labels by which an alert is told from another."""
    return frozenset(
        (name, value) for name, value in labels.items() if name not in ("alertgroup", "__name__")
    )


def _is_fault(row: Row) -> bool:
    return row.severity != "none"


def _rank(row: Row) -> tuple[bool, int, datetime]:
    severity = _ORDER.index(row.severity) if row.severity in _ORDER else len(_ORDER)
    return row.state != "firing", severity, row.since
