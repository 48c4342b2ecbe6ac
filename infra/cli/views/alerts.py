"""What `antenna alerts` shows: alerts as rules' judge and Alertmanager tell them, as rows. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from monitoring.rules.alerts import ALERTS

NIGHT_SECONDS: Final = 12 * 3600
"""How far back is counted how often an alert has fired."""
STEP_SECONDS: Final = 30
"""Between two looks of that count."""

_ORDER: Final = ("critical", "warning")
_OURS: Final = ("alertgroup", "alertname", "alertstate", "__name__", "severity", "owner")
_PLACEHOLDER: Final = re.compile(r"<([a-z][a-z -]*)>")

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
    """How often it has fired in the last ``NIGHT_SECONDS``; None where nobody can be asked."""
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
            labels=_labels(alert["labels"]),
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
                labels=_labels(alert["labels"]),
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


def fired(series: Iterable[Mapping[str, Any]]) -> Counter[Labels]:
    """How often each alert began to fire, from a range of ALERTS{alertstate="firing"}, a sample a step."""
    found: Counter[Labels] = Counter()
    for one in series:
        moments = [float(moment) for moment, _ in one["values"]]
        gaps = sum(after - before > 1.5 * STEP_SECONDS for before, after in pairwise(moments))
        labels = frozenset(
            item for item in one["metric"].items() if item[0] not in ("__name__", "alertstate")
        )
        found[_labels(dict(labels))] += gaps + bool(moments)
    return found


def with_pages(rows: Iterable[Row], pages: Mapping[str, tuple[str, str]], stack: str) -> list[Row]:
    """Rows with their runbooks; ``pages`` has of each alert the page's path and its text."""
    found = []
    for row in rows:
        path, text = pages.get(row.name, ("", ""))
        found.append(
            replace(row, runbook=path, command=first_command(text, {**dict(row.labels), "stack": stack}))
        )
    return found


def first_command(page: str, values: Mapping[str, str]) -> str:
    """The first command under "Diagnosis", its comment left out, with <label> replaced where it is known."""
    block = page.partition("## Diagnosis")[2].partition("```sh\n")[2].partition("```")[0]
    line = next((line for line in block.splitlines() if line.strip()), "")
    command = re.sub(r"\s+#\s.*$", "", line).strip()
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), command)


def names() -> Sequence[str]:
    """All alerts that there are."""
    return [alert.name for alert in ALERTS]


def _labels(labels: Mapping[str, str]) -> Labels:
    return frozenset(
        (name, value) for name, value in labels.items() if name not in ("alertgroup", "__name__")
    )


def _is_fault(row: Row) -> bool:
    return row.severity != "none"


def _rank(row: Row) -> tuple[bool, int, datetime]:
    severity = _ORDER.index(row.severity) if row.severity in _ORDER else len(_ORDER)
    return row.state != "firing", severity, row.since
