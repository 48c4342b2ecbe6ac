"""The Tenant controller in a cluster, with the rights that it has on a site and none besides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators import controllers
from operators.api import API_VERSION
from operators.api.crd import definitions
from operators.api.tenant import KIND, tenant_object
from operators.confinement import Own, confinement
from operators.kube.client import Cluster, connect
from operators.kube.errors import NotFound
from operators.manifests import CA_CONFIG_MAP, LEASE, OWN_RIGHTS, rules
from operators.queues import GPU, LOCAL_QUEUE, QUEUE_LABEL, Cohort
from operators.rights import CONTROLLERS
from operators.tenancy import Tenant, namespace_name, partners_role
from tests.cluster.access import Access
from tests.cluster.patience import eventually

Object = dict[str, Any]
NAMESPACE = "antenna-test"
NAME = "tenant-controller"


@dataclass
class Running:
    """A controller that runs."""

    kubeconfig: Path
    errors: list[None] = field(default_factory=list)
    """An entry for each time that it could not do its work."""
    made: set[str] = field(default_factory=set)
    """Names of the Tenants that tests have made: it ends when all of them are gone."""


@contextmanager
def tenant_controller(admin: Access, folder: Path) -> Iterator[Running]:
    """Running when entered, ended when left; the CRDs stay. ``folder`` takes its kubeconfig."""
    client = connect(admin.kubeconfig)
    for obj in [*definitions(), *operators_account()]:
        client.apply(obj, manager="test")
    client.close()
    admin.kubectl("wait", "--for=condition=Established", "crd/tenants.antenna.be", "--timeout=30s")
    running = Running(operators_kubeconfig(admin, folder))
    stop = threading.Event()
    cluster = connect(running.kubeconfig)
    thread = threading.Thread(
        target=controllers.run,
        args=(cluster, running.kubeconfig, stop, lambda: running.errors.append(None)),
        name="controllers",
    )
    thread.start()
    try:
        yield running
        # A namespace takes its time to go, and no test needs to wait for that.
        there = connect(admin.kubeconfig)
        eventually(lambda: not any(there.find(API_VERSION, KIND, name) for name in running.made), 90)
        there.close()
    finally:
        stop.set()
        thread.join(30)
        cluster.close()
    assert not thread.is_alive(), "the controllers did not stop within 30 s"


def operators_account() -> list[Object]:
    """The operator's service account, with CONTROLLERS, and OWN_RIGHTS in its own namespace."""
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": rules(CONTROLLERS),
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "rules": rules(OWN_RIGHTS),
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": NAMESPACE},
        },
        partners_role(),
        *confinement(Own(NAME, NAMESPACE, LEASE, CA_CONFIG_MAP)),
    ]


def operators_kubeconfig(
    admin: Access, folder: Path, *, namespace: str = NAMESPACE, name: str = NAME
) -> Path:
    """A kubeconfig with a token of the operator's service account."""
    token = admin.kubectl("-n", namespace, "create", "token", name).strip()
    config = yaml.safe_load(admin.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def given(controller: Running, cluster: Cluster) -> Iterator[Callable[..., Object]]:
    """Makes a Tenant, or changes it to this; all are deleted after the test."""
    names: set[str] = set()

    def tenant(partner: Tenant, cohort: Cohort) -> Object:
        names.add(partner.name)
        return cluster.apply(tenant_object(partner, cohort), manager="test")

    yield tenant
    controller.made |= names
    for name in names:
        with suppress(NotFound):
            cluster.delete(API_VERSION, KIND, name)


def train(cluster: Cluster, tenant: str, *, gpus: int, queue: str = LOCAL_QUEUE) -> Object:
    """A Job of a partner that runs until it is deleted."""
    container = {
        "name": "train",
        "image": "example/train",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {
            "requests": {"cpu": "1", "memory": "1Gi", GPU: str(gpus)},
            "limits": {GPU: str(gpus)},
        },
    }
    return cluster.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "generateName": "train-",
                "namespace": namespace_name(tenant),
                "labels": {QUEUE_LABEL: queue},
            },
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
            },
        }
    )


def runs(cluster: Cluster, job: Object) -> bool:
    """Whether Kueue has let a Job run."""
    live = cluster.get("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])
    return live["spec"]["suspend"] is False


def is_ready(cluster: Cluster, name: str) -> bool:
    """Whether a Tenant is Ready as it is declared now."""
    return ready(cluster, name).get("status") == "True"


def refused(cluster: Cluster, name: str) -> str:
    """The reason for which a Tenant is refused as it is declared now; "" while it is not."""
    condition = ready(cluster, name)
    return str(condition["reason"]) if condition.get("status") == "False" else ""


def ready(cluster: Cluster, name: str) -> Object:
    """The Ready condition of a Tenant, of its present generation; empty while there is none."""
    tenant = cluster.get(API_VERSION, KIND, name)
    for condition in (tenant.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and (
            condition["observedGeneration"] == tenant["metadata"]["generation"]
        ):
            return dict(condition)
    return {}
