"""Alerts on remote sites and the way to them: a row each, see ``alerts``."""

from __future__ import annotations

from typing import Final

from monitoring.rules.alert import Alert

LINK_LOSS: Final = 0.1
"""The share of a link's packets past which ssh stalls, and polls run into their time limits."""

_POLLED: Final = 'site!="local", source=~"queue|accounting|nodes"'
"""What is asked at each poll, each with the site's one limit; its own budgets are asked once a day."""


def _age(source: str) -> str:
    return f'max by (site) (antenna_remote_source_age_seconds{{source="{source}"}})'


def _limit(source: str) -> str:
    return f'max by (site) (antenna_remote_source_limit_seconds{{source="{source}"}})'


def _loss() -> str:
    """The share of packets lost while the link was up.

    A probe that gets nothing back is an outage, which has its own alert: what it lost is taken out, so that
    an outage that has ended is not told as a link that loses packets. Where more than half of the time was
    outage, too little is left to tell anything.
    """
    lost, sent = (
        f"sum by (link) (increase(antenna_link_probe_packets_{name}[10m]))"
        for name in ("lost_total", "total")
    )
    up = "min by (link) (avg_over_time(antenna_link_up[10m]))"
    return f"({lost} / {sent} - 1 + {up}) / ({up} > 0.5)"


REMOTE: Final = (
    Alert(
        name="AntennaSiteUnreachable",
        expression=(
            f"min by (site) (max by (site, source) (antenna_remote_source_age_seconds{{{_POLLED}}})"
            f" - max by (site, source) (antenna_remote_source_limit_seconds{{{_POLLED}}})) > 0"
        ),
        # They go past it within a poll of each other: told before one alone is, which holds a minute.
        holds="0s",
        severity="warning",
        owner="platform",
        summary="{{ $labels.site }} answers nothing",
        description=(
            "{{ $labels.site }} has answered none of the operator's questions, of its queue, its accounting "
            "and its nodes, for longer than their limit. Jobs there go on; nothing new is sent there."
        ),
        concerns=("site",),
    ),
    Alert(
        name="AntennaRemoteSchedulerDown",
        # The accounting has been heard of a whole limit after the queue: way and login are well. Where
        # all fall silent at once the two ages grow alike, and this stays false.
        expression=(
            f"{_age('queue')} > {_limit('queue')}"
            f" and on (site) {_age('queue')} - {_age('accounting')} > {_limit('queue')}"
        ),
        # Told before the queue alone is, which holds a minute.
        holds="0s",
        severity="warning",
        owner="platform",
        summary="The scheduler of {{ $labels.site }} has not answered for {{ $value | humanizeDuration }}",
        description=(
            "{{ $labels.site }} tells its accounting and not its queue: the link and the login are well, its "
            "scheduler does not answer. Jobs that run there go on; nothing new is sent there."
        ),
        concerns=("site",),
    ),
    Alert(
        name="AntennaLinkDegraded",
        expression=f"{_loss()} > {LINK_LOSS}",
        holds="5m",
        severity="warning",
        owner="platform",
        summary="Link {{ $labels.link }} loses {{ $value | humanizePercentage }} of its packets",
        description=(
            "Over 10 minutes the tunnel {{ $labels.link }} has lost {{ $value | humanizePercentage }} of the "
            "probes' packets while it was up. Polls and submissions of the site behind it take long or fail."
        ),
        concerns=("site",),
    ),
)
