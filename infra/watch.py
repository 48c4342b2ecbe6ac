"""Beats that come, or stop coming. Pure.

A beat is a notification of the alert AntennaWatchdog; the rest that comes to the same address are pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from monitoring.rules.alerts import HEARTBEAT

AFTER: Final = 150
"""Seconds without a beat after which somebody is called: two are missed, and half of a third."""


@dataclass(frozen=True)
class Watch:
    """Times in seconds of one clock that never goes back."""

    after: float
    again: float
    """Seconds after which a call is made once more while nothing comes."""
    beat: float
    """When the last one came, or the watch began."""
    beats: int = 0
    """How many have come."""
    called: float | None = None
    """When it was last called, while nothing comes."""

    def silent(self, now: float) -> float:
        """Seconds since the last beat."""
        return now - self.beat

    def is_due(self, now: float) -> bool:
        """Whether somebody has to be called."""
        if self.silent(now) < self.after:
            return False
        return self.called is None or now - self.called >= self.again

    def with_beat(self, now: float) -> Watch:
        """After a beat."""
        return replace(self, beat=now, beats=self.beats + 1, called=None)

    def with_call(self, now: float) -> Watch:
        """After somebody was called."""
        return replace(self, called=now)


def is_beat(notification: Mapping[str, Any]) -> bool:
    """Whether a notification, in Alertmanager's JSON, is a beat."""
    return any(labels.get("alertname") == HEARTBEAT.name for labels, _, _ in _alerts(notification))


def lines(notification: Mapping[str, Any]) -> Iterator[str]:
    """A page for people, a line an alert.

    https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    """
    for labels, told, status in _alerts(notification):
        contact = told.get("contact")
        called = f"; call {contact}" if contact and status == "firing" else ""
        summary = told.get("summary") or labels.get("alertname")
        page = f"; {told['runbook_url']}" if told.get("runbook_url") else ""
        yield f"{status} {labels.get('severity')}: {summary}{called}{page}"


def _alerts(notification: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, str], str]]:
    for alert in notification.get("alerts") or ():
        yield alert.get("labels") or {}, alert.get("annotations") or {}, str(alert.get("status"))
