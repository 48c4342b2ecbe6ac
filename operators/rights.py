"""The rights that the operator needs, and no more: the rows of its ClusterRole.

To give a partner's people their rights, Kubernetes asks that the operator hold them itself, or may ``bind``
the role that has them. To hold them would be to read every Secret of the cluster; so it may bind that one
ClusterRole, which comes with the site, and may write no role. What it may write of each kind is in
``confinement``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from operators.api import GROUP
from operators.tenancy import PARTNERS_ROLE

_READ: Final = ("get", "list", "watch")
_KEEP: Final = (*_READ, "create", "patch", "delete")


@dataclass(frozen=True)
class Right:
    """What may be done with resources of one API group; ``names``: with those of these names only."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


CONTROLLERS: Final = (
    Right(GROUP, ("tenants",), (*_READ, "patch")),
    Right(GROUP, ("tenants/status",), ("patch",)),
    # To name a Tenant as the owner without whom an object cannot stay.
    Right(GROUP, ("tenants/finalizers",), ("update",)),
    Right("", ("namespaces", "resourcequotas"), _KEEP),
    Right("networking.k8s.io", ("networkpolicies",), _KEEP),
    Right("rbac.authorization.k8s.io", ("rolebindings",), _KEEP),
    Right("rbac.authorization.k8s.io", ("clusterroles",), ("bind",), names=(PARTNERS_ROLE,)),
    # What Tenants of earlier versions had, which goes.
    Right("rbac.authorization.k8s.io", ("roles",), (*_READ, "delete")),
    Right("", ("limitranges",), (*_READ, "delete")),
    Right("kueue.x-k8s.io", ("clusterqueues", "localqueues"), _KEEP),
    Right("kueue.x-k8s.io", ("cohorts", "resourceflavors", "workloads"), ("get", "list")),
    # Remote work: what is asked of RemoteJobs, what is done about them, the Workloads that queue for them.
    # Those that have been over for long enough leave.
    Right(GROUP, ("remotejobs",), (*_READ, "patch", "delete")),
    Right(GROUP, ("remotejobs/status", "remotesites/status"), ("patch",)),
    Right(GROUP, ("remotesites",), _READ),
    # What each partner has left, in its own namespace.
    Right(GROUP, ("budgets",), ("create",)),
    Right(GROUP, ("budgets/status",), ("patch",)),
    Right("kueue.x-k8s.io", ("workloads",), (*_READ, "create", "delete")),
    Right("kueue.x-k8s.io", ("workloads/status", "admissionchecks/status"), ("patch",)),
    Right("kueue.x-k8s.io", ("admissionchecks",), ("get",)),
    Right("", ("events",), ("create",)),
    # kopf sees by these which kinds are served.
    Right("apiextensions.k8s.io", ("customresourcedefinitions",), ("list", "watch")),
)

METRICS: Final = (
    Right("", ("events", "namespaces", "nodes", "pods"), _READ),
    Right("batch", ("jobs",), _READ),
    Right(
        "kueue.x-k8s.io",
        ("clusterqueues", "cohorts", "localqueues", "resourceflavors", "workloads"),
        _READ,
    ),
    Right(GROUP, ("tenants",), _READ),
    # Whose token came with a scrape, and whether they may.
    Right("authentication.k8s.io", ("tokenreviews",), ("create",)),
    Right("authorization.k8s.io", ("subjectaccessreviews",), ("create",)),
)
"""What figures and the reasons for waiting are made of, and the check of who reads them."""

EXPLANATIONS: Final = (
    Right("", ("events", "nodes", "pods"), ("list",)),
    Right("batch", ("jobs",), ("get",)),
    Right("kueue.x-k8s.io", ("workloads",), ("get",)),
    Right("kueue.x-k8s.io", ("admissionchecks", "clusterqueues", "cohorts", "localqueues"), ("list",)),
    # Said on the Workload and the Job.
    Right("", ("events",), ("create", "patch")),
)
"""What it takes to say why work waits."""
