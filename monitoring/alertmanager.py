"""Alertmanager as Kubernetes objects: a Deployment, a folder of its node and a name for each. Pure.

It knows no users, and whoever reaches it can silence alerts. NetworkPolicies let in who judges the rules,
the other one, and the head, through whose API server administrators ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml

from monitoring.oncall import SECRET, SECRETS, Oncall, alertmanager_config
from monitoring.parts import (
    NAMESPACE,
    Object,
    config_map,
    container,
    deployment,
    digest,
    local_volume,
    metadata,
)
from monitoring.scrape import ALERTMANAGER_PORT

NAME: Final = "alertmanager"
GOSSIP_PORT: Final = 9094
"""Of each other's silences and notifications, where there are two."""

ALERTS_ON_NODE: Final = "/var/lib/antenna/alerts"
"""Folder of a node where silences, and what has been told, lie."""

RESEND_SECONDS: Final = 30
"""Who judges the rules sends again what fires so often."""
_START_SECONDS: Final = RESEND_SECONDS + 15
"""Until it has heard of all that fires, so that it knows what is a cause and what follows from one."""

_SIZE: Final = "1Gi"
_CONFIG: Final = "/etc/antenna/alertmanager"
_STORAGE: Final = "/alertmanager"
_SNAPSHOT: Final = "10s"
"""How much of silences and of what has been told is lost at most when it is killed."""


def names(replicas: int) -> list[str]:
    """Of each one's Deployment, Service and volume."""
    return [f"{NAME}-{i}" for i in range(replicas)]


def address(name: str, port: int = ALERTMANAGER_PORT) -> str:
    """host:port of one."""
    return f"{name}.{NAMESPACE}.svc:{port}"


def alertmanager_objects(oncall: Oncall, *, image: str, nodes: Sequence[str]) -> list[Object]:
    """Everything in an order in which it can be applied; each lies on a node of its own, in their order."""
    text = yaml.safe_dump(alertmanager_config(oncall), sort_keys=False)
    config = config_map(NAME, NAME, {"alertmanager.yaml": text})
    ours = names(oncall.replicas)
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME, NAME)},
        config,
        *(
            part
            for name, node in zip(ours, nodes, strict=False)
            for part in (
                *local_volume(name, NAME, path=ALERTS_ON_NODE, node=node, size=_SIZE),
                _service(name),
                _deployment(name, image, [other for other in ours if other != name], digest([config])),
            )
        ),
    ]


def _service(name: str) -> Object:
    """A name for its pod's own address, which the other one and the rules' judge look up."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, NAME),
        "spec": {
            "clusterIP": "None",
            # Two that wait for each other would never be ready.
            "publishNotReadyAddresses": True,
            "selector": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": name},
            "ports": [{"name": "http", "port": ALERTMANAGER_PORT}, {"name": "gossip", "port": GOSSIP_PORT}],
        },
    }


def _deployment(name: str, image: str, others: Sequence[str], config_digest: str) -> Object:
    gossip = [f"--cluster.peer={address(other, GOSSIP_PORT)}" for other in others]
    arguments = [
        f"--config.file={_CONFIG}/alertmanager.yaml",
        f"--storage.path={_STORAGE}",
        f"--data.maintenance-interval={_SNAPSHOT}",
        f"--dispatch.start-delay={_START_SECONDS}s",
        f"--web.listen-address=:{ALERTMANAGER_PORT}",
        # Where it is while `antenna dashboard` runs.
        f"--web.external-url=http://127.0.0.1:{ALERTMANAGER_PORT}",
        f"--cluster.listen-address={f'0.0.0.0:{GOSSIP_PORT}' if others else ''}",
        # Which receiver is not reached, and not only whether some webhook is not.
        "--enable-feature=receiver-name-in-metrics",
        *gossip,
        "--log.format=json",
    ]
    mounts = [("storage", _STORAGE, False), ("config", _CONFIG, True), ("receivers", SECRETS, True)]
    made = container(NAME, image, arguments, mounts, cpu="20m", memory="32Mi", limit="128Mi")
    volumes = [
        {"name": "storage", "persistentVolumeClaim": {"claimName": name}},
        {"name": "config", "configMap": {"name": NAME}},
        # An administrator makes it, now or later; without it nothing is told where something is secret.
        {"name": "receivers", "secret": {"secretName": SECRET, "optional": True, "defaultMode": 0o440}},
    ]
    probe = {"httpGet": {"path": "/-/ready", "port": ALERTMANAGER_PORT}, "periodSeconds": 5}
    return deployment(
        name,
        NAME,
        containers=[{**made, "readinessProbe": probe}],
        volumes=volumes,
        config_digest=config_digest,
        pod={"serviceAccountName": NAME, "automountServiceAccountToken": False},
    )
