"""The Overview: what partners wait for and use, and whether what tells it is well, on one page."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import Dashboard, Panel, Query, Row

# vmui opens a page with its first row unfolded and the others folded.
_AT_A_GLANCE: Final = Row(
    "Queues, waits, GPUs, energy",
    (
        Panel(
            "Jobs by state",
            "Jobs of all partners that wait or run.",
            (Query('sum by (state) (antenna_queue_jobs{state=~"pending|running"})', "{{state}}"),),
            unit="jobs",
        ),
        Panel(
            "Oldest waiting job by partner",
            "How long the job that waits longest has waited. Partners without a waiting job are left out.",
            (Query("max by (tenant) (antenna_queue_oldest_pending_age_seconds) > 0", "{{tenant}}"),),
            unit="s",
        ),
        Panel(
            "GPUs of the nodes",
            "What nodes offer to pods, and what pods hold of it.",
            (
                Query("sum (antenna_gpus_allocatable)", "offered"),
                Query("sum (antenna_gpus_allocated)", "held"),
            ),
            unit="GPUs",
        ),
        Panel(
            "GPUs in use by partner",
            "What each partner's admitted jobs hold of its quota and of what it borrows.",
            (Query("sum by (tenant) (antenna_queue_gpus_reserved) > 0", "{{tenant}}"),),
            unit="GPUs",
        ),
        Panel(
            "Power by partner",
            "What the GPUs held by a partner's jobs draw.",
            (Query("tenant:gpu_power_watts:sum", "{{tenant}}"),),
            unit="W",
        ),
        Panel(
            "Energy by partner, last day",
            "Power over time of the GPUs that a partner's jobs held: each sample stands for 15 seconds.",
            (Query("sum_over_time(tenant:gpu_energy_joules:increase1m[1d]) / 3.6e6", "{{tenant}}"),),
            unit="kWh",
        ),
    ),
)

_QUEUES: Final = Row(
    "Queues and waits in detail",
    (
        Panel(
            "Waiting jobs by partner",
            "Partners without a waiting job are left out.",
            (Query('sum by (tenant) (antenna_queue_jobs{state="pending"}) > 0', "{{tenant}}"),),
            unit="jobs",
            width=3,
        ),
        Panel(
            "Why jobs wait",
            "`antenna why JOB` tells it of one job, in a sentence.",
            (Query("sum by (reason) (antenna_queue_pending_reason) > 0", "{{reason}}"),),
            unit="jobs",
            width=3,
        ),
        Panel(
            "Wait until start, last hour",
            "Of jobs that started in the last hour: half waited less than p50, all but 5 % less than p95.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, "
                    "sum by (le) (increase(antenna_job_wait_seconds_bucket[1h])))",
                    legend,
                )
                for quantile, legend in ((0.5, "p50"), (0.95, "p95"))
            ),
            unit="s",
            width=3,
        ),
        Panel(
            "Jobs that ended, a minute",
            "By outcome.",
            (Query("sum by (outcome) (increase(antenna_jobs_finished_total[1m]))", "{{outcome}}"),),
            unit="jobs",
            width=3,
        ),
    ),
)

_GPUS: Final = Row(
    "GPUs and energy in detail",
    (
        Panel(
            "Borrowed by partner",
            "Part of the GPUs in use that is beyond the partner's own quota.",
            (Query("sum by (tenant) (antenna_queue_gpus_borrowed) > 0", "{{tenant}}"),),
            unit="GPUs",
            width=3,
        ),
        Panel(
            "GPU-hours by partner, last day",
            "What the partner's jobs held, whether they computed on it or not.",
            (Query("sum by (tenant) (increase(antenna_gpu_seconds_total[1d])) / 3600 > 0", "{{tenant}}"),),
            unit="GPU-h",
            width=3,
        ),
        Panel(
            "How busy held GPUs are, by partner",
            "Mean utilisation of the GPUs that a partner's jobs hold: 1 is all busy.",
            (Query("tenant:gpu_utilization_ratio:avg", "{{tenant}}"),),
            width=3,
        ),
        Panel(
            "Power of all GPUs",
            "Idle is what nobody's job holds and is drawn all the same.",
            (
                Query("site:gpu_power_watts:sum", "all"),
                Query("site:gpu_power_watts:sum - (sum(tenant:gpu_power_watts:sum) default 0)", "idle"),
            ),
            unit="W",
            width=3,
        ),
    ),
)

_HEALTH: Final = Row(
    "The operator and what else is scraped",
    (
        Panel(
            "Targets that answer",
            "Of each kind of target, the part that could be scraped: 1 is all.",
            (Query("avg by (job) (up)", "{{job}}"),),
            width=3,
        ),
        Panel(
            "Age of what the operator knows",
            "Time since the API server was last heard of a resource. AntennaWatchStale fires past 60 s.",
            (Query("max by (resource) (antenna_operator_watch_age_seconds)", "{{resource}}"),),
            unit="s",
            width=3,
        ),
        Panel(
            "Ledger not written",
            "By site, how long what it told could not be written: 0 is well. Jobs for it are held meanwhile.",
            (Query("max by (site) (antenna_ledger_unwritten_seconds)", "{{site}}"),),
            unit="s",
            width=2,
        ),
        Panel(
            "Events a second",
            "Changes that the API server told the operator of.",
            (Query("sum by (resource) (rate(antenna_operator_events_total[1m]))", "{{resource}}"),),
            unit="1/s",
            width=2,
        ),
        Panel(
            "Time of a scrape",
            "How long the operator takes to answer one.",
            (Query("max (antenna_operator_scrape_duration_seconds)", "seconds"),),
            unit="s",
            width=2,
        ),
    ),
)

OVERVIEW: Final = Dashboard("overview", "Antenna: Overview", (_AT_A_GLANCE, _QUEUES, _GPUS, _HEALTH))
