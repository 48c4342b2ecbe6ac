"""Site: what runs where, here or at a remote site, and how fresh what is known of it is."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    GPU_HOURS,
    GPUS,
    JOBS,
    NODES,
    OF_ONE,
    SECONDS,
    SITE,
    Dashboard,
    Panel,
    Query,
    Row,
)

_CHOSEN: Final = 'site=~"$site"'

_WORK: Final = Row(
    "Work",
    (
        Panel(
            "Jobs by state",
            "Jobs that wait or run.",
            (
                Query(
                    f'sum by (site, state) (antenna_queue_jobs{{state=~"pending|running",{_CHOSEN}}})',
                    "{{site}} {{state}}",
                ),
            ),
            JOBS,
        ),
        Panel(
            "Oldest waiting job",
            "How long the job that waits longest has waited. 0: none waits.",
            (
                Query(
                    f"max by (site) (antenna_queue_oldest_pending_age_seconds{{{_CHOSEN}}})",
                    "{{site}}",
                ),
            ),
            SECONDS,
        ),
        Panel(
            "Why jobs wait",
            "At a remote site in the words of its scheduler, as one of our reasons.",
            (
                Query(
                    f"sum by (site, reason) (antenna_queue_pending_reason{{{_CHOSEN}}}) > 0",
                    "{{site}} {{reason}}",
                ),
            ),
            JOBS,
        ),
        Panel(
            "GPUs held",
            "Of jobs that run, or are admitted here.",
            (Query(f"sum by (site) (antenna_queue_gpus_reserved{{{_CHOSEN}}})", "{{site}}"),),
            GPUS,
        ),
        Panel(
            "GPU-hours, last day",
            "What jobs held, whether they computed on it or not.",
            (
                Query(
                    f"sum by (site) (increase(antenna_gpu_seconds_total{{{_CHOSEN}}}[1d])) / 3600",
                    "{{site}}",
                ),
            ),
            GPU_HOURS,
        ),
        Panel(
            "Jobs that ended, last hour",
            "By outcome.",
            (
                Query(
                    f"sum by (site, outcome) (increase(antenna_jobs_finished_total{{{_CHOSEN}}}[1h])) > 0",
                    "{{site}} {{outcome}}",
                ),
            ),
            JOBS,
        ),
    ),
)

_REMOTE: Final = Row(
    "What a remote site tells",
    (
        Panel(
            "Silence of its sources",
            "Time since each answered, of what it may be: at 1 it is stale, and what it told leaves.",
            (
                Query(
                    "max by (site, source) "
                    f"(antenna_remote_source_age_seconds{{{_CHOSEN}}} / antenna_remote_source_limit_seconds)",
                    "{{site}} {{source}}",
                ),
            ),
            OF_ONE,
            width=3,
            alerts=(
                "AntennaRemoteSourceStale",
                "AntennaSiteUnreachable",
                "AntennaRemoteSchedulerDown",
            ),
        ),
        Panel(
            "Nodes by state",
            "In the scheduler's words; a node of several partitions counts in each.",
            (
                Query(
                    f"sum by (site, node_state) (antenna_remote_nodes{{{_CHOSEN}}})",
                    "{{site}} {{node_state}}",
                ),
            ),
            NODES,
            width=3,
        ),
        Panel(
            "Ledger not written",
            "How long what a site told could not be written: 0 is well. Jobs for it are held meanwhile.",
            (Query(f"max by (site) (antenna_ledger_unwritten_seconds{{{_CHOSEN}}})", "{{site}}"),),
            SECONDS,
            width=3,
            alerts=("AntennaLedgerNotWritten",),
        ),
        Panel(
            "Time of which a site is not known",
            "Part of the window in which its queue, its accounting or its nodes were stale.",
            tuple(
                Query(
                    f"max by (site) (slo:site_answers:bad_ratio{window}{{{_CHOSEN}}})",
                    f"{{{{site}}}} {window}",
                )
                for window in ("1h", "6h")
            ),
            OF_ONE,
            width=3,
            empty="no remote site has been asked for a minute",
            alerts=("AntennaSiteAnswersFastBurn", "AntennaSiteAnswersSlowBurn"),
        ),
    ),
)

SITE_PAGE: Final = Dashboard(
    "site", "Site", "What runs at a site, and how fresh is what is known of it?", (_WORK, _REMOTE), (SITE,)
)
