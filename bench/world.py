"""What the measurements are made on: partners' queues, kwok's nodes, Jobs and their Workloads. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from operators.queues import (
    API_VERSION,
    GPU,
    LOCAL_QUEUE,
    QUEUE_LABEL,
    Cohort,
    Flavor,
    cluster_queue,
    cohort_objects,
    local_queue,
)
from operators.tenancy import Object, Quota, Tenant, namespace_name, namespace_objects

TENANTS: Final = 15
NODES: Final = 20
STATES: Final = ("running", "pending")
"""Jobs take turns in them. None is finished: only active Jobs have series of their own everywhere."""

# As long as real ones: they are put in the place of a template's, which keeps its length.
_TEMPLATE_UID: Final = {
    "Job": "00000000-aaaa-4aaa-8aaa-000000000000",
    "Workload": "00000000-bbbb-4bbb-8bbb-000000000000",
}
_SINCE: Final = "2026-01-05T08:00:00Z"

_COHORT: Final = Cohort("bench", (Flavor("h100"),), {"h100": {GPU: 8 * NODES}})
_TENANTS: Final = tuple(
    Tenant(
        name=f"bench-{number:02}",
        title=f"Partner {number}",
        ecosystem="flanders",
        sectors=("science-research",),
        quotas={"h100": {GPU: Quota(4), "cpu": Quota(64), "memory": Quota("512Gi")}},
    )
    for number in range(TENANTS)
)


def surroundings() -> list[Object]:
    """Nodes, and for each partner its namespace and queues, in an order in which they can be created."""
    return [
        *(_node(number) for number in range(NODES)),
        *cohort_objects(_COHORT),
        *(
            obj
            for tenant in _TENANTS
            for obj in (namespace_objects(tenant)[0], cluster_queue(tenant, _COHORT), local_queue(tenant))
        ),
    ]


def job(name: str, state: str, tenant: int = 0) -> Object:
    """A Job as a partner's person submits it, with the status that it has in this state."""
    container = {
        "name": "train",
        "image": "registry.example.org/team/train:2026.1",
        "command": ["python", "-m", "train", "--epochs", "90"],
        "resources": {"requests": {"cpu": "8", "memory": "64Gi", GPU: "1"}, "limits": {GPU: "1"}},
    }
    status = {"startTime": _SINCE, "active": 1, "ready": 1, "terminating": 0, "uncountedTerminatedPods": {}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace_name(_TENANTS[tenant].name),
            "labels": {QUEUE_LABEL: LOCAL_QUEUE, "team": "vision"},
        },
        "spec": {
            "suspend": state == "pending",
            "backoffLimit": 0,
            "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
        },
        "status": status if state == "running" else {},
    }


def workload(owner: Object, state: str) -> Object:
    """The Workload that Kueue makes for a Job, with the status that it has in this state.

    ``owner`` is the Job as the API server has it.
    """
    metadata = owner["metadata"]
    tenant = metadata["namespace"].removeprefix(namespace_name(""))
    reserved = {
        "clusterQueue": tenant,
        "podSetAssignments": [
            {
                "name": "main",
                "count": 1,
                "flavors": {"cpu": "h100", "memory": "h100", GPU: "h100"},
                "resourceUsage": {"cpu": "8", "memory": "64Gi", GPU: "1"},
            }
        ],
    }
    running = {
        "admission": reserved,
        "conditions": [
            _condition("QuotaReserved", "True", "QuotaReserved", f"Quota reserved in ClusterQueue {tenant}"),
            _condition("Admitted", "True", "Admitted", "The workload is admitted"),
        ],
    }
    message = (
        "couldn't assign flavors to pod set main: insufficient unused quota for "
        f"{GPU} in flavor h100, 1 more needed"
    )
    pending = {
        "conditions": [_condition("QuotaReserved", "False", "Pending", message)],
        "resourceRequests": [{"name": "main", "resources": {"cpu": "8", "memory": "64Gi", GPU: "1"}}],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Workload",
        "metadata": {
            "name": f"job-{metadata['name']}-1a2b3",
            "namespace": metadata["namespace"],
            "labels": {"kueue.x-k8s.io/job-uid": metadata["uid"]},
            "finalizers": ["kueue.x-k8s.io/resource-in-use"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "active": True,
            "queueName": LOCAL_QUEUE,
            "priority": 0,
            "podSets": [{"name": "main", "count": 1, "template": owner["spec"]["template"]}],
        },
        "status": running if state == "running" else pending,
    }


@dataclass(frozen=True)
class Template:
    """An object as the API server keeps it, of which others of its kind and state are copies."""

    key: str
    """Where etcd has it, with its namespace and name."""
    body: str
    name: str
    """Of its Job."""
    namespace: str

    def copy(self, number: int) -> tuple[str, str]:
        """The key and the body of the ``number``-th: another name, another uid, the next partner's."""
        name = f"bench-{number:08}"
        namespace = namespace_name(_TENANTS[number % TENANTS].name)
        key = self.key.replace(self.namespace, namespace).replace(self.name, name)
        body = self.body.replace(self.namespace, namespace).replace(self.name, name)
        tenant, own = (
            namespace.removeprefix(namespace_name("")),
            self.namespace.removeprefix(namespace_name("")),
        )
        body = body.replace(f'"{own}"', f'"{tenant}"').replace(
            f"ClusterQueue {own}", f"ClusterQueue {tenant}"
        )
        for uid in _TEMPLATE_UID.values():
            body = body.replace(uid, f"{number:08x}{uid[8:]}")
        return key, body


def template(live: Object, owner: Object) -> Template:
    """From an object as the API server returns it, and the Job that it belongs to (itself, for a Job)."""
    metadata = {k: v for k, v in live["metadata"].items() if k != "resourceVersion"}
    kind, namespace = live["kind"], metadata["namespace"]
    group = "jobs" if kind == "Job" else "kueue.x-k8s.io/workloads"
    body = json.dumps({**live, "metadata": metadata}, separators=(",", ":"))
    body = body.replace(owner["metadata"]["uid"], _TEMPLATE_UID["Job"])
    return Template(
        key=f"/registry/{group}/{namespace}/{metadata['name']}",
        body=body.replace(metadata["uid"], _TEMPLATE_UID[kind]),
        name=owner["metadata"]["name"],
        namespace=namespace,
    )


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _SINCE,
        "observedGeneration": 1,
    }


def _node(number: int) -> Object:
    amounts = {"cpu": "96", "memory": "1Ti", "pods": "110", GPU: "8"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"node-{number:02}",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        },
        "status": {"allocatable": amounts, "capacity": amounts},
    }
