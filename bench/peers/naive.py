"""Metrics of Jobs and queues the straightforward way: the official client, prometheus_client's collector.

It lists Jobs and Workloads once, keeps them up to date from two watch threads, and makes all samples
anew at each scrape. The Job families are as many as the operator's, with the same labels.
"""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

JOB = ("namespace", "job")


class Jobs(Collector):
    """What is known now, and its samples."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: dict[str, Any] = {}
        self.workloads: dict[str, Any] = {}
        self.events = 0

    def follow(self, kept: dict[str, Any], listed: Callable[..., Any], name: Callable[[Any], str]) -> None:
        """Keep these up to date for ever; lists again when the server has forgotten the version."""
        version = self.replace(kept, listed, name)
        while True:
            try:
                for event in watch.Watch().stream(listed, resource_version=version):  # type: ignore[no-untyped-call]
                    with self.lock:
                        self.events += 1
                        if event["type"] == "DELETED":
                            kept.pop(name(event["object"]), None)
                        else:
                            kept[name(event["object"])] = event["object"]
            except ApiException:
                version = self.replace(kept, listed, name)

    def replace(self, kept: dict[str, Any], listed: Callable[..., Any], name: Callable[[Any], str]) -> str:
        """List all; the version that the list is of."""
        more = None
        found = {}
        while True:
            page = listed(limit=500, _continue=more)
            if isinstance(page, dict):
                items, metadata = page["items"], page["metadata"]
                more, version = metadata.get("continue"), metadata["resourceVersion"]
            else:
                items, metadata = page.items, page.metadata
                more, version = metadata._continue, metadata.resource_version
            found.update({name(item): item for item in items})
            if not more:
                break
        with self.lock:
            kept.clear()
            kept.update(found)
        return str(version)

    def collect(self) -> Iterator[Metric]:
        """All samples of this moment."""
        with self.lock:
            jobs, workloads = list(self.jobs.values()), list(self.workloads.values())
        yield from job_families(jobs, workloads)
        yield from queue_families(workloads)


def job_families(jobs: list[Any], workloads: list[Any]) -> Iterator[Metric]:
    """Eleven families with a sample a Job."""
    queues = {
        owner["uid"]: w["status"].get("admission", {}).get("clusterQueue", "")
        for w in workloads
        for owner in w["metadata"].get("ownerReferences", ())
    }
    info = GaugeMetricFamily("naive_job_info", "A Job", labels=[*JOB, "queue", "owner", "uid"])
    for job in jobs:
        meta = job.metadata
        owner = (meta.labels or {}).get("team", "")
        info.add_metric([meta.namespace, meta.name, queues.get(meta.uid, ""), owner, meta.uid], 1)
    yield info
    state = GaugeMetricFamily("naive_job_state", "Its state", labels=[*JOB, "state"])
    for job in jobs:
        state.add_metric([job.metadata.namespace, job.metadata.name, job_state(job)], 1)
    yield state
    for name, value in VALUES.items():
        family = GaugeMetricFamily(f"naive_job_{name}", name, labels=JOB)
        for job in jobs:
            family.add_metric([job.metadata.namespace, job.metadata.name], value(job))
        yield family


def queue_families(workloads: list[Any]) -> Iterator[Metric]:
    """Workloads by queue and state."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in workloads:
        admission = one["status"].get("admission")
        counts[one["metadata"]["namespace"], "running" if admission else "pending"] += 1
    family = GaugeMetricFamily("naive_queue_jobs", "Jobs by queue and state", labels=["queue", "state"])
    for labels, count in counts.items():
        family.add_metric(labels, count)
    yield family


def job_state(job: Any) -> str:
    """Its state in one word."""
    if job.spec.suspend:
        return "pending"
    return "running" if job.status.active else "finished"


def requested(job: Any, resource: str) -> float:
    """What its pods ask for together."""
    total = 0.0
    for container in job.spec.template.spec.containers:
        text = (container.resources.requests or {}).get(resource, "0")
        digits = text.rstrip("GiMTKm")
        total += float(digits) * {"Gi": 2.0**30, "Mi": 2.0**20, "m": 0.001}.get(text[len(digits) :], 1.0)
    return total * (job.spec.parallelism or 1)


def timestamp(when: Any) -> float:
    """Seconds since the epoch; 0 for never."""
    return when.timestamp() if when else 0.0


VALUES: dict[str, Callable[[Any], float]] = {
    "gpus": lambda job: requested(job, "nvidia.com/gpu"),
    "cpu_cores": lambda job: requested(job, "cpu"),
    "memory_bytes": lambda job: requested(job, "memory"),
    "created": lambda job: timestamp(job.metadata.creation_timestamp),
    "start_time": lambda job: timestamp(job.status.start_time),
    "active": lambda job: job.status.active or 0,
    "succeeded": lambda job: job.status.succeeded or 0,
    "failed": lambda job: job.status.failed or 0,
    "suspended": lambda job: float(bool(job.spec.suspend)),
}


def main() -> None:
    """Serve /metrics, and /readyz once all is listed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    config.load_kube_config(given.kubeconfig)  # type: ignore[no-untyped-call]
    api, custom = client.BatchV1Api(), client.CustomObjectsApi()

    def workloads(**query: Any) -> Any:
        return custom.list_cluster_custom_object("kueue.x-k8s.io", "v1beta2", "workloads", **query)

    kept = Jobs()
    registry = CollectorRegistry()
    registry.register(kept)

    class Handler(MetricsHandler.factory(registry)):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802 (the base class' name)
            if self.path == "/metrics":
                super().do_GET()
                return
            ready = bool(kept.jobs and kept.workloads)
            self.send_response(200 if ready else 503)
            self.end_headers()
            self.wfile.write(f"events_total {kept.events}\n".encode())

    for arguments in (
        (kept.jobs, api.list_job_for_all_namespaces, lambda job: job.metadata.uid),
        (kept.workloads, workloads, lambda workload: workload["metadata"]["uid"]),
    ):
        threading.Thread(target=kept.follow, args=arguments, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
