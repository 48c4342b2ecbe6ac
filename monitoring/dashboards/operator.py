"""Operator: whether what tells all other figures is well, with what it stands on."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    BYTES,
    EVENTS_A_SECOND,
    OF_ONE,
    SECONDS,
    SERIES,
    TIMES,
    TRUE,
    Dashboard,
    Panel,
    Query,
    Row,
)
from monitoring.rules.alerts import ETCD_QUOTA_BYTES, WATCH_STALE_SECONDS
from monitoring.rules.platform import SCRAPE_LIMITS
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
        ),
        Panel(
            "Size of a scrape",
            "As sent, compressed.",
            (Query("max (antenna_operator_scrape_size_bytes)", "bytes"),),
            BYTES,
        ),
        Panel(
            "Series that it refused, since it began",
            "Of families that are full: what is shown of one is a part.",
            (
                Query(
                    "sum by (family) (antenna_operator_series_dropped_total) > 0",
                    "{{family}}",
                ),
            ),
            SERIES,
            empty="no family is full",
            alerts=("AntennaSeriesDropped",),
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
            "Starts, last hour",
            "How often each program has begun anew; a new one counts as 1.",
            (
                Query(
                    "max by (job, node) (changes(process_start_time_seconds[1h])) > 0",
                    "{{job}} {{node}}",
                ),
            ),
            TIMES,
            empty="no program has begun in the last hour",
            alerts=("AntennaComponentRestarting",),
        ),
        Panel(
            "Size of scrapes, of what is taken",
            "Of each kind of target the largest: at 1 nothing of it is kept.",
            (
                Query(
                    " or ".join(
                        f"max by (job) (scrape_response_size_bytes{{{targets}}}) / {limit}"
                        for targets, limit in SCRAPE_LIMITS
                    ),
                    "{{job}}",
                ),
            ),
            OF_ONE,
            alerts=("AntennaScrapeNearLimit",),
        ),
        Panel(
            "Rules that ended with an error, last 5 minutes",
            "Alerts and figures made of them are silent. 0 is well.",
            tuple(
                Query(f"sum (increase(vmalert_{kind}_rules_errors_total[5m]))", kind)
                for kind in ("alerting", "recording")
            ),
            TIMES,
            alerts=("AntennaRulesFailing",),
        ),
        Panel(
            "Kueue's attempts to admit, a minute",
            "By result. None while jobs wait: Kueue does not work.",
            (Query("sum by (result) (increase(kueue_admission_attempts_total[1m]))", "{{result}}"),),
            TIMES,
            alerts=("AntennaKueueDown",),
        ),
        Panel(
            "Notifications that were not delivered, last hour",
            "By receiver. 0 is well.",
            (
                Query(
                    "sum by (receiver_name) (increase(alertmanager_notifications_failed_total[1h])) > 0",
                    "{{receiver_name}}",
                ),
            ),
            TIMES,
            empty="all were delivered",
            alerts=("AntennaNotificationsFailing",),
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
