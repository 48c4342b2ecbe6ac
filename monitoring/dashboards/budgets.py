"""Budgets and energy: what is left of what sites granted, and what work costs in energy."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    DAYS,
    KWH,
    OF_ONE,
    SITE,
    TENANT,
    UNITS,
    WATTS,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
)

_SITE: Final = Variable(SITE.name, SITE.title, "antenna_budget_allocated")
_CHOSEN: Final = 'site=~"$site",tenant=~"$tenant"'
_NAMED: Final = "{{site}} {{tenant}} {{unit}}"


def _of_budget(family: str) -> str:
    return f"sum by (site, tenant, unit) ({family}{{{_CHOSEN}}})"


_BUDGETS: Final = Row(
    "Budgets",
    (
        Panel(
            "Left",
            "Of what was granted for the present period, after what running and submitted jobs may use yet.",
            (
                Query(
                    f"{_of_budget('antenna_budget_remaining')}"
                    f" / ({_of_budget('antenna_budget_allocated')} > 0)",
                    _NAMED,
                ),
            ),
            OF_ONE,
        ),
        Panel(
            "Used in the present period",
            "As the ledger counts it, by the site's published rules.",
            (Query(_of_budget("antenna_budget_used"), _NAMED),),
            UNITS,
        ),
        Panel(
            "Promised to jobs",
            "What running and submitted jobs may use yet, up to their time limits.",
            (Query(_of_budget("antenna_budget_reserved"), _NAMED),),
            UNITS,
        ),
        Panel(
            "Used a day",
            "Mean of the last 7 days.",
            (Query(_of_budget("antenna_budget_burn_per_day"), _NAMED),),
            UNITS,
        ),
        Panel(
            "Days until all is used",
            "If the last 7 days go on so. Budgets that last until their period's end are left out.",
            (
                Query(
                    "(min by (site, tenant, unit) "
                    f"(antenna_budget_exhaustion_timestamp_seconds{{{_CHOSEN}}}) - time()) / 86400",
                    _NAMED,
                ),
            ),
            DAYS,
            empty="every budget lasts until its period's end",
            alerts=("AntennaBudgetNearlyExhausted",),
        ),
        Panel(
            "Site's own count less the ledger's",
            "Sites refresh their own figures once a day or less often.",
            (Query(_of_budget("antenna_budget_difference"), _NAMED),),
            UNITS,
            empty="no site has told figures of its own",
            alerts=("AntennaBudgetDiffers",),
        ),
    ),
)

_ENERGY: Final = Row(
    "Energy",
    (
        Panel(
            "Energy here by partner, last day",
            "Power over time of the GPUs that a partner's jobs held: each sample stands for 15 seconds.",
            (
                Query(
                    'sum_over_time(tenant:gpu_energy_joules:increase1m{tenant=~"$tenant"}[1d]) / 3.6e6',
                    "{{tenant}}",
                ),
            ),
            KWH,
        ),
        Panel(
            "Energy at remote sites, last day",
            "GPUs times their hours times the average that the site published.",
            (
                Query(
                    "sum by (site, tenant) "
                    f"(increase(antenna_remote_energy_joules_total{{{_CHOSEN}}}[1d])) / 3.6e6",
                    "{{site}} {{tenant}}",
                ),
            ),
            KWH,
        ),
        Panel(
            "Power of all GPUs here",
            "Idle is what nobody's job holds and is drawn all the same.",
            (
                Query("site:gpu_power_watts:sum", "all"),
                Query("site:gpu_power_watts:sum - (sum(tenant:gpu_power_watts:sum) or vector(0))", "idle"),
            ),
            WATTS,
        ),
    ),
)

BUDGETS: Final = Dashboard(
    "budgets",
    "Budgets and energy",
    "How long do budgets last, and what does the work cost in energy?",
    (_BUDGETS, _ENERGY),
    (_SITE, TENANT),
)
