"""The operator in its cluster, as Kubernetes objects: namespace, rights, storage, Deployment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from operators.admission.policies import admission
from operators.confinement import Own, confinement
from operators.rights import CONTROLLERS, EXPLANATIONS, METRICS, Right
from operators.tenancy import partners_role

Object = dict[str, Any]

NAME: Final = "antenna-operator"
NAMESPACE: Final = "antenna-system"
CA_CONFIG_MAP: Final = "antenna-operator-ca"
"""Where the operator publishes the certificate of its /metrics."""

SCRAPERS: Final = ("antenna-monitoring",)
"""Namespaces of scrapers: a pod can mount what its own namespace holds, so the certificate goes there too."""

LEDGER_SECRET: Final = "antenna-ledger"  # noqa: S105 (a name)
"""May be there: its key ``url`` names the ledger's database."""

METRICS_READER: Final = "antenna-metrics-reader"
"""The ClusterRole of whoever may scrape /metrics."""

METRICS_PORT: Final = 8443
HEALTH_PORT: Final = 8081
STREAMS: Final = "/streams"
"""On the health port: how old what the operator says is, a document that `antenna doctor` reads."""
USAGE_PORT: Final = 8082
"""Budgets and usage, on the pod's loopback address: the way there is a forward through the API server."""

STATE_ON_HEAD: Final = "/var/lib/antenna/operator"
"""Folder of the head where the finished jobs' ledger and the TLS key lie, unless a storage class is used."""

USER: Final = 65532
STATE_SIZE: Final = "1Gi"

CREDENTIALS_SECRET: Final = "antenna-remote-credentials"  # noqa: S105 (a name)
"""SITE.user, SITE.key, SITE.known_hosts (and SITE.cert, SITE.expires) for each remote site.

Mounted: no right to read it is needed.
"""

LEASE: Final = "antenna-remote-jobs"
"""The Lease of whoever sends jobs to remote sites."""

OWN: Final = Own(NAME, NAMESPACE, LEASE, CA_CONFIG_MAP)

OWN_RIGHTS: Final = (
    Right("", ("configmaps",), ("get", "patch"), names=(CA_CONFIG_MAP,)),
    Right("coordination.k8s.io", ("leases",), ("get", "patch"), names=(LEASE,)),
)
"""In the operator's own namespace."""

_LABELS: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "antenna"}
_RBAC: Final = "rbac.authorization.k8s.io"
_STATE: Final = "/var/lib/antenna-operator"
_CREDENTIALS: Final = "/etc/antenna/remote"


def operator_objects(
    *, image: str, head: str, storage_class: str = "", tenants: Iterable[str] = ()
) -> list[Object]:
    """Everything but the definitions of its own kinds, in an order in which it can be applied.

    ``image`` is a full reference; ``tenants`` are the names of all Tenants that the site has.
    The state is in a folder of the node ``head``, or in a volume of ``storage_class``, which the operator
    then follows to any node.
    """
    return [
        _namespace(),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _namespaced(NAME)},
        # Here before the operator is: it may fill it in, and may not make others.
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _namespaced(CA_CONFIG_MAP)},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": _namespaced(LEASE)},
        partners_role(),
        *_rights(),
        *_storage(head, storage_class),
        _service(),
        _deployment(image),
        *confinement(OWN, tenants),
        *admission(),
    ]


def rules(rights: Iterable[Right]) -> list[Object]:
    """RBAC rules that give exactly these rights; a resource's verbs stand together, in a fixed order."""
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for right in rights:
        for resource in right.resources:
            verbs.setdefault((right.group, resource, right.names), set()).update(right.verbs)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, resource, names), allowed in sorted(verbs.items()):
        resources.setdefault((group, names, tuple(sorted(allowed))), []).append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": found,
            "verbs": list(allowed),
            **({"resourceNames": list(names)} if names else {}),
        }
        for (group, names, allowed), found in resources.items()
    ]


def _namespaced(name: str) -> Object:
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


