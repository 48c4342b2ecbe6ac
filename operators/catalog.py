"""The metric catalog: every family that the operator exposes, a row each.

Docs, dashboards and rules are checked against it. Names, units and types follow Prometheus and
OpenMetrics: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Type = Literal["gauge", "counter", "histogram", "info"]


@dataclass(frozen=True)
class Family:
    """One family of series."""

    name: str
    """As the text format shows it: a counter with its ``_total``, an info with its ``_info``."""
    type: Type
    unit: str
    """``seconds``, ``bytes``, ...; empty for plain counts."""
    labels: tuple[str, ...]
    help: str
    stability: Literal["stable", "alpha"] = "alpha"
    per_object: bool = False
    """One series an object (a Job, a node): can be switched off by name."""


_OPERATOR: Final = (
    Family(
        "antenna_operator_watch_age_seconds",
        "gauge",
        "seconds",
        ("resource",),
        "Time since the API server was last heard of the resource: an event, a bookmark or a list.",
    ),
    Family(
        "antenna_operator_watch_restarts_total",
        "counter",
        "",
        ("resource", "reason"),
        "Watches begun again, by what ended the one before.",
    ),
    Family(
        "antenna_operator_lists_total",
        "counter",
        "",
        ("resource",),
        "Complete lists of the resource that were read.",
    ),
    Family(
        "antenna_operator_events_total",
        "counter",
        "",
        ("resource", "type"),
        "Watch events handled, by type.",
    ),
    Family(
        "antenna_operator_event_errors_total",
        "counter",
        "",
        ("resource",),
        "Objects that could not be decoded or that their collector failed on; they are left as they were.",
    ),
    Family(
        "antenna_operator_objects",
        "gauge",
        "",
        ("resource",),
        "Objects of the resource that the operator holds.",
    ),
    Family(
        "antenna_operator_scrapes_total",
        "counter",
        "",
        ("code",),
        "Answers given on /metrics, by HTTP status.",
    ),
    Family(
        "antenna_operator_scrape_duration_seconds",
        "gauge",
        "seconds",
        (),
        "Time that the last whole scrape took, from the request's head to the last byte written.",
    ),
    Family(
        "antenna_operator_scrape_size_bytes",
        "gauge",
        "bytes",
        (),
        "Bytes of body that the last whole scrape sent, compressed where the scraper asked for it.",
    ),
    Family(
        "antenna_operator_series_dropped_total",
        "counter",
        "",
        ("family",),
        "Series that were refused because their family was full.",
    ),
    Family(
        "antenna_operator_labels_changed_total",
        "counter",
        "",
        (),
        "Label values that were cut or cleaned before they were shown.",
    ),
    Family(
        "antenna_operator_reconcile_errors_total",
        "counter",
        "",
        ("kind",),
        "Reconciliations that failed, by the kind of the object.",
    ),
)

FAMILIES: Final[tuple[Family, ...]] = _OPERATOR

_BY_NAME: Final = {row.name: row for row in FAMILIES}


def family(name: str) -> Family:
    """The row of that name. Raises KeyError."""
    return _BY_NAME[name]
