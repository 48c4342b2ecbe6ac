"""What must hold whatever a partner does: its pods run on no more GPUs than Kueue counts for its queue."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from operators.kube.client import Cluster, connect
from operators.kube.errors import Unreachable
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU
from tests.cluster import truth
from tests.cluster.truth import amount, condition, holds, seconds

Object = dict[str, Any]

LASTING: Final = 20.0
"""Seconds after which it is nothing that Kueue has under way; the alert waits for two minutes."""


def beside_the_queue(cluster: Cluster) -> dict[str, tuple[int, int]]:
    """Partners' namespaces that hold more than is counted: GPUs of running pods, GPUs that Kueue counts.

    What is counted is asked for before the pods and after: work that comes or goes meanwhile counts.
    """
    began = time.time() - 1  # the API's own stamps are whole seconds
    before = cluster.list_objects(KUEUE, "Workload")
    pods = cluster.list_objects("v1", "Pod")
    after = cluster.list_objects(KUEUE, "Workload")
    counted: Counter[str] = Counter()
    # As it was before where it has ended or given some back since, as it is now where it was let run since.
    held: dict[str, tuple[str, int]] = {}
    for one in (*after, *before):
        metadata = one["metadata"]
        most = max(reserved(one, began), held.get(metadata["uid"], ("", 0))[1])
        held[metadata["uid"]] = (metadata["namespace"], most)
    for namespace, gpus in held.values():
        counted[namespace] += gpus
    running: Counter[str] = Counter()
    for pod in pods:
        running[pod["metadata"]["namespace"]] += on_a_node(pod)
    return {
        namespace: (gpus, counted[namespace])
        for namespace, gpus in running.items()
        if namespace.startswith("tenant-") and gpus > counted[namespace]
    }


def lastingly_beside_the_queue(cluster: Cluster, seconds: float = LASTING) -> dict[str, tuple[int, int]]:
    """The same, of what stays so.

    Kueue gives quota back once a Job that it stops counts no active pods. One that is stopped right after it
    began counts none yet, though its first pods are being made: these are told to end in the same breath.
    https://github.com/kubernetes-sigs/kueue/blob/v0.19.2/pkg/controller/jobframework/reconciler.go#L581
    """
    deadline = time.monotonic() + seconds
    while (found := beside_the_queue(cluster)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def reserved(workload: Object, since: float) -> int:
    """GPUs of the quota that a Workload holds, or held at a moment since then."""
    status = workload.get("status") or {}
    if not status.get("admission"):
        return 0
    if holds(workload, "Finished") and seconds(condition(workload, "Finished")["lastTransitionTime"]) < since:
        return 0
    gone = {pods["name"]: pods["count"] for pods in status.get("reclaimablePods", ())}
    total = 0
    for given in status["admission"]["podSetAssignments"]:
        (of_all,) = (p["count"] for p in workload["spec"]["podSets"] if p["name"] == given["name"])
        left = min(given["count"], of_all - gone.get(given["name"], 0))
        each = amount(given.get("resourceUsage", {}).get(GPU, 0)) / (given["count"] or 1)
        total += int(each * left)
    return total


def on_a_node(pod: Object) -> int:
    """GPUs that a pod holds."""
    if not truth.on_a_node(pod):
        return 0
    limits = (c.get("resources", {}).get("limits", {}) for c in pod["spec"]["containers"])
    return sum(int(amount(one.get(GPU, 0))) for one in limits)


def pushed_off(pod: Object) -> bool:
    """Whether the scheduler took a pod off its node to make room for another's."""
    return condition(pod, "DisruptionTarget")["reason"] == "PreemptionByScheduler"


def follow(kubeconfig: Path, pods: dict[str, Object], stop: threading.Event) -> None:
    """Keep each pod as it was last, by its uid, until told to stop."""
    client = connect(kubeconfig)
    reached = ""
    while not stop.is_set():
        with suppress(Unreachable):  # a moment's trouble
            for event in client.watch("v1", "Pod", resource_version=reached, seconds=5):
                reached = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    pods[event.object["metadata"]["uid"]] = event.object
    client.close()
