"""Monitoring as Kubernetes objects: VictoriaMetrics and vmalert in one pod. Pure.

Both listen on the pod's loopback address only. They know no users and no partners, so whoever could
reach them would read every partner's figures; the way in is ``kubectl port-forward``, which needs the
right to do so in this namespace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from monitoring import scrape
from monitoring.dashboards import vmui
from monitoring.dashboards.overview import OVERVIEW
from monitoring.rules.groups import rule_files

Object = dict[str, Any]

NAMESPACE: Final = "antenna-monitoring"
NAME: Final = "victoria-metrics"
STORE_PORT: Final = scrape.STORE_PORT
CA_CONFIG_MAP: Final = "antenna-operator-ca"
OPERATOR: Final = {"kind": "ServiceAccount", "name": "antenna-operator", "namespace": "antenna-system"}
TOKEN_AUDIENCE: Final = "antenna-operator"  # noqa: S105 (a name)

FIGURES_ON_HEAD: Final = "/var/lib/antenna/monitoring"
"""Folder of the head where the figures lie."""

_SIZE: Final = "8Gi"
"""What the claim says; a folder is as large as its disk."""
_CONFIG: Final = "/etc/antenna"
_STORAGE: Final = "/storage"
_TOKEN_SECONDS: Final = 3600
_LABELS: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "antenna"}
_USER: Final = 65532

RIGHTS: Final[tuple[Object, ...]] = (
    # To find the nodes, and read their kubelets' metrics.
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    # The operator's and Kueue's.
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
)


def monitoring_objects(
    *, store_image: str, alerter_image: str, head: str, retention_days: int
) -> list[Object]:
    """Everything in an order in which it can be applied. The figures are in a folder of the node ``head``."""
    config = config_maps()
    return [
        _namespace(),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME)},
        _cluster_role(),
        _cluster_role_binding(),
        *_operator_certificate(),
        *_storage(head),
        *config,
        _deployment(
            store=_store(store_image, retention_days),
            alerter=_alerter(alerter_image),
            config_digest=_digest(config),
        ),
    ]


def config_maps() -> list[Object]:
    """Scrape configuration, rules and dashboards, a ConfigMap each."""
    return [
        _config_map("scrape", {"scrape.yaml": yaml.safe_dump(scrape.scrape_config(), sort_keys=False)}),
        _config_map("rules", rule_files()),
        _config_map("dashboards", {f"{OVERVIEW.name}.json": vmui.render(OVERVIEW)}),
    ]


def _metadata(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": dict(_LABELS)}


def _namespace() -> Object:
    modes = ("enforce", "audit", "warn")
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes},
        },
    }


def _cluster_role() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "antenna-scraper", "labels": dict(_LABELS)},
        "rules": [dict(rule) for rule in RIGHTS],
    }


def _cluster_role_binding() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "antenna-scraper", "labels": dict(_LABELS)},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "antenna-scraper",
        },
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _storage(head: str) -> list[Object]:
    """A pod of the restricted profile may hold a claim, and no folder of its node."""
    at_head = {"key": "kubernetes.io/hostname", "operator": "In", "values": [head]}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": NAME}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": NAME, "labels": dict(_LABELS)},
            "spec": {
                **common,
                "capacity": {"storage": _SIZE},
                "persistentVolumeReclaimPolicy": "Retain",
                # Nothing but the claim below can take it, whatever class or name another asks for.
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": NAMESPACE,
                    "name": NAME,
                },
                "local": {"path": FIGURES_ON_HEAD},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [at_head]}]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": _metadata(NAME),
            "spec": {**common, "volumeName": NAME, "resources": {"requests": {"storage": _SIZE}}},
        },
    ]


def _operator_certificate() -> list[Object]:
    """An empty ConfigMap that the operator, and nobody else, fills with its certificate."""
    role = f"{CA_CONFIG_MAP}-publisher"
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(CA_CONFIG_MAP)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": _metadata(role),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [CA_CONFIG_MAP],
                    "verbs": ["get", "patch"],
                }
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": _metadata(role),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [dict(OPERATOR)],
        },
    ]


def _config_map(name: str, data: Mapping[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(f"{NAME}-{name}"),
        "data": dict(data),
    }


def _digest(config: list[Object]) -> str:
    """Another one makes another pod, so that a configuration that is wrong fails where it is applied."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _deployment(*, store: Object, alerter: Object, config_digest: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(NAME),
        "spec": {
            "replicas": 1,
            # Two of them could not share the storage.
            "strategy": {"type": "Recreate"},
            # Neither answers a probe, listening on loopback; both end at once on what is wrong with them.
            "minReadySeconds": 5,
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "template": {
                "metadata": {
                    "labels": dict(_LABELS),
                    "annotations": {"antenna.be/config": config_digest},
                },
                "spec": {
                    "serviceAccountName": NAME,
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
                    "containers": [store, alerter],
                    "volumes": _volumes(),
                },
            },
        },
    }


