"""Remote work as figures: what a site's scheduler and accounting tell, in the families of local work. Pure.

``site`` is the remote site and ``queue`` its partition. GPUs are those that jobs were given (AllocTRES), or
ask for while they wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from operators.ledger.remote import Totals
from operators.ledger.remote_entry import NOBODY, Payer
from operators.reasons import Reason
from operators.sites.access import NodeRow, RemoteJobRow
from operators.sites.flavors import flavor_name
from operators.tenancy import namespace_name
from operators.usage.budgets import Balance

Labels = tuple[str, ...]
Samples = dict[tuple[str, Labels], float]
"""(family, label values) -> value, of families that belong to no object."""
Objects = dict[str, list[tuple[str, Labels, float]]]
"""key -> samples of families with one series an object."""

JOULES: Final = 3_600_000
"""Of a kWh."""
_MIB: Final = 2**20

_REASONS: Final[Sequence[tuple[str, Reason]]] = (
    *((start, Reason.BEHIND_OTHERS) for start in ("Priority", "None", "Sched")),
    *((start, Reason.NODES_FULL) for start in ("Resources", "BurstBufferResources", "Licenses")),
    *(
        (start, Reason.NEVER_FITS)
        for start in ("MaxMemPerLimit", "QOSMinGRES", "QOSNotAllowed", "QOSTimeLimit")
    ),
    *((start, Reason.QUOTA_USED_UP) for start in ("QOS", "Assoc", "Max", "JobArrayTaskLimit")),
    *((start, Reason.NODES_CLOSED) for start in ("PartitionDown", "PartitionInactive", "ReqNodeNotAvail")),
    *(
        (start, Reason.NODES_CLOSED)
        for start in ("NodeDown", "Nodes required for job", "FrontEndDown", "Power")
    ),
    ("ReservationDeleted", Reason.NEVER_FITS),
    ("Reservation", Reason.NODES_CLOSED),
    *(
        (start, Reason.NEVER_FITS)
        for start in ("Partition", "BadConstraints", "Constraints", "NodeRestriction")
    ),
    *(
        (start, Reason.NEVER_FITS)
        for start in ("InvalidAccount", "InvalidQOS", "AccountNotAllowed", "Accounting")
    ),
    *((start, Reason.SUSPENDED) for start in ("JobHeld", "JobHold", "Dependency", "BeginTime", "DeadLine")),
    *((start, Reason.SUSPENDED) for start in ("launch failed requeued held", "job requeued in held state")),
    *((start, Reason.STARTING) for start in ("Prolog", "BurstBuffer", "Cleaning", "JobLaunch")),
)
"""Beginnings of Slurm's words, the first that fits: https://slurm.schedmd.com/job_reason_codes.html"""


def waits_for(reason: str) -> Reason:
    """Slurm's word for why a job waits, as one of the known set. It may have spaces or underscores in it."""
    words = reason.replace("_", " ")
    return next((ours for start, ours in _REASONS if words.startswith(start)), Reason.UNKNOWN)


def queue_samples(
    site: str, rows: Iterable[RemoteJobRow], payers: Mapping[str, Payer], places: Iterable[Labels], now: int
) -> Samples:
    """Figures of queues from the jobs that wait or run; ``payers`` by project.

    ``places`` are (partition, tenant) that show 0 when nothing of them is there.
    """
    samples: defaultdict[tuple[str, Labels], float] = defaultdict(float)
    for partition, tenant in places:
        place = (site, partition, tenant)
        for state in ("pending", "running"):
            samples["antenna_queue_jobs", (*place, state)] = 0
        samples["antenna_queue_oldest_pending_age_seconds", place] = 0
    for row in rows:
        # One that waits for any of several counts once, where it was sent first.
        place = (site, row.partitions[0], payers.get(row.project, NOBODY).tenant)
        held = (
            ("gpus", row.demand.gpus),
            ("cpu_cores", row.demand.cores),
            ("memory_bytes", row.demand.memory_mib * _MIB),
        )
        samples["antenna_queue_jobs", (*place, row.state)] += row.tasks
        for resource, amount in held:
            samples[f"antenna_queue_{resource}_requested", place] += amount
            if row.state == "running":
                flavor = flavor_name(site, row.partitions[0])
                samples[f"antenna_queue_{resource}_reserved", (*place, flavor)] += amount
        if row.state == "pending":
            oldest = "antenna_queue_oldest_pending_age_seconds", place
            samples[oldest] = max(samples[oldest], now - row.submitted)
            samples["antenna_queue_pending_reason", (*place, waits_for(row.reason))] += row.tasks
    return dict(samples)


