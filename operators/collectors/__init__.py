"""From objects to figures: one noun a file, and here what reads which stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from operators.collectors.gauges import Gauges
from operators.collectors.history import History
from operators.collectors.jobs import job_facts
from operators.collectors.nodes import Fleet, Nodes, Pods
from operators.collectors.queues import ClusterQueues, Usage
from operators.collectors.streams import Jobs, Workloads
from operators.collectors.tenants import LocalQueues, Namespaces, Places, Tenants
from operators.collectors.totals import Totals
from operators.collectors.work import Work
from operators.collectors.workloads import workload_facts
from operators.exposition.store import Store
from operators.ledger.ledger import Ledger
from operators.objects import ClusterQueue, Job, LocalQueue, Namespace, Node, Pod, Tenant, Workload
from operators.queues import API_VERSION as KUEUE
from operators.stream.source import Sink, Source

SITE: Final = "local"
"""The label ``site`` of everything that runs in this cluster."""

_NOT_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"


def collectors(
    store: Store, ledger: Ledger, clock: Callable[[], float] = time.time
) -> list[tuple[Source[Any], Sink[Any]]]:
    """Every stream and what reads it; they fill the store, and start the ledger's thread.

    Figures of work show once all that they depend on was listed, counters and histograms of it once what
    was missed is told too; those of nodes and tenants do not wait for that. ``clock`` tells the time in
    seconds since the epoch. The streams call the sinks under ``store.writing``.
    """
    gauges = Gauges(store)
    places = Places()
    usage = Usage(gauges, places, SITE)
    work_itself = {"workloads", "jobs"}
    waited_for = {"namespaces", "localqueues", "clusterqueues", *work_itself}

    def count() -> None:
        if not waited_for and history.gathering:
            work.open()
            if history.whole:
                work.count(ledger.present(), ledger.seen(), history.take())

    history = History(ledger.positions(), count)
    workloads, jobs = history.of("workloads", workload_facts), history.of("jobs", job_facts)
    totals = Totals(store, ledger, clock, SITE, history.positions)
    work = Work(store=store, gauges=gauges, totals=totals, places=places, usage=usage, clock=clock, site=SITE)
    fleet = Fleet(store, SITE)

    def arrived(resource: str) -> Callable[[], None]:
        def first() -> None:
            waited_for.discard(resource)
            if waited_for <= work_itself:
                work.prepare()
            count()

        return first

    store.on_scrape(work.show)
    store.on_scrape(fleet.show)
    ledger.start(totals.publish)
    to_workloads = Workloads(work, workloads, arrived("workloads"))
    to_jobs = Jobs(work, jobs, arrived("jobs"))
    return [
        (Source("namespaces", "v1", "Namespace", Namespace), Namespaces(places, arrived("namespaces"))),
        (
            Source("localqueues", KUEUE, "LocalQueue", LocalQueue),
            LocalQueues(places, arrived("localqueues")),
        ),
        (
            Source("clusterqueues", KUEUE, "ClusterQueue", ClusterQueue),
            ClusterQueues(gauges, places, usage, arrived("clusterqueues")),
        ),
        (
            Source(
                *("workloads", KUEUE, "Workload", Workload),
                read=workload_facts,
                past=workloads,
                early=to_workloads.early,
            ),
            to_workloads,
        ),
        (
            Source("jobs", "batch/v1", "Job", Job, read=job_facts, past=jobs, early=to_jobs.early),
            to_jobs,
        ),
        (Source("nodes", "v1", "Node", Node), Nodes(fleet)),
        (Source("pods", "v1", "Pod", Pod, field_selector=_NOT_ENDED), Pods(fleet, work.stuck)),
        (
            Source("tenants", "antenna.be/v1alpha1", "Tenant", Tenant, required=False),
            Tenants(store),
        ),
    ]
