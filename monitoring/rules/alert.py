"""What an alert is, whatever it tells of.

An alert's runbook is docs/runbooks/<name>.md; its tests are tests/unit/rules/<name>.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

RUNBOOKS: Final = "docs/runbooks"
"""Where the pages are, in this repository."""

Severity = Literal["critical", "warning", "none"]
"""critical: somebody looks now. warning: somebody looks on the same working day. none: it is no fault."""


@dataclass(frozen=True)
class Alert:
    """One alert. ``holds`` is how long its expression must be true, as Prometheus writes durations."""

    name: str
    expression: str
    holds: str
    severity: Severity
    owner: str
    """Whose it is: the team that is called, and that keeps the runbook."""
    summary: str
    """One line, with the labels that tell this one from another."""
    description: str
    """What is so, and what it means for the partners."""
    concerns: tuple[Literal["partner", "site"], ...] = ()
    """Who can mend it too: the partner or the remote site that its labels name."""

    def rule(self, runbooks: str = RUNBOOKS, contact: str = "", dashboard: str = "") -> dict[str, Any]:
        """The alert as Prometheus' rule files have it.

        ``runbooks`` is where the pages are served, ``contact`` a template of whom to call,
        ``dashboard`` the title of where its cause is seen.
        """
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.holds,
            "labels": {"severity": self.severity, "owner": self.owner},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{self.name}.md",
                **({"dashboard": dashboard} if dashboard else {}),
                **({"contact": contact} if contact else {}),
            },
        }
