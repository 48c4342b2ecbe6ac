"""From objects to figures: one noun a file, and here what reads which stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from operators.collectors.gauges import Gauges
from operators.collectors.history import History
from operators.collectors.jobs import job_facts
from operators.collectors.ledger import Writes
from operators.collectors.nodes import Fleet, Holders, Nodes, Pods, node_facts, seen
from operators.collectors.queues import ClusterQueues, Usage, queue_facts
from operators.collectors.streams import Jobs, Workloads
from operators.collectors.tenants import LocalQueues, Namespaces, Places, Tenants
from operators.collectors.totals import Totals
from operators.collectors.work import Work
from operators.collectors.workloads import workload_facts
from operators.exposition.store import Store
from operators.kube.objects import ClusterQueue, Job, LocalQueue, Namespace, Node, Pod, Tenant, Workload
from operators.ledger.ledger import Ledger
from operators.queues import API_VERSION as KUEUE
from operators.stream.source import Listener, Sink, Source, Stream

T = TypeVar("T")

SITE: Final = "local"
"""The label ``site`` of everything that runs in this cluster."""

UNWRITTEN_SECONDS: Final = 120
"""Of what runs in this cluster, after which a ledger that was not written is an alert."""

_NOT_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"


def collectors(
    store: Store, ledger: Ledger, clock: Callable[[], float] = time.time
) -> dict[str, Stream[Any]]:
    """Every stream by its source's name, heard by what fills the store; they start the ledger's thread.

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
    holders = Holders(store, places, SITE)
    writes = Writes(store, clock)
    writes.expect(SITE, UNWRITTEN_SECONDS)

    def publish() -> None:
        with writes.attempt(SITE, "jobs"):
            totals.publish()

    def arrived(resource: str) -> Callable[[], None]:
        def first() -> None:
            waited_for.discard(resource)
            if waited_for <= work_itself:
                work.prepare()
            count()

        return first

    store.on_scrape(work.show)
    store.on_scrape(fleet.show)
    store.on_scrape(holders.show)
    ledger.start(publish)
    to_workloads = Workloads(work, workloads, arrived("workloads"))
    to_jobs = Jobs(work, jobs, arrived("jobs"))
    heard = (
        _heard(Source("namespaces", "v1", "Namespace", Namespace), Namespaces(places, arrived("namespaces"))),
        _heard(
            Source("localqueues", KUEUE, "LocalQueue", LocalQueue),
            LocalQueues(places, arrived("localqueues")),
        ),
        _heard(
            Source("clusterqueues", KUEUE, "ClusterQueue", ClusterQueue),
            ClusterQueues(gauges, places, usage, arrived("clusterqueues")),
            read=queue_facts,
        ),
        Stream(
            Source("workloads", KUEUE, "Workload", Workload),
            (Listener(to_workloads, read=workload_facts, early=to_workloads.early),),
            past=workloads,
        ),
        Stream(
            Source("jobs", "batch/v1", "Job", Job),
            (Listener(to_jobs, read=job_facts, early=to_jobs.early),),
            past=jobs,
        ),
        _heard(Source("nodes", "v1", "Node", Node), Nodes(fleet), read=node_facts),
        _heard(
            Source("pods", "v1", "Pod", Pod, field_selector=_NOT_ENDED),
            Pods(fleet, holders, work.stuck),
            read=seen,
        ),
        _heard(Source("tenants", "antenna.be/v1alpha1", "Tenant", Tenant, required=False), Tenants(store)),
    )
    return {stream.source.name: stream for stream in heard}


def _heard(source: Source[T], sink: Sink[Any], read: Callable[[T], Any] | None = None) -> Stream[T]:
    """A source with one listener. What ``read`` fails on is left out, counted and named; the rest is told."""
    return Stream(source, (Listener(sink, read=read),))
