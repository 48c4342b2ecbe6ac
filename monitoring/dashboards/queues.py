"""Queues: who waits, for how long, and for what."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    GPUS,
    JOBS,
    OF_ONE,
    QUEUE,
    SECONDS,
    SITE,
    TENANT,
    TIMES,
    Dashboard,
    Panel,
    Query,
    Row,
)
from monitoring.rules.slos import WAITED_ENOUGH

_CHOSEN: Final = 'site=~"$site",queue=~"$queue",tenant=~"$tenant"'

_WAITS: Final = Row(
    "Waits",
    (
        Panel(
            "Waiting jobs by queue",
            "Queues without a waiting job are left out.",
            (
                Query(
                    f'sum by (site, queue) (antenna_queue_jobs{{state="pending",{_CHOSEN}}}) > 0',
                    "{{site}} {{queue}}",
                ),
            ),
            JOBS,
        ),
        Panel(
            "Oldest waiting job by queue",
            "How long the job that waits longest has waited. Queues without a waiting job are left out.",
            (
                Query(
                    f"max by (site, queue) (antenna_queue_oldest_pending_age_seconds{{{_CHOSEN}}}) > 0",
                    "{{site}} {{queue}}",
                ),
            ),
            SECONDS,
            alerts=("AntennaWaitOverObjective",),
        ),
        Panel(
            "Why jobs wait",
            "`antenna why JOB` tells it of one job, in a sentence.",
            (Query(f"sum by (reason) (antenna_queue_pending_reason{{{_CHOSEN}}}) > 0", "{{reason}}"),),
            JOBS,
            alerts=("AntennaJobsCannotStart",),
        ),
        Panel(
            "Wait until start, last hour",
            "Of jobs that started in the last hour: half waited less than p50, all but 5 % less than p95.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, "
                    f"sum by (le) (increase(antenna_job_wait_seconds_bucket{{{_CHOSEN}}}[1h])))",
                    legend,
                )
                for quantile, legend in ((0.5, "p50"), (0.95, "p95"))
            ),
            SECONDS,
        ),
        Panel(
            "Jobs that waited more than 4 hours",
            "Part of those of this cluster that were admitted in the window.",
            tuple(
                Query(
                    f'max by (site) (slo:queue_wait:bad_ratio{window}{{site=~"$site"}})',
                    f"{{{{site}}}} {window}",
                )
                for window in ("1h", "6h")
            ),
            OF_ONE,
            empty=f"fewer than {WAITED_ENOUGH} jobs were admitted",
            alerts=("AntennaQueueWaitFastBurn", "AntennaQueueWaitSlowBurn"),
        ),
        Panel(
            "Jobs that ended, a minute",
            "By outcome.",
            (
                Query(
                    f"sum by (outcome) (increase(antenna_jobs_finished_total{{{_CHOSEN}}}[1m]))",
                    "{{outcome}}",
                ),
            ),
            JOBS,
        ),
    ),
)

_QUOTA: Final = Row(
    "Quota",
    (
        Panel(
            "GPUs: own, held, asked for",
            "Own is quota; asked for is what unfinished jobs want, held is what was given. Asked for above "
            "held while held is below own: something other than capacity holds a queue.",
            tuple(
                Query(f"sum (antenna_queue_gpus_{kind}{{{_CHOSEN}}})", legend)
                for kind, legend in (("quota", "own"), ("reserved", "held"), ("requested", "asked for"))
            ),
            GPUS,
            alerts=("AntennaQueueStuckWithFreeCapacity",),
        ),
        Panel(
            "Borrowed by partner",
            "Part of the GPUs in use that is beyond the partner's own quota.",
            (Query(f"sum by (tenant) (antenna_queue_gpus_borrowed{{{_CHOSEN}}}) > 0", "{{tenant}}"),),
            GPUS,
        ),
        Panel(
            "Put back into their queue, last hour",
            "Jobs that had been admitted, by Kueue's reason.",
            (
                Query(
                    f"sum by (reason) (increase(antenna_jobs_evicted_total{{{_CHOSEN}}}[1h])) > 0",
                    "{{reason}}",
                ),
            ),
            TIMES,
            empty="no job was put back",
        ),
    ),
)

QUEUES: Final = Dashboard(
    "queues",
    "Queues",
    "Who waits, for how long, and for what?",
    (_WAITS, _QUOTA),
    (SITE, QUEUE, TENANT),
)
