"""What a partner is given in the cluster: a namespace of its own, what may be in it, who may use it.

Pure: plain data in, Kubernetes objects (plain dicts) out. The partner's queues are in ``queues``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any, Final

Object = dict[str, Any]
"""A Kubernetes object as the API server takes it."""

ECOSYSTEMS: Final = ("flanders", "wallonia", "brussels-capital", "federal")

PRIORITY_SECTORS: Final = (
    "defence-security",
    "health-biotech-life-sciences",
    "manufacturing-robotics-process-control",
    "space-aeronautics",
    "public-services-digital",
)
SECTORS: Final = (
    *PRIORITY_SECTORS,
    "agri-food",
    "environment-climate",
    "mobility-transport-logistics",
    "science-research",
    "media-culture-entertainment",
    "digital-services",
    "construction",
    "cross-cutting-emerging",
)

TENANT_LABEL: Final = "antenna.be/tenant"
FINALIZER: Final = "antenna.be/tenant"
"""Keeps a Tenant until what is its own is gone."""
ECOSYSTEM_LABEL: Final = "antenna.be/ecosystem"
TITLE_ANNOTATION: Final = "antenna.be/title"
# An annotation: several sectors do not fit into the 63 characters of a label.
SECTORS_ANNOTATION: Final = "antenna.be/sectors"

# A bound on what one partner can put into etcd and on the nodes; GPUs are Kueue's matter. How large each may
# be is said in ``admission``. A Workload stands for each Job and RemoteJob, and one more while a Job changes.
OBJECT_COUNTS: Final[Mapping[str, str]] = {
    "pods": "200",
    "count/jobs.batch": "500",
    "count/remotejobs.antenna.be": "200",
    "count/workloads.kueue.x-k8s.io": "800",
    "count/configmaps": "200",
    "count/secrets": "100",
    "persistentvolumeclaims": "50",
    "requests.storage": "10Ti",
    "services": "20",
    "services.nodeports": "0",
    "services.loadbalancers": "0",
}

# Pods that no partner has at all, by the scope that quotas know them by: those of a priority class, which
# push others off their nodes, and those that keep other namespaces' pods away from theirs.
# https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-scopes
NO_PODS: Final = ("PriorityClass", "CrossNamespacePodAffinity")

_READ: Final = ["get", "list", "watch"]
_WRITE: Final = [*_READ, "create", "update", "patch", "delete", "deletecollection"]

# Jobs are made and deleted, never updated: their spec is Kueue's to change once they are queued.
# Pods come from Jobs alone, so that nothing runs beside the queue.
PARTNERS_ROLE: Final = "antenna-submitter"
"""The ClusterRole that a partner's people are bound to, in their namespace."""