def job_samples(site: str, rows: Iterable[RemoteJobRow], payers: Mapping[str, Payer]) -> Objects:
    """The series of each job that waits or runs; of jobs of one name the latest: names tell series apart."""
    latest = {(row.project, row.name): row for row in sorted(rows, key=lambda row: (row.submitted, row.id))}
    found: Objects = {}
    for row in latest.values():
        tenant = payers.get(row.project, NOBODY).tenant
        job = (site, namespace_name(tenant) if tenant else "", row.name)
        uid = f"{row.id}@{row.submitted}"
        samples: list[tuple[str, Labels, float]] = [
            ("antenna_job_info", (*job, uid, row.partitions[0], tenant, ""), 1),
            ("antenna_job_state", (*job, row.state), 1),
            ("antenna_job_gpus", job, row.demand.gpus),
            ("antenna_job_cpu_cores", job, row.demand.cores),
            ("antenna_job_memory_bytes", job, row.demand.memory_mib * _MIB),
            ("antenna_job_created_timestamp_seconds", job, row.submitted),
        ]
        if row.started is not None:
            samples.append(("antenna_job_started_timestamp_seconds", job, row.started))
        found[f"remote/{site}/{uid}"] = samples
    return found


def node_samples(site: str, rows: Iterable[NodeRow]) -> Samples:
    """Nodes of each partition by the scheduler's word for their state."""
    samples: defaultdict[tuple[str, Labels], float] = defaultdict(float)
    for row in rows:
        samples["antenna_remote_nodes", (site, row.partition, row.state)] += row.nodes
    return dict(samples)


def total_samples(site: str, totals: Totals) -> Samples:
    """Counters of a site, from the ledger."""
    samples: Samples = {}
    for bearer, seconds in totals.gpu_seconds.items():
        if bearer[0] == site:
            samples["antenna_gpu_seconds_total", bearer] = seconds
    for (bearer, unit), units in totals.billed.items():
        if bearer[0] == site:
            samples["antenna_billed_units_total", (*bearer, unit)] = float(units)
    for bearer, kwh in totals.kwh.items():
        if bearer[0] == site:
            samples["antenna_remote_energy_joules_total", bearer] = float(kwh * JOULES)
    for labels, jobs in totals.finished.items():
        if labels[0] == site:
            samples["antenna_jobs_finished_total", labels] = jobs
    return samples


def budget_samples(balances: Iterable[Balance]) -> Samples:
    """Where allocations stand; those of one tenant, site and unit together."""
    samples: defaultdict[tuple[str, Labels], float] = defaultdict(float)
    for one in balances:
        labels = (one.site, one.tenant, one.unit)
        samples["antenna_budget_used", labels] += float(one.used)
        samples["antenna_budget_reserved", labels] += float(one.reserved)
        samples["antenna_budget_burn_per_day", labels] += float(one.burn)
        if one.allocated is None or one.remaining is None:
            continue
        samples["antenna_budget_allocated", labels] += float(one.allocated)
        samples["antenna_budget_remaining", labels] += float(one.remaining)
        if one.exhaustion is not None:
            at = "antenna_budget_exhaustion_timestamp_seconds", labels
            samples[at] = min(samples.get(at, one.exhaustion), one.exhaustion)
    return dict(samples)
