"""The Tenant controller in a cluster, with the rights that it has on a site and none besides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from operators import controllers
from operators.api.crd import definitions
from operators.controllers.rights import RIGHTS
from operators.k8s import Cluster, connect
from tests.cluster.light import LightCluster

Object = dict[str, Any]
NAMESPACE = "antenna-system"
NAME = "antenna-operator"


@dataclass
class Running:
    """A controller that runs. ``errors`` has an entry for each time that it could not do its work."""

    kubeconfig: Path
    errors: list[None] = field(default_factory=list)


@contextmanager
def tenant_controller(light: LightCluster, folder: Path) -> Iterator[Running]:
    """Running when entered, ended when left; the CRDs stay. ``folder`` takes its kubeconfig."""
    admin = connect(light.kubeconfig)
    for obj in [*definitions(), *operators_account()]:
        admin.apply(obj, manager="test")
    admin.close()
    light.kubectl("wait", "--for=condition=Established", "crd/tenants.antenna.be", "--timeout=30s")
    running = Running(operators_kubeconfig(light, folder))
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
    finally:
        stop.set()
        thread.join(30)
        cluster.close()
    assert not thread.is_alive(), "the controllers did not stop within 30 s"


def operators_account() -> list[Object]:
    """The operator's service account, bound to a ClusterRole of RIGHTS."""
    rules: list[Object] = []
    for right in RIGHTS:
        rule: Object = {
            "apiGroups": [right.group],
            "resources": list(right.resources),
            "verbs": list(right.verbs),
        }
        rules.append({**rule, "resourceNames": list(right.names)} if right.names else rule)
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
            "rules": rules,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    ]


def operators_kubeconfig(light: LightCluster, folder: Path) -> Path:
    """A kubeconfig with a token of the operator's service account."""
    token = light.kubectl("-n", NAMESPACE, "create", "token", NAME).strip()
    config = yaml.safe_load(light.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def ready(cluster: Cluster, name: str) -> Object:
    """The Ready condition of a Tenant, of its present generation; empty while there is none."""
    tenant = cluster.get("antenna.be/v1alpha1", "Tenant", name)
    for condition in (tenant.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and (
            condition["observedGeneration"] == tenant["metadata"]["generation"]
        ):
            return dict(condition)
    return {}
