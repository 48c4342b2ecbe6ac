"""What the board asks the store: a row a figure. Pure.

``tlast_over_time`` is VictoriaMetrics' own; everything else any Prometheus answers.
https://docs.victoriametrics.com/victoriametrics/metricsql/#tlast_over_time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from monitoring.scrape import INTERVAL_SECONDS

DAY_SECONDS: Final = 86_400
TREND_SECONDS: Final = 1800
"""Between two points of the last day."""

SourceName = Literal["operator", "links", "gpus", "rules"]

_MISSED: Final = 4
"""Scrapes in a row that are missed before figures count as stale."""


@dataclass(frozen=True)
class Source:
    """Who tells figures. ``heard`` answers with the Unix time at which it last did, within a day."""

    title: str
    heard: str
    limit_seconds: float
    """The age past which its figures are stale."""


def _heard(series: str) -> str:
    return f"max(tlast_over_time({series}[1d]))"


SOURCES: Final[Mapping[SourceName, Source]] = {
    "operator": Source(
        "operator: queues, nodes, budgets, remote sites",
        _heard("antenna_operator_objects"),
        _MISSED * INTERVAL_SECONDS,
    ),
    "links": Source("probes of the links", _heard("antenna_link_up"), _MISSED * INTERVAL_SECONDS),
    "gpus": Source("GPUs themselves", _heard("DCGM_FI_DEV_POWER_USAGE"), _MISSED * INTERVAL_SECONDS),
    # Recorded once a minute.
    "rules": Source("rules: alerts and energy", _heard("ALERTS"), 60 + _MISSED * INTERVAL_SECONDS),
}


@dataclass(frozen=True)
class Ask:
    """One table of figures. Of one that is not ``shared`` a partner is shown the rows that name it alone."""

    expression: str
    source: SourceName = "operator"
    shared: bool = False


def _queue(aggregation: str, family: str, *labels: str) -> Ask:
    return Ask(f"{aggregation} by ({', '.join(('site', 'queue', 'tenant', *labels))}) ({family})")


def _budget(part: str) -> Ask:
    return Ask(f"max by (site, tenant, unit) (antenna_budget_{part})")


ASKS: Final[Mapping[str, Ask]] = {
    "titles": Ask("max by (tenant, title) (antenna_tenant_info)"),
    "jobs": _queue("sum", "antenna_queue_jobs", "state"),
    "oldest": _queue("max", "antenna_queue_oldest_pending_age_seconds"),
    "reasons": _queue("sum", "antenna_queue_pending_reason", "reason"),
    "waits": Ask(
        "histogram_quantile(0.95, sum by (site, queue, tenant, le)"
        " (increase(antenna_job_wait_seconds_bucket[1d])))"
    ),
    "finished": Ask("sum by (tenant, outcome) (increase(antenna_jobs_finished_total[1d]))"),
    "quota": Ask("sum by (site, tenant) (antenna_queue_gpus_quota)"),
    "reserved": Ask("sum by (site, tenant) (antenna_queue_gpus_reserved)"),
    "borrowed": Ask("sum by (site, tenant) (antenna_queue_gpus_borrowed)"),
    "running": Ask("sum by (site, tenant) (antenna_tenant_gpus_running)"),
    "gpus": Ask("sum by (site) (antenna_gpus_allocatable)", shared=True),
    "held": Ask("sum by (site) (antenna_gpus_allocated)"),
    "nodes": Ask("count by (site) (antenna_node_ready)", shared=True),
    "ready": Ask("sum by (site) (antenna_node_ready)", shared=True),
    "closed": Ask("sum by (site) (1 - antenna_node_schedulable)", shared=True),
    "silent": Ask("max by (site, source) (antenna_remote_source_age_seconds)", shared=True),
    "limits": Ask("max by (site, source) (antenna_remote_source_limit_seconds)", shared=True),
    "allocated": _budget("allocated"),
    "used": _budget("used"),
    "kept": _budget("reserved"),
    "remaining": _budget("remaining"),
    "burn": _budget("burn_per_day"),
    "exhaustion": _budget("exhaustion_timestamp_seconds"),
    "remote_kwh": Ask("sum by (site, tenant) (increase(antenna_remote_energy_joules_total[1d])) / 3.6e6"),
    "up": Ask("min by (link) (antenna_link_up)", "links", shared=True),
    "round_trip": Ask("max by (link) (antenna_link_round_trip_seconds)", "links", shared=True),
    "watts": Ask("max by (tenant) (tenant:gpu_power_watts:sum)", "rules"),
    "site_watts": Ask("max(site:gpu_power_watts:sum)", "rules"),
    "kwh": Ask(
        "sum by (tenant) (sum_over_time(tenant:gpu_energy_joules:increase1m[1d])) / 3.6e6",
        "rules",
    ),
    "busy": Ask("max by (tenant) (tenant:gpu_utilization_ratio:avg)", "rules"),
}
"""What is shown now."""

TRENDS: Final[Mapping[str, Ask]] = {
    "waiting": Ask('sum by (tenant) (antenna_queue_jobs{state="pending"})'),
    "reserved": Ask("sum by (tenant) (antenna_queue_gpus_reserved)"),
    "watts": Ask("max by (tenant) (tenant:gpu_power_watts:sum)", "rules"),
    "fired": Ask('count(ALERTS{alertstate="firing",severity!="none"})', "rules"),
    "up": Ask(
        f"min by (link) (min_over_time(antenna_link_up[{TREND_SECONDS // 60}m]))", "links", shared=True
    ),
}
"""What is shown of the last day. Of figures by partner, who sees several sees their sum."""


def of_jobs(tenant: str) -> Mapping[str, Ask]:
    """A partner's jobs. ``tenant`` is its name, which is a DNS label."""
    chosen = f'{{namespace="tenant-{tenant}"}}'
    return {
        name: Ask(f"{expression}{chosen}{condition}")
        for name, expression, condition in (
            ("job_state", "antenna_job_state", " == 1"),
            ("job_gpus", "antenna_job_gpus", ""),
            ("job_created", "antenna_job_created_timestamp_seconds", ""),
        )
    }
