"""Partners that send jobs, and a kubelet that runs them, on a light control plane: load that never rests."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime

from operators.kube.errors import Conflict, KubernetesError, NotFound
from operators.queues import GPU, Cohort, Flavor, cohort_objects, tenant_objects
from operators.tenancy import Quota, Tenant, namespace_name
from tests.cluster.light import OWN_KUBELET

ECOSYSTEMS = ("flanders", "wallonia", "brussels-capital", "federal")
SECTORS = ("agri-food", "science-research", "construction")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def partners(prefix, flavor, count):
    """Some with GPUs of their own, most without, as in the Antenna."""
    return [
        Tenant(
            name=f"{prefix}-{number}",
            title=f"Partner {number}",
            ecosystem=ECOSYSTEMS[number % len(ECOSYSTEMS)],
            sectors=(SECTORS[number % len(SECTORS)], "digital-services"),
            quotas={flavor: {GPU: Quota(2 if number < 3 else 0), "cpu": Quota(20), "memory": Quota("64Gi")}},
        )
        for number in range(count)
    ]


class Load:
    """Jobs of partners, and what runs them. ``hold`` stops everything that the test itself does."""

    def __init__(self, cluster, tenants, nodes):
        """``nodes``: GPUs by the node's name."""
        self.cluster, self.tenants = cluster, tenants
        for node, gpus in nodes.items():
            self._node(node, gpus)
        self.moving = threading.Lock()
        self.stopping = threading.Event()
        self.threads = []
        self.broken = []
        self.closed = False
        """Nobody sends anything any more."""

    def start(self, *works):
        """Begin: the kubelet, and whatever else is to be done again and again."""
        for work in (self.kubelet, *works):
            thread = threading.Thread(target=self._repeat, args=(work,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert self.broken == []

    @contextmanager
    def hold(self):
        with self.moving:
            yield

    def submit(self, tenant, gpus, seconds, *, pods=1, at_once=None, outcome="Succeeded", **metadata):
        """A job whose pods, all ``at_once`` unless told otherwise, run for so long and then end so."""
        requests = {"cpu": "500m", "memory": "1Gi", GPU: str(gpus)}
        container = {
            "name": "work",
            "image": "example/train",
            "securityContext": RESTRICTED,
            "resources": {"requests": requests, "limits": {GPU: str(gpus)}},
        }
        plan = {**OWN_KUBELET, "test/seconds": str(seconds), "test/outcome": outcome}
        return self.cluster.create(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {
                    "generateName": "job-",
                    "namespace": namespace_name(tenant.name),
                    **metadata,
                },
                "spec": {
                    "backoffLimit": 0 if outcome == "Succeeded" else 1,
                    "parallelism": at_once or pods,
                    "completions": pods,
                    "template": {
                        "metadata": {"annotations": plan},
                        "spec": {"containers": [container], "restartPolicy": "Never"},
                    },
                },
            }
        )

    def jobs(self):
        ours = {namespace_name(t.name) for t in self.tenants}
        return [j for j in self.cluster.list_objects("batch/v1", "Job") if j["metadata"]["namespace"] in ours]

    def kubelet(self):
        """One round: pods that were given a node run, end when their time is over, and go when told to."""
        for pod in self.cluster.list_objects("v1", "Pod"):
            metadata = pod["metadata"]
            plan = metadata.get("annotations", {})
            if "test/seconds" not in plan or "nodeName" not in pod["spec"]:
                continue
            phase = pod["status"]["phase"]
            if "deletionTimestamp" in metadata:
                if phase in ("Pending", "Running"):
                    self._status(pod, "Failed")
                self._remove(pod)
            elif phase == "Pending":
                self._status(pod, "Running")
            elif phase == "Running":
                since = datetime.fromisoformat(pod["status"]["startTime"])
                if (datetime.now(UTC) - since).total_seconds() >= float(plan["test/seconds"]):
                    self._status(pod, plan["test/outcome"])

    def _status(self, pod, phase):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        running = phase == "Running"
        state = (
            {"running": {"startedAt": now}}
            if running
            else {
                "terminated": {
                    "exitCode": int(phase == "Failed"),
                    "startedAt": now,
                    "finishedAt": now,
                    "reason": "Ended",
                }
            }
        )
        status = {
            "phase": phase,
            "startTime": pod["status"].get("startTime", now),
            "conditions": [
                {"type": kind, "status": str(running), "lastTransitionTime": now}
                for kind in ("Ready", "ContainersReady")
            ],
            "containerStatuses": [
                {
                    "name": "work",
                    "image": "example/train",
                    "imageID": "",
                    "restartCount": 0,
                    "ready": running,
                    "state": state,
                }
            ],
        }
        metadata = pod["metadata"]
        self.cluster.patch(
            "v1",
            "Pod",
            metadata["name"],
            metadata["namespace"],
            {"status": status},
            subresource="status",
            content_type="application/strategic-merge-patch+json",
        )

    def _remove(self, pod):
        path = self.cluster.path("v1", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.cluster.request("DELETE", path, body={"gracePeriodSeconds": 0})

    def _node(self, name, gpus):
        labels = {"kubernetes.io/hostname": name, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self.cluster.apply(node, manager="test")
        has = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(gpus)}
        patch = {"status": {"capacity": has, "allocatable": has}}
        self.cluster.patch("v1", "Node", name, None, patch, subresource="status")

    def _repeat(self, work):
        while not self.stopping.is_set():
            try:
                with self.moving:
                    work()
            except (NotFound, Conflict):
                pass  # somebody else was quicker
            except KubernetesError as error:
                self.broken.append(error)
            time.sleep(0.3)


class World(Load):
    """Tenants over a few GPU nodes."""

    def __init__(self, cluster, name, *, tenants, nodes=2, gpus=4, seed=1):
        self.name = name
        self.random = random.Random(seed)  # noqa: S311
        flavor = f"{name}-gpu"
        cohort = Cohort(name, (Flavor(flavor),))
        there = partners(name, flavor, tenants)
        for obj in cohort_objects(cohort):
            cluster.apply(obj, manager="test")
        for tenant in there:
            for obj in tenant_objects(tenant, cohort):
                cluster.apply(obj, manager="test")
        super().__init__(cluster, there, {f"{name}-{number}": gpus for number in range(nodes)})
