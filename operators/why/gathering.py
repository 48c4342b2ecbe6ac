"""Gathers what an explanation needs from the API server; the only I/O of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from operators.k8s import Cluster
from operators.queues import API_VERSION
from operators.why import reading
from operators.why.facts import Cohort, Facts, Node, Queue, Waiting
from operators.why.reading import JOB_UID_LABEL

Object = dict[str, Any]
_UNENDED = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True)
class Surroundings:
    """What all jobs share: read once, used for many explanations."""

    now: datetime
    queues: tuple[Queue, ...]
    cohorts: Sequence[Object]
    local_queues: Sequence[Object]
    checks: Sequence[Object]
    nodes: tuple[Node, ...]


def surroundings(cluster: Cluster, now: datetime) -> Surroundings:
    """Queues, cohorts, admission checks and nodes, as they are now."""

    def kueue(kind: str) -> list[Object]:
        return cluster.list_objects(API_VERSION, kind)

    pods = cluster.list_objects("v1", "Pod", fields=_UNENDED)
    return Surroundings(
        now=now,
        queues=tuple(reading.queue(q) for q in kueue("ClusterQueue")),
        cohorts=kueue("Cohort"),
        local_queues=kueue("LocalQueue"),
        checks=kueue("AdmissionCheck"),
        nodes=reading.nodes(cluster.list_objects("v1", "Node"), pods),
    )


def facts(cluster: Cluster, job: Object, around: Surroundings) -> Facts:
    """All about one Job. Raises KubernetesError."""
    meta = job["metadata"]
    namespace, uid = meta["namespace"], meta["uid"]
    own = cluster.list_objects(API_VERSION, "Workload", namespace, labels=f"{JOB_UID_LABEL}={uid}")
    found = max(own, key=lambda w: w["metadata"]["creationTimestamp"], default=None)
    controllers = {c["metadata"]["name"]: c["spec"]["controllerName"] for c in around.checks}
    work = reading.work(found, controllers) if found else None
    doors = [q for q in around.local_queues if q["metadata"]["namespace"] == namespace]
    door = next((q for q in doors if work and q["metadata"]["name"] == work.queue), None)
    name = door["spec"]["clusterQueue"] if door else ""
    queue = next((q for q in around.queues if q.name == name), None)
    queues_for_quota = work is not None and not work.holds("QuotaReserved")
    return Facts(
        now=around.now,
        job=reading.job(job),
        work=work,
        local_queues=tuple(q["metadata"]["name"] for q in doors),
        local_queue_held=door is not None and (door["spec"].get("stopPolicy") or "None") != "None",
        queue_name=name,
        queue=queue,
        cohort=_cohort(queue, around) if queue and queue.cohort else None,
        waiting=_others(cluster, name, uid, around) if queue and queues_for_quota else (),
        pods=tuple(
            reading.pod(p)
            for p in cluster.list_objects(
                "v1", "Pod", namespace, labels=f"batch.kubernetes.io/controller-uid={uid}", fields=_UNENDED
            )
        ),
        refusal=reading.refusal(
            cluster.list_objects(
                "v1", "Event", namespace, fields=f"involvedObject.uid={uid},reason=FailedCreate"
            )
        ),
        nodes=around.nodes,
    )


def _cohort(queue: Queue, around: Surroundings) -> Cohort:
    found = next((c for c in around.cohorts if c["metadata"]["name"] == queue.cohort), None)
    return reading.cohort(queue.cohort, around.queues, found)


def _others(cluster: Cluster, queue: str, uid: str, around: Surroundings) -> tuple[Waiting, ...]:
    """What else waits in the ClusterQueue, through whichever LocalQueue it came."""
    doors = [q["metadata"] for q in around.local_queues if q["spec"]["clusterQueue"] == queue]
    names = {(door["namespace"], door["name"]) for door in doors}
    return tuple(
        reading.waiting(w)
        for namespace in sorted({namespace for namespace, _ in names})
        for w in cluster.list_objects(API_VERSION, "Workload", namespace)
        if (namespace, w["spec"].get("queueName", "")) in names
        and reading.waits(w)
        and (w["metadata"].get("labels") or {}).get(JOB_UID_LABEL) != uid
    )
