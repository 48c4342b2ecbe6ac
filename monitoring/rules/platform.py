"""Alerts on the platform's own parts, monitoring among them: a row each, see ``alerts``."""

from __future__ import annotations

from typing import Final

from monitoring.rules.alert import Alert
from monitoring.scrape import KUEUE_JOB, OPERATOR_JOB, OPERATOR_PAGE_MIB

SCRAPE_LIMITS: Final = (
    (f'job!="{OPERATOR_JOB}"', 16 * 2**20),
    (f'job="{OPERATOR_JOB}"', OPERATOR_PAGE_MIB * 2**20),
)
"""Of which targets the store takes how many bytes at once, not compressed: what it takes unless told
otherwise (-promscrape.maxScrapeSize), and the operator's max_scrape_size."""
SCRAPE_NEAR_LIMIT: Final = 0.8

DISK_FREE: Final = 0.05
"""Below it etcd, the ledger and the figures are about to lose their room, on a disk of any size."""

CLOCK_SECONDS: Final = 10
"""As long as a scrape may take, so that a slow answer is no wrong clock; and what logins still bear."""

CERTIFICATE_SECONDS: Final = 7 * 86400
"""A kubelet renews its certificate of a year by itself when a tenth of it or more is left: weeks before."""

RESTARTS: Final = 4
"""In an hour; Kubernetes waits at most five minutes between two, so what ends again and again passes it.

A program that is new counts as one of them.
"""

DISKS: Final = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|vfat"'
"""File systems that fill up."""


def _certificate(use: str) -> str:
    left = f"min by (node) (kubelet_certificate_manager_{use}_ttl_seconds)"
    return f'label_replace({left} < {CERTIFICATE_SECONDS}, "use", "{use}", "", "")'


PLATFORM: Final = (
    Alert(
        name="AntennaKueueDown",
        expression=f'max(up{{job="{KUEUE_JOB}"}}) == 0',
        holds="3m",
        severity="critical",
        owner="platform",
        summary="Kueue does not answer",
        description=(
            "Kueue has not answered for 3 minutes: no job is admitted, and none can be made or changed where "
            "Kueue is asked first. What runs goes on."
        ),
    ),
    Alert(
        name="AntennaComponentRestarting",
        expression=f"max by (job, node) (changes(process_start_time_seconds[1h])) > {RESTARTS}",
        holds="0s",
        severity="warning",
        owner="platform",
        summary="{{ $labels.job }}{{ with $labels.node }} of {{ . }}{{ end }} restarts again and again",
        description=(
            "{{ $labels.job }}{{ with $labels.node }} of {{ . }}{{ end }} has begun anew {{ $value }} times "
            "in an hour: it ends by itself each time."
        ),
    ),
    Alert(
        name="AntennaDiskNearlyFull",
        expression=(
            f"min by (node, device) (node_filesystem_avail_bytes{{{DISKS}}}"
            f" / node_filesystem_size_bytes{{{DISKS}}}) < {DISK_FREE}"
        ),
        holds="5m",
        severity="critical",
        owner="platform",
        summary="{{ $value | humanizePercentage }} of {{ $labels.device }} of {{ $labels.node }} is free",
        description=(
            "Disk {{ $labels.device }} of {{ $labels.node }} has {{ $value | humanizePercentage }} of its "
            "room left. Once full, on the head: etcd takes no change, the ledger and the figures stand still."
        ),
    ),
    Alert(
        name="AntennaClockOff",
        # Against the clock of the store's machine, which stamps each scrape.
        expression=(
            'max by (node) (abs(node_time_seconds{job="node"} - timestamp(node_time_seconds{job="node"})))'
            f" > {CLOCK_SECONDS}"
        ),
        holds="2m",
        severity="warning",
        owner="platform",
        summary="The clock of {{ $labels.node }} is {{ $value | humanizeDuration }} off",
        description=(
            "The clock of {{ $labels.node }} differs by {{ $value | humanizeDuration }} from that of the "
            "machine of the figures, the head. If all nodes but the head fire, it is the head's. Tokens and "
            "certificates are refused, leases end early, times of jobs are wrong."
        ),
    ),
    Alert(
        name="AntennaKubeletCertificateEnds",
        expression=f"{_certificate('client')} or {_certificate('server')}",
        holds="1h",
        severity="critical",
        owner="platform",
        summary="The kubelet's {{ $labels.use }} certificate of {{ $labels.node }} ends within 7 days",
        description=(
            "The {{ $labels.use }} certificate of {{ $labels.node }} is good for "
            "{{ $value | humanizeDuration }} more and has not been renewed. Once it ends the node is lost to "
            "the cluster (client), or its logs and figures are (server)."
        ),
    ),
    Alert(
        name="AntennaScrapeNearLimit",
        expression=" or ".join(
            f"max by (job, node) (scrape_response_size_bytes{{{targets}}}) / {limit} > {SCRAPE_NEAR_LIMIT}"
            for targets, limit in SCRAPE_LIMITS
        ),
        holds="10m",
        severity="warning",
        owner="platform",
        summary="{{ $labels.job }} tells {{ $value | humanizePercentage }} of what is taken of it",
        description=(
            "What {{ $labels.job }}{{ with $labels.node }} of {{ . }}{{ end }} tells at once is "
            "{{ $value | humanizePercentage }} of what the store takes. At 100% all of its figures are lost."
        ),
    ),
    Alert(
        name="AntennaSeriesDropped",
        # The count is of what the operator that runs has refused: leaving a family out starts another one.
        expression="sum by (family) (antenna_operator_series_dropped_total) > 0",
        holds="1m",
        severity="warning",
        owner="platform",
        summary="The operator shows only a part of {{ $labels.family }}",
        description=(
            "{{ $labels.family }} is full: {{ $value }} series more were refused since the operator began, "
            "so that sums over this family are too small. No other family is concerned."
        ),
    ),
    Alert(
        name="AntennaRulesFailing",
        # A start asks before the store answers: some minutes of errors, less than this holds. Where the store
        # itself is down this one cannot be judged either, and the watchdog outside calls.
        expression=(
            "sum(increase(vmalert_alerting_rules_errors_total[5m]))"
            " + sum(increase(vmalert_recording_rules_errors_total[5m])) > 0"
        ),
        holds="10m",
        severity="critical",
        owner="platform",
        summary="Rules cannot be evaluated",
        description=("For 10 minutes some rules have ended with an error: alerts made of them are silent."),
    ),
    Alert(
        name="AntennaNotificationsFailing",
        # A failure shows for 7 minutes, longer than the 5 between two tries of a warning: 15 are three tries.
        # The beat has a watchdog outside, which calls when it does not come.
        expression=(
            "sum by (receiver_name)"
            ' (increase(alertmanager_notifications_failed_total{receiver_name!~".*-beat"}[7m])) > 0'
        ),
        holds="15m",
        severity="warning",
        owner="platform",
        summary="Alerts do not reach {{ $labels.receiver_name }}",
        description=(
            "For 15 minutes notifications to receiver {{ $labels.receiver_name }} have failed. Whoever reads "
            "only there is told of nothing."
        ),
    ),
)