def _rights() -> list[Object]:
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
    return [
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME, "labels": dict(_LABELS)},
            "rules": rules((*METRICS, *EXPLANATIONS, *CONTROLLERS)),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": METRICS_READER, "labels": dict(_LABELS)},
            "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME, "labels": dict(_LABELS)},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": subjects,
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": _namespaced(NAME),
            "rules": rules(OWN_RIGHTS),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": _namespaced(NAME),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": NAME},
            "subjects": subjects,
        },
    ]


def _storage(head: str, storage_class: str) -> list[Object]:
    """A pod of the restricted profile may hold a claim, and no folder of its node."""
    request = {"requests": {"storage": STATE_SIZE}}
    modes = ["ReadWriteOnce"]
    if storage_class:
        spec = {"accessModes": modes, "storageClassName": storage_class, "resources": request}
        return [_claim(spec)]
    volume = f"{NAME}-state"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume, "labels": dict(_LABELS)},
            "spec": {
                "capacity": {"storage": STATE_SIZE},
                "accessModes": modes,
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": volume,
                # Nothing but the claim below can take it, whatever class or name another asks for.
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": NAMESPACE,
                    "name": volume,
                },
                "local": {"path": STATE_ON_HEAD},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [head]}
                                ]
                            }
                        ]
                    }
                },
            },
        },
        _claim(
            {
                "accessModes": modes,
                "storageClassName": volume,
                "volumeName": volume,
                "resources": request,
            }
        ),
    ]


def _claim(spec: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _namespaced(f"{NAME}-state"),
        "spec": spec,
    }


def _service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _namespaced(NAME),
        "spec": {
            "selector": {"app.kubernetes.io/name": NAME},
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}],
        },
    }


def _deployment(image: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _namespaced(NAME),
        "spec": {
            "replicas": 1,
            # Two of them would both write the ledger.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "template": {
                "metadata": {"labels": dict(_LABELS)},
                "spec": {
                    "serviceAccountName": NAME,
                    "enableServiceLinks": False,
                    # Partners' work never pushes it out.
                    "priorityClassName": "system-cluster-critical",
                    "tolerations": [
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        # Else each start would open the TLS key to the group.
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(image)],
                    "volumes": [
                        {"name": "state", "persistentVolumeClaim": {"claimName": f"{NAME}-state"}},
                        # For SQLite, which sorts what is large in files.
                        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
                        # There once an administrator has made it; a key is for this user alone.
                        {
                            "name": "remote-credentials",
                            "secret": {
                                "secretName": CREDENTIALS_SECRET,
                                "optional": True,
                                "defaultMode": 0o440,
                            },
                        },
                    ],
                },
            },
        },
    }


def _container(image: str) -> Object:
    return {
        "name": "operator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            f"--state={_STATE}",
            f"--listen=:{METRICS_PORT}",
            f"--health-listen=:{HEALTH_PORT}",
            f"--usage-listen=127.0.0.1:{USAGE_PORT}",
            f"--remote-credentials={_CREDENTIALS}",
            *(f"--publish-to={namespace}" for namespace in SCRAPERS),
            "--log-format=json",
        ],
        # Its value may hold a password. Where there is no such Secret the ledger is a file of the state.
        "env": [
            {
                "name": "ANTENNA_LEDGER_URL",
                "valueFrom": {"secretKeyRef": {"name": LEDGER_SECRET, "key": "url", "optional": True}},
            }
        ],
        "ports": [
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", seconds=2, failures=60),
        "livenessProbe": _probe("/healthz", seconds=10, failures=6),
        "readinessProbe": _probe("/readyz", seconds=2, failures=3),
        # Without a limit on CPU: a scrape of 100,000 Jobs is a burst. Memory: twice what those take.
        "resources": {
            "requests": {"cpu": "100m", "memory": "192Mi", "ephemeral-storage": "64Mi"},
            # Its logs and /tmp: the head's disk is etcd's too.
            "limits": {"memory": "1280Mi", "ephemeral-storage": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": _STATE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "remote-credentials", "mountPath": _CREDENTIALS, "readOnly": True},
        ],
    }


def _probe(path: str, *, seconds: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
