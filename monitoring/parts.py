"""What monitoring's objects are put together from: names, confined pods, folders of a node. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

Object = dict[str, Any]

NAMESPACE: Final = "antenna-monitoring"

_USER: Final = 65532


def labels(app: str) -> dict[str, str]:
    """Of all that belongs to one program."""
    return {"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "antenna"}


def metadata(name: str, app: str) -> Object:
    """Of an object in monitoring's namespace."""
    return {"name": name, "namespace": NAMESPACE, "labels": labels(app)}


def config_map(name: str, app: str, data: Mapping[str, str]) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, app), "data": dict(data)}


def digest(config: Sequence[Object]) -> str:
    """Another one makes another pod, so that a configuration that is wrong fails where it is applied."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def local_volume(name: str, app: str, *, path: str, node: str, size: str) -> list[Object]:
    """A folder of a node, and the one claim to it, both of that name.

    A pod of the restricted profile may hold a claim, and no folder of its node.
    """
    at_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": app}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": labels(app)},
            "spec": {
                **common,
                "capacity": {"storage": size},
                "persistentVolumeReclaimPolicy": "Retain",
                # Nothing but the claim below can take it, whatever class or name another asks for.
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": NAMESPACE,
                    "name": name,
                },
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [at_node]}]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(name, app),
            "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": size}}},
        },
    ]


def deployment(
    name: str,
    app: str,
    *,
    containers: Sequence[Object],
    volumes: Sequence[Object],
    config_digest: str,
    pod: Mapping[str, Any],
) -> Object:
    """One confined pod; ``pod`` is what its specification has beside that. One of several is an instance."""
    instance = {} if name == app else {"app.kubernetes.io/instance": name}
    selected = {"app.kubernetes.io/name": app, **instance}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, app),
        "spec": {
            "replicas": 1,
            # Two of them could not share the storage.
            "strategy": {"type": "Recreate"},
            "minReadySeconds": 5,
            "selector": {"matchLabels": selected},
            "template": {
                "metadata": {
                    "labels": {**labels(app), **instance},
                    "annotations": {"antenna.be/config": config_digest},
                },
                "spec": {
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "fsGroup": _USER,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "tolerations": [
                        {
                            "key": "node-role.kubernetes.io/control-plane",
                            "operator": "Exists",
                            "effect": "NoSchedule",
                        }
                    ],
                    **pod,
                    "containers": list(containers),
                    "volumes": list(volumes),
                },
            },
        },
    }


def container(
    name: str,
    image: str,
    arguments: Sequence[str],
    mounts: Sequence[tuple[str, str, bool]],
    *,
    cpu: str,
    memory: str,
    limit: str,
) -> Object:
    """``mounts``: volume, path, read only."""
    return {
        "name": name,
        "image": image,
        "args": list(arguments),
        "resources": {
            "requests": {"cpu": cpu, "memory": memory, "ephemeral-storage": "32Mi"},
            # Its logs: the head's disk is etcd's too.
            "limits": {"memory": limit, "ephemeral-storage": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": volume, "mountPath": path, "readOnly": read_only} for volume, path, read_only in mounts
        ],
    }