def _store(image: str, retention_days: int) -> Object:
    arguments = [
        f"-httpListenAddr=127.0.0.1:{scrape.STORE_PORT}",
        f"-storageDataPath={_STORAGE}",
        f"-retentionPeriod={retention_days}d",
        f"-promscrape.config={_CONFIG}/scrape/scrape.yaml",
        f"-vmui.customDashboardsPath={_CONFIG}/dashboards",
        # vmui shows the alerts too.
        f"-vmalert.proxyURL=http://127.0.0.1:{scrape.ALERTER_PORT}",
        "-loggerFormat=json",
    ]
    mounts = [
        ("storage", _STORAGE, False),
        ("scrape", f"{_CONFIG}/scrape", True),
        ("dashboards", f"{_CONFIG}/dashboards", True),
        ("operator", scrape.TOKENS, True),
    ]
    return _container(NAME, image, arguments, mounts, cpu="100m", memory="128Mi", limit="512Mi")


def _alerter(image: str) -> Object:
    store = f"http://127.0.0.1:{scrape.STORE_PORT}"
    arguments = [
        f"-httpListenAddr=127.0.0.1:{scrape.ALERTER_PORT}",
        f"-rule={_CONFIG}/rules/*.yaml",
        f"-datasource.url={store}",
        # What is recorded, and the state of the alerts across a restart.
        f"-remoteWrite.url={store}",
        f"-remoteRead.url={store}",
        # Alerts are shown, and sent to nobody.
        "-notifier.blackhole",
        "-loggerFormat=json",
    ]
    return _container(
        "vmalert",
        image,
        arguments,
        [("rules", f"{_CONFIG}/rules", True)],
        cpu="20m",
        memory="32Mi",
        limit="128Mi",
    )


def _container(
    name: str,
    image: str,
    arguments: list[str],
    mounts: list[tuple[str, str, bool]],
    *,
    cpu: str,
    memory: str,
    limit: str,
) -> Object:
    """``mounts``: volume, path, read only."""
    return {
        "name": name,
        "image": image,
        "args": arguments,
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


def _volumes() -> list[Object]:
    config = [
        {"name": name, "configMap": {"name": f"{NAME}-{name}"}} for name in ("scrape", "rules", "dashboards")
    ]
    operator = {
        "name": "operator",
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "path": "operator/token",
                        "audience": TOKEN_AUDIENCE,
                        "expirationSeconds": _TOKEN_SECONDS,
                    }
                },
                # The operator puts its certificate there when it first starts.
                {
                    "configMap": {
                        "name": CA_CONFIG_MAP,
                        "optional": True,
                        "items": [{"key": "ca.crt", "path": "operator-ca/ca.crt"}],
                    }
                },
            ]
        },
    }
    return [*config, operator, {"name": "storage", "persistentVolumeClaim": {"claimName": NAME}}]
