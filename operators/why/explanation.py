"""What an explanation says, as text and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from operators.reasons import Reason


@dataclass(frozen=True)
class Ahead:
    """What Kueue considers first in the same ClusterQueue. Others' work is counted, never named."""

    count: int = 0
    names: tuple[str, ...] = ()
    """The first few of the asker's own namespace."""
    others: int = 0
    """How many of ``count`` are of other namespaces."""
    asks: Mapping[str, Decimal] = field(default_factory=dict)
    """What all of it asks for."""


@dataclass(frozen=True)
class Explanation:
    """Why a job waits, or that it does not."""

    reason: Reason
    text: str
    """One sentence."""
    unblock: str = ""
    """What would unblock it, and who can do that; empty when there is nothing to do."""
    since: datetime | None = None
    """When this state began."""
    ahead: Ahead = Ahead()

    def document(self, now: datetime) -> dict[str, Any]:
        """The stable keys of `antenna why --json`."""
        return {
            "reason": str(self.reason),
            "text": self.text,
            "since": self.since.isoformat() if self.since else None,
            "seconds": round((now - self.since).total_seconds(), 1) if self.since else None,
            "ahead": {
                "jobs": self.ahead.count,
                "names": list(self.ahead.names),
                "other_tenants": self.ahead.others,
                "asks": {resource: float(amount) for resource, amount in self.ahead.asks.items()},
            },
            "unblock": self.unblock,
        }
