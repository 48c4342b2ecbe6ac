"""Partner: what one partner waits for, holds and uses."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    GPU_HOURS,
    GPUS,
    JOBS,
    KWH,
    OF_ONE,
    SECONDS,
    TENANT,
    TIMES,
    WATTS,
    Dashboard,
    Panel,
    Query,
    Row,
)

_CHOSEN: Final = 'tenant=~"$tenant"'

_JOBS: Final = Row(
    "Jobs",
    (
        Panel(
            "Jobs by site and state",
            "Jobs that wait or run.",
            (
                Query(
                    "sum by (tenant, site, state) "
                    f'(antenna_queue_jobs{{state=~"pending|running",{_CHOSEN}}}) > 0',
                    "{{tenant}} {{site}} {{state}}",
                ),
            ),
            JOBS,
        ),
        Panel(
            "Oldest waiting job",
            "How long the job that waits longest has waited, by site.",
            (
                Query(
                    f"max by (tenant, site) (antenna_queue_oldest_pending_age_seconds{{{_CHOSEN}}}) > 0",
                    "{{tenant}} {{site}}",
                ),
            ),
            SECONDS,
        ),
        Panel(
            "Why its jobs wait",
            "`antenna why JOB` tells it of one job, in a sentence.",
            (
                Query(
                    f"sum by (tenant, reason) (antenna_queue_pending_reason{{{_CHOSEN}}}) > 0",
                    "{{tenant}} {{reason}}",
                ),
            ),
            JOBS,
        ),
        Panel(
            "Wait until start, last day",
            "Of its jobs here that started in the last day all but 5 % waited less.",
            (
                Query(
                    "histogram_quantile(0.95, "
                    f"sum by (tenant, le) (increase(antenna_job_wait_seconds_bucket{{{_CHOSEN}}}[1d]))) >= 0",
                    "{{tenant}}",
                ),
            ),
            SECONDS,
        ),
        Panel(
            "Jobs that ended, last day",
            "By outcome.",
            (
                Query(
                    f"sum by (tenant, outcome) (increase(antenna_jobs_finished_total{{{_CHOSEN}}}[1d])) > 0",
                    "{{tenant}} {{outcome}}",
                ),
            ),
            JOBS,
            alerts=("AntennaJobsFailing",),
        ),
        Panel(
            "Pods that failed, last day",
            "Each was started anew, or was its job's end.",
            (
                Query(
                    f"sum by (tenant) (increase(antenna_jobs_restarted_total{{{_CHOSEN}}}[1d])) > 0",
                    "{{tenant}}",
                ),
            ),
            TIMES,
            empty="no pod failed",
        ),
    ),
)

_GPUS: Final = Row(
    "GPUs and energy",
    (
        Panel(
            "GPUs: held by its queue, held by its pods",
            "Pods hold at most what the queue has reserved.",
            (
                Query(f"sum by (tenant) (antenna_queue_gpus_reserved{{{_CHOSEN}}}) > 0", "{{tenant}} queue"),
                Query(f"sum by (tenant) (antenna_tenant_gpus_running{{{_CHOSEN}}}) > 0", "{{tenant}} pods"),
            ),
            GPUS,
            alerts=("AntennaGPUsBesideQueue",),
        ),
        Panel(
            "GPUs of its own",
            "Its quota; beyond it it borrows.",
            (Query(f"sum by (tenant) (antenna_queue_gpus_quota{{{_CHOSEN}}})", "{{tenant}}"),),
            GPUS,
        ),
        Panel(
            "GPU-hours, last day",
            "What its jobs held, whether they computed on it or not, by site.",
            (
                Query(
                    "sum by (tenant, site) "
                    f"(increase(antenna_gpu_seconds_total{{{_CHOSEN}}}[1d])) / 3600 > 0",
                    "{{tenant}} {{site}}",
                ),
            ),
            GPU_HOURS,
        ),
        Panel(
            "How busy its GPUs are",
            "Mean utilisation of the GPUs that its jobs hold here: 1 is all busy.",
            (Query(f"tenant:gpu_utilization_ratio:avg{{{_CHOSEN}}}", "{{tenant}}"),),
            OF_ONE,
        ),
        Panel(
            "Power",
            "What the GPUs that its jobs hold here draw.",
            (Query(f"tenant:gpu_power_watts:sum{{{_CHOSEN}}}", "{{tenant}}"),),
            WATTS,
        ),
        Panel(
            "Energy, last day",
            "Here as measured, at remote sites by the average that the site published.",
            (
                Query(
                    f"sum_over_time(tenant:gpu_energy_joules:increase1m{{{_CHOSEN}}}[1d]) / 3.6e6",
                    "{{tenant}} here",
                ),
                Query(
                    "sum by (tenant, site) "
                    f"(increase(antenna_remote_energy_joules_total{{{_CHOSEN}}}[1d])) / 3.6e6",
                    "{{tenant}} {{site}}",
                ),
            ),
            KWH,
        ),
    ),
)

PARTNER: Final = Dashboard(
    "partner", "Partner", "What does a partner wait for, hold and use?", (_JOBS, _GPUS), (TENANT,)
)
