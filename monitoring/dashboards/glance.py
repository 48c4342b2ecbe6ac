"""Antenna at a glance: what partners wait for and use, and whether anything is wrong."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    ALERTS,
    GPUS,
    JOBS,
    KWH,
    OF_ONE,
    SECONDS,
    TRUE,
    WATTS,
    Dashboard,
    Panel,
    Query,
    Row,
)

# vmui opens a page with its first row unfolded and the others folded.
_WORK: Final = Row(
    "Queues, waits, GPUs, energy",
    (
        Panel(
            "Jobs by state",
            "Jobs of all partners that wait or run.",
            (Query('sum by (state) (antenna_queue_jobs{state=~"pending|running"})', "{{state}}"),),
            JOBS,
        ),
        Panel(
            "Oldest waiting job by partner",
            "How long the job that waits longest has waited. Partners without a waiting job are left out.",
            (Query("max by (tenant) (antenna_queue_oldest_pending_age_seconds) > 0", "{{tenant}}"),),
            SECONDS,
        ),
        Panel(
            "GPUs of the nodes",
            "What nodes offer to pods, and what pods hold of it.",
            (
                Query("sum (antenna_gpus_allocatable)", "offered"),
                Query("sum (antenna_gpus_allocated)", "held"),
            ),
            GPUS,
        ),
        Panel(
            "GPUs in use by partner",
            "What each partner's admitted jobs hold of its quota and of what it borrows.",
            (Query("sum by (tenant) (antenna_queue_gpus_reserved) > 0", "{{tenant}}"),),
            GPUS,
        ),
        Panel(
            "Power by partner",
            "What the GPUs held by a partner's jobs draw.",
            (Query("tenant:gpu_power_watts:sum", "{{tenant}}"),),
            WATTS,
        ),
        Panel(
            "Energy by partner, last day",
            "Power over time of the GPUs that a partner's jobs held: each sample stands for 15 seconds.",
            (Query("sum_over_time(tenant:gpu_energy_joules:increase1m[1d]) / 3.6e6", "{{tenant}}"),),
            KWH,
        ),
    ),
)

_TROUBLE: Final = Row(
    "Alerts, links, sites, budgets",
    (
        Panel(
            "Alerts that fire",
            "By name; `antenna alerts` says whom to call and what to do first.",
            (Query('count by (alertname) (ALERTS{alertstate="firing",severity!="none"})', "{{alertname}}"),),
            ALERTS,
            "number",
            width=3,
            empty="no alert fires",
        ),
        Panel(
            "Links that are up",
            "1 for a tunnel whose other end answers.",
            (Query("min by (link) (antenna_link_up)", "{{link}}"),),
            TRUE,
            "number",
            width=3,
        ),
        Panel(
            "Silence of remote sites",
            "How long the source of a site that is silent longest has been so, of what it may be: at 1 it is "
            "stale, and what it told is no longer shown.",
            (
                Query(
                    "max by (site) (antenna_remote_source_age_seconds / antenna_remote_source_limit_seconds)",
                    "{{site}}",
                ),
            ),
            OF_ONE,
            "number",
            width=3,
        ),
        Panel(
            "Budgets with the least left",
            "Of each site the partner that has least left of its budget, after what its running and "
            "submitted jobs may use yet.",
            (
                Query(
                    "min by (site, unit) (antenna_budget_remaining / (antenna_budget_allocated > 0))",
                    "{{site}} {{unit}}",
                ),
            ),
            OF_ONE,
            "number",
            width=3,
        ),
    ),
)

GLANCE: Final = Dashboard(
    "glance",
    "Antenna at a glance",
    "Do partners get what they wait for, and is anything wrong?",
    (_WORK, _TROUBLE),
)
