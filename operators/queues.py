"""The queue objects of the Antenna and of each partner (Kueue, ``kueue.x-k8s.io/v1beta2``).

Pure: plain data in, Kubernetes objects (plain dicts) out.

Names, everywhere the same: the ClusterQueue bears the partner's name; its namespace is
``tenant-<name>``; the LocalQueue in it is ``default``, which Kueue gives to Jobs that name no queue,
so that no Job of a partner runs beside its quota.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from operators.tenancy import Object, Quota, Tenant, labels, namespace_name, namespace_objects

API_VERSION: Final = "kueue.x-k8s.io/v1beta2"
LOCAL_QUEUE: Final = "default"
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
GPU: Final = "nvidia.com/gpu"
RESOURCES: Final = ("cpu", "memory", GPU)

REMOTE_GPU: Final = "antenna.be/remote-gpu"
REMOTE_CORE: Final = "antenna.be/remote-core"
REMOTE_RESOURCES: Final = (REMOTE_CORE, REMOTE_GPU)
"""What RemoteJobs ask for. Resources of their own, in a group of their own: Kueue gives a resource from one
group only, so that no RemoteJob can be given what is local, nor a local Job what is remote."""

REMOTE: Final = "antenna.be/remote"
"""Key of the taint of remote flavors."""
FLAVOR_LABEL: Final = "antenna.be/flavor"
"""A remote flavor's node label: no node bears it; RemoteJobs select flavors by it."""
BUDGET: Final = "budget"
SITE_HEALTH: Final = "site-health"
CHECKS: Final = (BUDGET, SITE_HEALTH)
"""The admission checks that remote work passes."""
CHECKS_CONTROLLER: Final = "antenna.be/remote-jobs"
"""The operator, as the controller of these checks."""

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_SUFFIXES: Final[Mapping[str, int | str]] = {
    **{
        "": 1,
        "n": "1e-9",
        "u": "1e-6",
        "m": "1e-3",
        "k": "1e3",
        "M": "1e6",
        "G": "1e9",
        "T": "1e12",
        "P": "1e15",
        "E": "1e18",
    },
    **_BINARY,
}
_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)(?P<suffix>[KMGTPE]i|[numkMGTPE]?)"
)


@dataclass(frozen=True)
class Flavor:
    """One sort of hardware: a Kueue ResourceFlavor."""

    name: str
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its nodes; pods admitted on it are sent there. At most 8."""
    remote: bool = False
    """A partition of a remote site: only RemoteJobs tolerate it, what a partner has there is neither lent nor
    borrowed, and work passes the admission checks before it is sent."""


@dataclass(frozen=True)
class Cohort:
    """Queues that lend each other what they leave idle."""

    name: str
    flavors: tuple[Flavor, ...]
    """In the order in which Kueue tries them."""
    pool: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    """flavor -> resource -> amount that is no partner's own and that all may borrow."""


