"""The metric catalog: every family that the operator exposes, a row each.

Docs, dashboards and rules are checked against it. Names, units and types follow Prometheus and
OpenMetrics: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Type = Literal["gauge", "counter", "histogram", "info"]


@dataclass(frozen=True)
class Family:
    """One family of series."""

    name: str
    """As the text format shows it: a counter with its ``_total``, an info with its ``_info``."""
    type: Type
    unit: str
    """``seconds``, ``bytes``, ...; empty for plain counts."""
    labels: tuple[str, ...]
    help: str
    stability: Literal["stable", "alpha"] = "alpha"
    per_object: bool = False
    """One series an object (a Job, a node): can be switched off by name."""


_OPERATOR: Final = (
    Family(
        "antenna_operator_watch_age_seconds",
        "gauge",
        "seconds",
        ("resource",),
        "Time since the API server was last heard of the resource: an event, a bookmark or a list.",
    ),
    Family(
        "antenna_operator_watch_restarts_total",
        "counter",
        "",
        ("resource", "reason"),
        "Watches begun again, by what ended the one before.",
    ),
    Family(
        "antenna_operator_lists_total",
        "counter",
        "",
        ("resource",),
        "Complete lists of the resource that were read.",
    ),
    Family(
        "antenna_operator_events_total",
        "counter",
        "",
        ("resource", "type"),
        "Watch events handled, by type.",
    ),
    Family(
        "antenna_operator_event_errors_total",
        "counter",
        "",
        ("resource",),
        "Objects that could not be decoded or that their collector failed on; they are left as they were.",
    ),
    Family(
        "antenna_operator_objects",
        "gauge",
        "",
        ("resource",),
        "Objects of the resource that the operator holds.",
    ),
    Family(
        "antenna_operator_scrapes_total",
        "counter",
        "",
        ("code",),
        "Answers given on /metrics, by HTTP status.",
    ),
    Family(
        "antenna_operator_scrape_duration_seconds",
        "gauge",
        "seconds",
        (),
        "Time that the last whole scrape took, from the request's head to the last byte written.",
    ),
    Family(
        "antenna_operator_scrape_size_bytes",
        "gauge",
        "bytes",
        (),
        "Bytes of body that the last whole scrape sent, compressed where the scraper asked for it.",
    ),
    Family(
        "antenna_operator_series_dropped_total",
        "counter",
        "",
        ("family",),
        "Series that were refused because their family was full.",
    ),
    Family(
        "antenna_operator_labels_changed_total",
        "counter",
        "",
        (),
        "Label values that were cut or cleaned before they were shown.",
    ),
    Family(
        "antenna_operator_reconcile_errors_total",
        "counter",
        "",
        ("kind",),
        "Reconciliations that failed, by the kind of the object.",
    ),
)

_QUEUE: Final = ("site", "queue", "tenant")
_JOB: Final = ("site", "namespace", "job_name")
_RESOURCES: Final = (("gpus", "GPUs"), ("cpu_cores", "CPU cores"), ("memory_bytes", "Bytes of memory"))

_QUEUES: Final = (
    Family(
        "antenna_queue_jobs",
        "gauge",
        "",
        (*_QUEUE, "state"),
        "Jobs of the queue by state: those that the API server holds, or that the remote site's queue does.",
    ),
    Family(
        "antenna_queue_oldest_pending_age_seconds",
        "gauge",
        "seconds",
        _QUEUE,
        "Time since the oldest pending Job of the queue was queued last; 0 when none waits.",
    ),
    Family(
        "antenna_queue_pending_reason",
        "gauge",
        "",
        (*_QUEUE, "reason"),
        "Pending Jobs of the queue by what they wait for.",
    ),
    *(
        # OpenMetrics wants a unit at the end of the name: these have none.
        Family(f"antenna_queue_{resource}_{figure}", "gauge", "", (*_QUEUE, *labels), f"{words} {text}")
        for resource, words in _RESOURCES
        for figure, labels, text in (
            ("requested", (), "that unfinished Workloads of the queue ask for: pending and admitted."),
            ("reserved", ("flavor",), "of the flavor that Workloads of the queue hold quota for."),
            ("quota", ("flavor",), "of the flavor that are the queue's own: its nominal quota."),
            ("borrowed", ("flavor",), "of the flavor that the queue holds beyond its nominal quota."),
        )
    ),
)

_JOBS: Final = (
    Family(
        "antenna_job_info",
        "info",
        "",
        (*_JOB, "uid", "queue", "tenant", "owner"),
        "A Job, with its queue, its tenant and its owner (Kind/name of what made it, where something did).",
        per_object=True,
    ),
    Family(
        "antenna_job_state",
        "gauge",
        "",
        (*_JOB, "state"),
        "1 for the state that the Job is in: pending, running, succeeded, failed or cancelled.",
        per_object=True,
    ),
    Family("antenna_job_gpus", "gauge", "", _JOB, "GPUs of all pods of the Job together.", per_object=True),
    Family("antenna_job_cpu_cores", "gauge", "", _JOB, "CPU cores of its pods together.", per_object=True),
    Family(
        "antenna_job_memory_bytes", "gauge", "bytes", _JOB, "Memory of its pods together.", per_object=True
    ),
    Family(
        "antenna_job_created_timestamp_seconds",
        "gauge",
        "seconds",
        _JOB,
        "When the Job was created.",
        per_object=True,
    ),
    Family(
        "antenna_job_admitted_timestamp_seconds",
        "gauge",
        "seconds",
        _JOB,
        "When the Job was last admitted by its queue.",
        per_object=True,
    ),
    Family(
        "antenna_job_started_timestamp_seconds",
        "gauge",
        "seconds",
        _JOB,
        "When the Job controller last began to make pods of the Job.",
        per_object=True,
    ),
    Family(
        "antenna_job_finished_timestamp_seconds",
        "gauge",
        "seconds",
        _JOB,
        "When the Job succeeded or failed.",
        per_object=True,
    ),
    Family(
        "antenna_job_restarts",
        "gauge",
        "",
        _JOB,
        "Pods of the Job that failed: each was started anew, or was the Job's end.",
        per_object=True,
    ),
    Family(
        "antenna_job_evictions",
        "gauge",
        "",
        _JOB,
        "Times that the Job was put back into its queue after it had been admitted.",
        per_object=True,
    ),
)

_TOTALS: Final = (
    Family(
        "antenna_job_wait_seconds",
        "histogram",
        "seconds",
        _QUEUE,
        "Time from a Job's creation to its first admission.",
    ),
    Family(
        "antenna_job_run_seconds",
        "histogram",
        "seconds",
        _QUEUE,
        "Time from a Job's last admission to its end.",
    ),
    Family(
        "antenna_jobs_finished_total",
        "counter",
        "",
        (*_QUEUE, "outcome"),
        "Jobs that ended, by outcome: succeeded, failed, cancelled (deleted before they ended), or unknown "
        "(gone while nobody looked).",
    ),
    Family(
        "antenna_gpu_seconds_total",
        "counter",
        "seconds",
        ("site", "tenant", "sector", "ecosystem"),
        "GPUs times the seconds for which Jobs held them. Jobs that run are counted up to 2 s ago.",
    ),
    Family(
        "antenna_jobs_restarted_total",
        "counter",
        "",
        _QUEUE,
        "Pods of Jobs that failed: each was started anew, or was its Job's end.",
    ),
    Family(
        "antenna_jobs_evicted_total",
        "counter",
        "",
        (*_QUEUE, "reason"),
        "Times that admitted Jobs were put back into their queue, by Kueue's reason.",
    ),
    Family(
        "antenna_jobs_preempted_total",
        "counter",
        "",
        _QUEUE,
        "Times that admitted Jobs were put back to make room for others.",
    ),
)

_NODES: Final = (
    Family(
        "antenna_node_gpus_capacity",
        "gauge",
        "",
        ("site", "node", "model"),
        "GPUs that the node has, healthy or not, as its label says or its device plugin.",
        per_object=True,
    ),
    Family(
        "antenna_node_gpus_allocatable",
        "gauge",
        "",
        ("site", "node", "model"),
        "GPUs of the node that pods can be given.",
        per_object=True,
    ),
    Family(
        "antenna_node_gpus_allocated",
        "gauge",
        "",
        ("site", "node", "model"),
        "GPUs that pods on the node hold: those bound to it that have not ended.",
        per_object=True,
    ),
    Family(
        "antenna_node_ready", "gauge", "", ("site", "node"), "1 while the node is ready.", per_object=True
    ),
    Family(
        "antenna_node_schedulable",
        "gauge",
        "",
        ("site", "node"),
        "0 while the node is cordoned.",
        per_object=True,
    ),
    Family(
        "antenna_gpus_allocatable",
        "gauge",
        "",
        ("site", "model"),
        "GPUs of the model that pods can be given, on all nodes.",
    ),
    Family(
        "antenna_gpus_allocated",
        "gauge",
        "",
        ("site", "model"),
        "GPUs of the model that pods hold, on all nodes.",
    ),
)

_TENANTS: Final = (
    Family(
        "antenna_tenant_info",
        "info",
        "",
        ("tenant", "ecosystem", "sector", "title"),
        "A partner, its ecosystem and the first of its sectors.",
    ),
    Family(
        "antenna_tenant_ready",
        "gauge",
        "",
        ("tenant",),
        "1 while the Tenant's condition Ready is True.",
    ),
    Family(
        "antenna_tenant_gpus_running",
        "gauge",
        "",
        ("site", "tenant"),
        "GPUs that pods in the tenant's namespace hold: on a node, not ended and not told to end. At most "
        "what its queue has reserved.",
    ),
)

_OWNER: Final = ("site", "tenant", "sector", "ecosystem")
_BUDGET: Final = ("site", "tenant", "unit")

_BUDGETS: Final = (
    Family(
        "antenna_budget_allocated",
        "gauge",
        "",
        _BUDGET,
        "Units that the tenant may use in the present period, with what a month before left or owes.",
    ),
    Family("antenna_budget_used", "gauge", "", _BUDGET, "Units used in the present period."),
    Family(
        "antenna_budget_reserved",
        "gauge",
        "",
        _BUDGET,
        "Units that running and submitted jobs may use yet, up to their time limits.",
    ),
    Family("antenna_budget_remaining", "gauge", "", _BUDGET, "Units allocated - used - reserved."),
    Family("antenna_budget_burn_per_day", "gauge", "", _BUDGET, "Units used a day, over the last 7 days."),
    Family(
        "antenna_budget_exhaustion_timestamp_seconds",
        "gauge",
        "seconds",
        _BUDGET,
        "When all will be used if the burn goes on; absent while it lasts until the period's end.",
    ),
    Family(
        "antenna_budget_difference",
        "gauge",
        "",
        _BUDGET,
        "Units that the site says were used, less those that the ledger counts.",
    ),
    Family(
        "antenna_billed_units_total",
        "counter",
        "",
        (*_OWNER, "unit"),
        "Units that remote work was billed by the site's published rules.",
    ),
)

_LEDGER: Final = (
    Family(
        "antenna_ledger_unwritten_seconds",
        "gauge",
        "seconds",
        ("site",),
        "Time for which something that the site told could not be written to the ledger; 0 while it can.",
    ),
    Family(
        "antenna_ledger_unwritten_limit_seconds",
        "gauge",
        "seconds",
        ("site",),
        "The time past which that is an alert: two polls of the site.",
    ),
)

_REMOTE: Final = (
    Family(
        "antenna_remote_nodes",
        "gauge",
        "",
        ("site", "queue", "node_state"),
        "Nodes of the partition by the scheduler's word for their state.",
    ),
    Family(
        "antenna_remote_energy_joules_total",
        "counter",
        "joules",
        _OWNER,
        "Energy of remote work's GPUs, by the average that the site published.",
    ),
    Family(
        "antenna_remote_source_age_seconds",
        "gauge",
        "seconds",
        ("site", "source"),
        "Time since the source last told something: queue, accounting, nodes or granted.",
    ),
    Family(
        "antenna_remote_source_limit_seconds",
        "gauge",
        "seconds",
        ("site", "source"),
        "The age past which what the source told is no longer shown.",
    ),
    Family(
        "antenna_remote_credentials_expiry_timestamp_seconds",
        "gauge",
        "seconds",
        ("site", "tenant"),
        "When the key or certificate of a partner's login there, or of the reader's (no tenant), ends; "
        "absent where no end is known.",
    ),
)

FAMILIES: Final[tuple[Family, ...]] = (
    *_QUEUES,
    *_JOBS,
    *_TOTALS,
    *_NODES,
    *_TENANTS,
    *_BUDGETS,
    *_LEDGER,
    *_REMOTE,
    *_OPERATOR,
)

_BY_NAME: Final = {row.name: row for row in FAMILIES}


def family(name: str) -> Family:
    """The row of that name. Raises KeyError."""
    return _BY_NAME[name]