SUBMITTER_RULES: Final[tuple[Object, ...]] = (
    {
        "apiGroups": ["batch"],
        "resources": ["jobs"],
        "verbs": [*_READ, "create", "delete", "deletecollection"],
    },
    {"apiGroups": [""], "resources": ["pods", "events", "resourcequotas", "limitranges"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps", "secrets", "persistentvolumeclaims"],
        "verbs": _WRITE,
    },
    {"apiGroups": ["kueue.x-k8s.io"], "resources": ["localqueues", "workloads"], "verbs": _READ},
    {
        "apiGroups": ["antenna.be"],
        "resources": ["remotejobs"],
        "verbs": [*_READ, "create", "delete", "deletecollection"],
    },
    {"apiGroups": ["antenna.be"], "resources": ["budgets"], "verbs": _READ},
    {
        "apiGroups": ["visibility.kueue.x-k8s.io"],
        "resources": ["localqueues/pendingworkloads"],
        "verbs": ["get"],
    },
)


@dataclass(frozen=True)
class Quota:
    """How much of one resource of one flavor. Amounts are Kubernetes quantities: ``4``, ``"64Gi"``."""

    nominal: int | str = 0
    """Always the partner's: reclaimed from borrowers when the partner wants it."""
    borrowing_limit: int | str | None = None
    """The most it may take beyond ``nominal`` while others leave it idle; None: all that is idle."""


@dataclass(frozen=True)
class Allocation:
    """What a remote site granted a partner: ``amount`` of ``unit`` for the project, first to last day."""

    site: str
    project: str
    amount: Fraction
    unit: str
    start: date
    end: date
    """The last day."""


@dataclass(frozen=True)
class Egress:
    """Addresses outside the site that a partner's pods connect to, and the TCP ports there."""

    cidr: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Tenant:
    """A partner as the cluster knows it."""

    name: str
    """A DNS label of at most 56 characters: it names the ClusterQueue and, prefixed, the namespace."""
    title: str
    ecosystem: str
    sectors: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Groups of the identity provider whose members submit work for this partner."""
    quotas: Mapping[str, Mapping[str, Quota]] = field(default_factory=dict)
    """flavor -> resource -> quota. What is not named is a nominal quota of 0."""
    weight: int | str = 1
    """Share of what is idle, relative to the other partners, when several want to borrow it."""
    allocations: tuple[Allocation, ...] = ()
    logins: Mapping[str, str] = field(default_factory=dict)
    """site -> its login there; of a site that is not named any will do."""
    egress: tuple[Egress, ...] = ()
    """Where its pods connect to outside the site; anything else is refused."""

    def __post_init__(self) -> None:
        """Refuse Kubernetes' own groups: ``system:authenticated`` would let every partner in."""
        if reserved := [group for group in self.groups if group.startswith("system:")]:
            raise ValueError(f"tenant {self.name}: group {reserved[0]!r} is Kubernetes' own")


def namespace_name(tenant: str) -> str:
    """The namespace of a partner. Prefixed, so that no partner's name is a system namespace's."""
    return f"tenant-{tenant}"


def labels(tenant: Tenant) -> dict[str, str]:
    """What every object of a partner is found by."""
    return {TENANT_LABEL: tenant.name, ECOSYSTEM_LABEL: tenant.ecosystem}


def partners_role() -> Object:
    """What a partner's people may do, wherever they are bound to it; the site has one for all partners.

    Not the operator's to write: who may only bind it can give nobody more than it holds.
    """
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": PARTNERS_ROLE},
        "rules": [dict(rule) for rule in SUBMITTER_RULES],
    }


def namespace_objects(tenant: Tenant) -> list[Object]:
    """Namespace, ResourceQuotas, NetworkPolicy and RoleBinding of a partner."""
    namespace = namespace_name(tenant.name)
    inside = {"namespace": namespace, "labels": labels(tenant)}
    objects: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {
                    **labels(tenant),
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/audit": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
                "annotations": {
                    TITLE_ANNOTATION: tenant.title,
                    SECTORS_ANNOTATION: ",".join(tenant.sectors),
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "object-counts", **inside},
            "spec": {"hard": dict(OBJECT_COUNTS)},
        },
        *(_none_of(scope, inside) for scope in NO_PODS),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "isolation", **inside},
            "spec": isolation(tenant.egress),
        },
    ]
    if tenant.groups:
        objects.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "submitters", **inside},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": PARTNERS_ROLE,
                },
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
                    for group in tenant.groups
                ],
            }
        )
    return objects


def isolation(egress: Iterable[Egress] = ()) -> Object:
    """What a partner's pods reach and are reached from: each other, names, and what is declared."""
    own_pods: Object = {"podSelector": {}}
    names: Object = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own_pods]}],
        "egress": [
            {"to": [own_pods]},
            {"to": [names], "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
            *(
                {
                    "to": [{"ipBlock": {"cidr": one.cidr}}],
                    "ports": [{"protocol": "TCP", "port": port} for port in one.ports],
                }
                for one in egress
            ),
        ],
    }


def _none_of(scope: str, inside: Object) -> Object:
    """The quota that leaves no room for pods of a scope."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", scope).lower()
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": f"no-{words}", **inside},
        "spec": {
            "hard": {"pods": "0"},
            "scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]},
        },
    }
