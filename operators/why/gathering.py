"""Gathers what an explanation needs from the API server; the only I/O of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from operators.kube.client import Cluster
from operators.queues import API_VERSION
from operators.why import reading
from operators.why.facts import Cohort, Facts, Node, Queue, Waiting
from operators.why.reading import JOB_UID_LABEL

Object = dict[str, Any]
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True)
class Surroundings:
    """What all jobs share: read once, used for many explanations."""

    now: datetime
    queues: tuple[Queue, ...]
    cohorts: Sequence[Object]
    local_queues: Sequence[Object]
    checks: Sequence[Object]
    nodes: tuple[Node, ...]


def surroundings(cluster: Cluster, now: datetime, *, room: bool = True) -> Surroundings:
    """Queues, cohorts, admission checks and nodes, as they are now.

    Without ``room`` it is left out what is free on the nodes, for which all pods must be read.
    """

    def kueue(kind: str) -> list[Object]:
        return cluster.list_objects(API_VERSION, kind)

    pods = cluster.list_objects("v1", "Pod", fields=_NOT_ENDED) if room else ()
    return Surroundings(
        now=now,
        queues=tuple(reading.queue(q) for q in kueue("ClusterQueue")),
        cohorts=kueue("Cohort"),
        local_queues=kueue("LocalQueue"),
        checks=kueue("AdmissionCheck"),
        nodes=reading.nodes(cluster.list_objects("v1", "Node"), pods),
    )


def facts(
    cluster: Cluster,
    job: Object,
    around: Surroundings,
    *,
    workload: Object | None = None,
    waiting: Callable[[str], tuple[Waiting, ...]] | None = None,
) -> Facts:
    """All about one Job. Raises KubernetesError.

    ``workload``, and what else is ``waiting`` in a ClusterQueue, are asked of the server unless given.
    """
    namespace, uid = job["metadata"]["namespace"], job["metadata"]["uid"]
    found = workload or _workload(cluster, namespace, uid)
    controllers = {c["metadata"]["name"]: c["spec"]["controllerName"] for c in around.checks}
    work = reading.work(found, controllers) if found else None
    doors = [q for q in around.local_queues if q["metadata"]["namespace"] == namespace]
    door = next((q for q in doors if work and q["metadata"]["name"] == work.queue), None)
    name = door["spec"]["clusterQueue"] if door else ""
    queue = next((q for q in around.queues if q.name == name), None)
    in_line = work is not None and not work.holds("QuotaReserved")
    others = (waiting or partial(_others, cluster, around))(name) if queue and in_line else ()
    known = Facts(
        now=around.now,
        job=reading.job(job),
        work=work,
        local_queues=tuple(q["metadata"]["name"] for q in doors),
        local_queue_held=door is not None and (door["spec"].get("stopPolicy") or "None") != "None",
        queue_name=name,
        queue=queue,
        cohort=_cohort(queue, around) if queue and queue.cohort else None,
        waiting=tuple(other for other in others if work and other.place != work.place),
        nodes=around.nodes,
    )
    return known if in_line else replace(known, **_of_pods(cluster, namespace, uid))


def _workload(cluster: Cluster, namespace: str, uid: str) -> Object | None:
    """The Job's Workload. While one takes the other's place there may be two."""
    own = cluster.list_objects(API_VERSION, "Workload", namespace, labels=f"{JOB_UID_LABEL}={uid}")
    return max(own, key=lambda w: str(w["metadata"]["creationTimestamp"]), default=None)


def _of_pods(cluster: Cluster, namespace: str, uid: str) -> dict[str, Any]:
    """The fields of Facts that are about the Job's pods."""
    labels = f"batch.kubernetes.io/controller-uid={uid}"
    pods = cluster.list_objects("v1", "Pod", namespace, labels=labels, fields=_NOT_ENDED)
    fields = f"involvedObject.uid={uid},reason=FailedCreate"
    events = cluster.list_objects("v1", "Event", namespace, fields=fields)
    return {"pods": tuple(reading.pod(p) for p in pods), "refusal": reading.refusal(events)}


def doors(around: Surroundings, queue: str) -> set[tuple[str, str]]:
    """(namespace, name) of the LocalQueues that lead to a ClusterQueue."""
    found = [q["metadata"] for q in around.local_queues if q["spec"]["clusterQueue"] == queue]
    return {(door["namespace"], door["name"]) for door in found}


def _cohort(queue: Queue, around: Surroundings) -> Cohort:
    return reading.cohort(queue.cohort, around.queues, around.cohorts)


def _others(cluster: Cluster, around: Surroundings, queue: str) -> tuple[Waiting, ...]:
    """What waits in the ClusterQueue, through whichever LocalQueue it came."""
    names = doors(around, queue)
    return tuple(
        reading.waiting(w)
        for namespace in sorted({namespace for namespace, _ in names})
        for w in cluster.list_objects(API_VERSION, "Workload", namespace)
        if (namespace, w["spec"].get("queueName", "")) in names and reading.waits(w)
    )
