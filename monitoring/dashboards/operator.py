"""Operator: whether what tells all other figures is well, with what it stands on."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    BYTES,
    EVENTS_A_SECOND,
    OF_ONE,
    SECONDS,
    TIMES,
    TRUE,
    Dashboard,
    Panel,
    Query,
    Row,
)
from monitoring.rules.alerts import ETCD_QUOTA_BYTES, WATCH_STALE_SECONDS
from monitoring.scrape import OPERATOR_JOB

_OPERATOR: Final = Row(
    "The operator",
    (
        Panel(
            "Answers",
            "1 while its figures can be scraped.",
            (Query(f'max (up{{job="{OPERATOR_JOB}"}})', "operator"),),
            TRUE,
            width=3,
            alerts=("AntennaOperatorDown",),
        ),
        Panel(
            "Age of what it knows",
            "Time since the API server was last heard of a resource; stale past "
            f"{WATCH_STALE_SECONDS} seconds.",
            (Query("max by (resource) (antenna_operator_watch_age_seconds)", "{{resource}}"),),
            SECONDS,
            width=3,
            alerts=("AntennaWatchStale",),
        ),
        Panel(
            "Events a second",
            "Changes that the API server told it of.",
            (Query("sum by (resource) (rate(antenna_operator_events_total[1m]))", "{{resource}}"),),
            EVENTS_A_SECOND,
            width=3,
        ),
        Panel(
            "Errors, last hour",
            "Objects that it could not read, and reconciliations that failed; each is in its log.",
            (
                Query(
                    "sum by (resource) (increase(antenna_operator_event_errors_total[1h])) > 0",
                    "{{resource}}",
                ),
                Query(
                    "sum by (kind) (increase(antenna_operator_reconcile_errors_total[1h])) > 0",
                    "{{kind}} reconciled",
                ),
            ),
            TIMES,
            width=3,
            empty="no error in the last hour",
        ),
        Panel(
            "Time of a scrape",
            "How long it takes to answer one; a scrape that takes 10 seconds fails.",
            (Query("max (antenna_operator_scrape_duration_seconds)", "seconds"),),
            SECONDS,
            width=6,
        ),
        Panel(
            "Size of a scrape",
            "As sent, compressed.",
            (Query("max (antenna_operator_scrape_size_bytes)", "bytes"),),
            BYTES,
            width=6,
        ),
    ),
)

_AROUND: Final = Row(
    "What it stands on, and monitoring itself",
    (
        Panel(
            "Targets that answer",
            "Of each kind of target, the part that could be scraped: 1 is all.",
            (Query("avg by (job) (up)", "{{job}}"),),
            OF_ONE,
            alerts=("AntennaScrapeFailing",),
        ),
        Panel(
            "How full etcd is",
            "Part of what it may hold: at 1 the cluster takes no change.",
            (Query(f"max (apiserver_storage_size_bytes) / {ETCD_QUOTA_BYTES}", "etcd"),),
            OF_ONE,
            alerts=("AntennaEtcdNearlyFull",),
        ),
        Panel(
            "Kueue's attempts to admit, a minute",
            "By result. None while jobs wait: Kueue does not work.",
            (Query("sum by (result) (increase(kueue_admission_attempts_total[1m]))", "{{result}}"),),
            TIMES,
        ),
        Panel(
            "Notifications that were not delivered, last hour",
            "By the receiver's kind. 0 is well.",
            (
                Query(
                    "sum by (integration) (increase(alertmanager_notifications_failed_total[1h])) > 0",
                    "{{integration}}",
                ),
            ),
            TIMES,
            empty="all were delivered",
        ),
        Panel(
            "Figures on disk",
            "What VictoriaMetrics keeps.",
            (Query("sum (vm_data_size_bytes)", "kept"),),
            BYTES,
        ),
        Panel(
            "Disk left for figures",
            "Of the head's disk, which etcd is on too.",
            (Query("min (vm_free_disk_space_bytes)", "left"),),
            BYTES,
        ),
    ),
)

OPERATOR: Final = Dashboard("operator", "Operator", "Is what tells all this well?", (_OPERATOR, _AROUND))