def quantity(amount: int | str) -> Decimal:
    """The number that a Kubernetes quantity stands for. Raises ValueError on what is none.

    Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = _QUANTITY.fullmatch(str(amount))
    if not match:
        raise ValueError(f"{amount!r} is not a Kubernetes quantity")
    return Decimal(match["number"]) * Decimal(_SUFFIXES[match["suffix"]])


def undivided(
    capacity: Mapping[str, Mapping[str, int | str]], tenants: Iterable[Tenant]
) -> dict[str, dict[str, str]]:
    """What is left of ``capacity`` (flavor -> resource -> amount) after the partners' nominal quotas.

    Raises ValueError where the quotas promise more than there is, or promise of a flavor or resource
    that the capacity does not name.
    """
    rest = {flavor: {name: quantity(v) for name, v in has.items()} for flavor, has in capacity.items()}
    for tenant in tenants:
        for flavor, quotas in tenant.quotas.items():
            for resource, quota in quotas.items():
                if resource not in rest.get(flavor, {}):
                    raise ValueError(f"tenant {tenant.name}: there is no {resource} of flavor {flavor}")
                rest[flavor][resource] -= quantity(quota.nominal)
    for flavor, left in rest.items():
        for resource, amount in left.items():
            if amount < 0:
                has = capacity[flavor][resource]
                raise ValueError(f"quotas of {resource} of flavor {flavor} exceed the {has} there are")
    return {flavor: {name: _text(left) for name, left in has.items()} for flavor, has in rest.items()}


def cohort_objects(cohort: Cohort) -> list[Object]:
    """The ResourceFlavors, and the Cohort that holds the undivided rest."""
    flavors: list[Object] = [
        {
            "apiVersion": API_VERSION,
            "kind": "ResourceFlavor",
            "metadata": {"name": flavor.name},
            "spec": _flavor_spec(flavor),
        }
        for flavor in cohort.flavors
    ]
    pool = {
        flavor: {resource: Quota(amount) for resource, amount in amounts.items()}
        for flavor, amounts in cohort.pool.items()
    }
    checks: list[Object] = [
        {
            "apiVersion": API_VERSION,
            "kind": "AdmissionCheck",
            "metadata": {"name": name},
            "spec": {"controllerName": CHECKS_CONTROLLER},
        }
        for name in CHECKS
    ]
    # Of what is remote there is no pool: each partner's grant is its own.
    local, remote = _apart(cohort)
    return [
        *flavors,
        *(checks if remote else ()),
        {
            "apiVersion": API_VERSION,
            "kind": "Cohort",
            "metadata": {"name": cohort.name},
            "spec": {"resourceGroups": [_resource_group(local, RESOURCES, pool)]},
        },
    ]


def tenant_objects(tenant: Tenant, cohort: Cohort) -> list[Object]:
    """All that a partner gets, in an order in which it can be applied."""
    return [*namespace_objects(tenant), cluster_queue(tenant, cohort), local_queue(tenant)]


def cluster_queue(tenant: Tenant, cohort: Cohort) -> Object:
    """The partner's quota. A partner without any still has a queue, and lives on what is idle.

    A partner takes its own back from whoever borrowed it, whatever their priority; inside its queue
    only lower priority gives way.
    """
    local, remote = _apart(cohort)
    groups = [_resource_group(local, RESOURCES, tenant.quotas)]
    if remote:
        groups.append(_resource_group(remote, REMOTE_RESOURCES, tenant.quotas))
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterQueue",
        "metadata": {"name": tenant.name, "labels": labels(tenant)},
        "spec": {
            "cohortName": cohort.name,
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": namespace_name(tenant.name)},
            },
            "queueingStrategy": "BestEffortFIFO",
            "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
            "fairSharing": {"weight": str(tenant.weight)},
            "resourceGroups": groups,
            **_checks(remote),
        },
    }


def local_queue(tenant: Tenant) -> Object:
    """The door from the partner's namespace to its ClusterQueue."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LocalQueue",
        "metadata": {
            "name": LOCAL_QUEUE,
            "namespace": namespace_name(tenant.name),
            "labels": labels(tenant),
        },
        "spec": {"clusterQueue": tenant.name},
    }


def _flavor_spec(flavor: Flavor) -> Object:
    if not flavor.remote:
        return {"nodeLabels": dict(flavor.node_labels)} if flavor.node_labels else {}
    return {
        "nodeLabels": {**flavor.node_labels, FLAVOR_LABEL: flavor.name},
        "nodeTaints": [{"key": REMOTE, "value": "true", "effect": "NoSchedule"}],
    }


def _apart(cohort: Cohort) -> tuple[list[Flavor], list[Flavor]]:
    """The local flavors and the remote ones."""
    remote = [flavor for flavor in cohort.flavors if flavor.remote]
    return [flavor for flavor in cohort.flavors if not flavor.remote], remote


def _checks(remote: list[Flavor]) -> Object:
    """What work on remote flavors must pass; nothing where there are none."""
    if not remote:
        return {}
    flavors = [flavor.name for flavor in remote]
    checks = [{"name": name, "onFlavors": flavors} for name in CHECKS]
    return {"admissionChecksStrategy": {"admissionChecks": checks}}


def _resource_group(
    flavors: list[Flavor], resources: tuple[str, ...], quotas: Mapping[str, Mapping[str, Quota]]
) -> Object:
    """One group: a pod gets these resources from one flavor. Every flavor names every resource."""
    return {
        "coveredResources": list(resources),
        "flavors": [
            {
                "name": flavor.name,
                "resources": [
                    _resource(name, quotas.get(flavor.name, {}).get(name, Quota()), flavor.remote)
                    for name in resources
                ],
            }
            for flavor in flavors
        ],
    }


def _resource(name: str, quota: Quota, remote: bool) -> Object:
    resource = {"name": name, "nominalQuota": str(quota.nominal)}
    if remote:
        return {**resource, "borrowingLimit": "0", "lendingLimit": "0"}
    if quota.borrowing_limit is not None:
        resource["borrowingLimit"] = str(quota.borrowing_limit)
    return resource


def _text(amount: Decimal) -> str:
    """A quantity in the form in which the API server would print it: the largest exact binary suffix."""
    if amount == amount.to_integral_value():
        whole = int(amount)
        for suffix, factor in reversed(_BINARY.items()):
            if whole and whole % factor == 0:
                return f"{whole // factor}{suffix}"
        return str(whole)
    return f"{int(amount * 1000)}m"
