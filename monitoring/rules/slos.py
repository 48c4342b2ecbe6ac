"""Objectives of the service: a row each. Of a row follow its recording rules and its two alerts.

The alerts are those of two windows that burn at once, https://sre.google/workbook/alerting-on-slos/: the long
one says that it is worth a call, the short one that it goes on, so that the alert ends soon after its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from monitoring.rules.alert import Alert
from monitoring.rules.records import Record


@dataclass(frozen=True)
class Burn:
    """``factor`` times as fast as the objective bears: a month's allowance is gone in a month / factor."""

    speed: Literal["Fast", "Slow"]
    factor: float
    long: str
    short: str
    spent: str
    """What part of the allowance is gone when it fires."""


BURNS: Final = (
    Burn("Fast", 14.4, long="1h", short="5m", spent="2% of a month's allowance in an hour"),
    Burn("Slow", 6, long="6h", short="30m", spent="5% of a month's allowance in 6 hours"),
)


@dataclass(frozen=True)
class Objective:
    """``bad`` are expressions of the share, 0 to 1, of what was not as promised, by window; by ``site``."""

    name: str
    """In names of alerts."""
    record: str
    """In names of recorded series."""
    promised: float
    bad: Mapping[str, str]
    says: str
    """What is promised, in a sentence's end."""
    concerns: tuple[Literal["partner", "site"], ...] = ()

    @property
    def records(self) -> Sequence[Record]:
        """One a window."""
        return [
            Record(
                f"slo:{self.record}:bad_ratio{window}",
                expression,
                f"The share of {window} in which it was not so that {self.says}, 0 to 1.",
            )
            for window, expression in self.bad.items()
        ]

    @property
    def alerts(self) -> Sequence[Alert]:
        """One a burn."""
        return [self._alert(burn) for burn in BURNS]

    def _alert(self, burn: Burn) -> Alert:
        borne = round(burn.factor * (1 - self.promised), 6)
        long, short = (f"slo:{self.record}:bad_ratio{window} > {borne}" for window in (burn.long, burn.short))
        return Alert(
            name=f"Antenna{self.name}{burn.speed}Burn",
            expression=f"{long} and on (site) {short}",
            holds="0s",
            severity="warning",
            owner="platform",
            summary=f"{{{{ $labels.site }}}}: {self.record.replace('_', ' ')} burns its allowance "
            f"{burn.factor:g} times too fast",
            description=(
                f"It is promised that {self.says}, {self.promised:.0%} of a month. At {{{{ $labels.site }}}} "
                f"it was not so in {{{{ $value | humanizePercentage }}}} of the last {burn.long}: "
                f"{burn.spent}."
            ),
            concerns=self.concerns,
        )


WINDOWS: Final[Mapping[str, int]] = {"5m": 5, "30m": 30, "1h": 60, "6h": 360}
"""In minutes."""

WAIT_SECONDS: Final = 4 * 3600
"""One of the bounds that the histogram of waits has."""
WAITED_ENOUGH: Final = 20
"""Jobs in a window below which a share says nothing: a few that waited are AntennaWaitOverObjective's."""

_STALE: Final = (
    "max by (site) (max by (site, source)"
    ' (antenna_remote_source_age_seconds{site!="local", source!="granted"})'
    " > bool max by (site, source)"
    ' (antenna_remote_source_limit_seconds{site!="local", source!="granted"}))'
)


def _stale(window: str, minutes: int) -> str:
    """Of the whole window: a site that has just been added has not been stale for all of it.

    Minutes of which nothing is known, with the operator away, are not counted as stale.
    """
    return f"sum_over_time(({_STALE})[{window}:1m]) / {minutes}"


def _waited(window: str) -> str:
    quick, all_jobs = (
        f"sum by (site) (increase(antenna_job_wait_seconds_{part}[{window}]))"
        for part in (f'bucket{{site="local", le="{float(WAIT_SECONDS)}"}}', 'count{site="local"}')
    )
    return f"1 - {quick} / ({all_jobs} >= {WAITED_ENOUGH})"


OBJECTIVES: Final = (
    Objective(
        name="SiteAnswers",
        record="site_answers",
        promised=0.95,
        bad={window: _stale(window, minutes) for window, minutes in WINDOWS.items()},
        says="a remote site's queue, accounting and nodes are known",
        concerns=("site",),
    ),
    Objective(
        name="QueueWait",
        record="queue_wait",
        promised=0.95,
        bad={window: _waited(window) for window in WINDOWS},
        says="a job of this cluster is admitted within 4 hours",
    ),
)

SLO_RECORDS: Final = tuple(record for objective in OBJECTIVES for record in objective.records)
"""Evaluated once a minute."""
SLO_ALERTS: Final = tuple(alert for objective in OBJECTIVES for alert in objective.alerts)
