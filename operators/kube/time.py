"""Moments as Kubernetes writes them: RFC 3339, in whole seconds of UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    """As the API server writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str | None) -> datetime | None:
    """The moment that is written so; None where nothing is."""
    return datetime.fromisoformat(text) if text else None
