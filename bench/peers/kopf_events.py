"""Workloads' states by kopf's ``on.event``, as its documentation shows it, into gauges."""

from __future__ import annotations

import argparse
import logging
import threading
from http.server import ThreadingHTTPServer
from typing import Any

import kopf
from prometheus_client import REGISTRY, Counter, Gauge, MetricsHandler

EVENTS = Counter("events", "Events handled")
STATE = Gauge("kopf_workload_admitted", "Whether a Workload is admitted", ["namespace", "name", "queue"])


@kopf.on.event("kueue.x-k8s.io", "v1beta2", "workloads")
def workload(
    type: str | None, namespace: str | None, name: str | None, spec: kopf.Spec, status: kopf.Status, **_: Any
) -> None:
    """One event of one Workload."""
    EVENTS.inc()
    labels = (str(namespace), str(name), str(spec.get("queueName", "")))
    if type == "DELETED":
        STATE.remove(*labels)
    else:
        STATE.labels(*labels).set("admission" in status)


def main() -> None:
    """Serve /metrics, and run kopf until killed. The kubeconfig is the one in $KUBECONFIG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), MetricsHandler.factory(REGISTRY))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kopf.configure(log_format=kopf.LogFormat.PLAIN)
    logging.getLogger().setLevel(logging.WARNING)
    kopf.run(clusterwide=True, standalone=True)


if __name__ == "__main__":
    main()
