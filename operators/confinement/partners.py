"""Rows of what a Tenant has: its namespace, what is in it, its queues. Pure.

What the objects are is not said again here: it is taken from the functions that make them, for a sample
Tenant whose values are placeholders.
"""

from __future__ import annotations

from typing import Final

from operators.api import API_VERSION, GROUP, VERSION
from operators.api.names import TENANT as KIND
from operators.confinement import cluster_queue
from operators.confinement.cel import Expression, finalizers_but, kept, literal, same_metadata
from operators.confinement.row import Row, Rule, deleted, of_its_tenant, written
from operators.queues import Cohort, tenant_objects
from operators.tenancy import FINALIZER, PARTNERS_ROLE, TENANT_LABEL, Object, Tenant, namespace_name

PARAMETER: Final = {"apiVersion": API_VERSION, "kind": KIND}
"""What rows compare with: every Tenant in turn."""

_FILLED: Final = {
    "<tenant>": "variables.tenant",
    "<title>": "params.spec.title",
    "<ecosystem>": "params.spec.ecosystem",
    "<sectors>": "params.spec.sectors.join(',')",
    "<cohort>": "params.spec.cohort",
}
_SAMPLE: Final = tenant_objects(
    Tenant("<tenant>", "<title>", "<ecosystem>", ("<sectors>",), groups=("<group>",)), Cohort("<cohort>", ())
)
_RBAC: Final = "rbac.authorization.k8s.io"
_KEEP: Final = ("CREATE", "UPDATE", "DELETE")

_OWNER: Final = (
    f"owner.apiVersion == '{API_VERSION}' && owner.kind == '{KIND}' && owner.name == variables.tenant"
)
_LABEL: Final = "{}[?'metadata'][?'labels'][?'" + TENANT_LABEL + "'].orValue('') == variables.tenant"
_SERVERS_LABEL: Final = {"kubernetes.io/metadata.name": f"{namespace_name('<tenant>')}"}
_KUEUES_FINALIZERS: Final = ("kueue.x-k8s.io/resource-in-use",)
"""On what Kueue keeps until nothing uses it."""


def _samples(kind: str) -> list[Object]:
    return [obj for obj in _SAMPLE if obj["kind"] == kind]


def _names(kind: str) -> str:
    return literal([obj["metadata"]["name"] for obj in _samples(kind)], _FILLED)


# What holds for all of them

_PLACE: Final = Rule(
    f"variables.tenant != '' && variables.place.startsWith('{namespace_name('')}')",
    f"writes in namespaces {namespace_name('')}* only",
)
_PARTNERS: Final = Rule(
    written(f"oldObject == null || {_LABEL.format('oldObject')} || variables.owned.exists(owner, {_OWNER})"),
    "leaves alone what is no Tenant's",
)
_PARTNERS_NAMESPACE: Final = Rule(
    "namespaceObject != null && has(namespaceObject.metadata.labels) "
    f"&& '{TENANT_LABEL}' in namespaceObject.metadata.labels "
    f"&& namespaceObject.metadata.labels['{TENANT_LABEL}'] == variables.tenant",
    "writes in namespaces of Tenants only",
)
_OWNED: Final = Rule(
    written(
        f"variables.owners.exists(owner, {_OWNER}) && "
        f"variables.owners.all(owner, owner in variables.owned || ({_OWNER}))"
    ),
    "makes what a Tenant owns, and gives it no other owner",
)
_OWNED_BY_THIS: Final = Rule(
    written(of_its_tenant("variables.owners.exists(owner, owner.uid == params.metadata.uid)")),
    "makes what a Tenant that is there owns",
    compares=True,
)
_DISOWNED: Final = Rule(
    "!variables.disowned || ("
    + of_its_tenant(
        "has(params.metadata.deletionTimestamp) && 'orphan' in params.metadata[?'finalizers'].orValue([])"
    )
    + ")",
    "takes objects from their Tenant when that is deleted without them, and never else",
    compares=True,
)
_HELD: Final = Rule(
    written(finalizers_but(*_KUEUES_FINALIZERS)),
    "changes no finalizers of what a Tenant has",
)
_LABELLED: Final = Rule(
    written(_LABEL.format("object")),
    "labels what it makes for a Tenant with that Tenant's name",
)
_EVERYWHERE: Final = (_PLACE, _LABELLED, _OWNED, _OWNED_BY_THIS, _DISOWNED, _HELD)
_INSIDE: Final = (*_EVERYWHERE, _PARTNERS_NAMESPACE)
_OUTSIDE: Final = (*_EVERYWHERE, _PARTNERS)

_GOES_WITH_IT: Final = (
    Rule(
        deleted(f"variables.owned.exists(owner, {_OWNER})"),
        "deletes no namespace and no queue but a Tenant's",
    ),
    Rule(
        deleted(of_its_tenant("has(params.metadata.deletionTimestamp)")),
        "deletes a partner's namespace and queue when its Tenant is deleted, and never else",
        compares=True,
    ),
)


def _named(kind: str, message: str) -> Rule:
    """It has the names that a Tenant's objects of the kind have."""
    return Rule(written(f"object.metadata.name in {_names(kind)}"), message)


def _stale(kind: str) -> Rule:
    """What every Tenant has is never deleted by itself."""
    return Rule(
        deleted(f"{_LABEL.format('oldObject')} && !(oldObject.metadata.name in {_names(kind)})"),
        f"deletes a {kind} of a partner only where no Tenant has one of that name any more",
    )


def _marked(kind: str) -> Rule:
    """Labels and annotations are the Tenant's."""
    (metadata,) = (obj["metadata"] for obj in _samples(kind)[:1])
    parts = [kept(("metadata", "labels"), metadata["labels"], _FILLED, _SERVERS_LABEL)]
    parts.append(kept(("metadata", "annotations"), metadata.get("annotations", {}), _FILLED))
    return Rule(
        written(of_its_tenant(" && ".join(parts))),
        f"labels and annotates a {kind} as its Tenant says, and changes no other label or annotation",
        compares=True,
    )


def _specified(kind: str, defaults: Object | None = None) -> Rule:
    """Its spec is what the sample's of that name is."""
    cases = [
        f"(object.metadata.name != {literal(obj['metadata']['name'], _FILLED)} || "
        f"({kept(('spec',), obj['spec'], _FILLED, defaults)}))"
        for obj in _samples(kind)
    ]
    return Rule(
        written(of_its_tenant(" && ".join(cases))),
        f"writes a {kind} as every Tenant has it, and not otherwise",
        compares=True,
    )


# The RoleBinding

_SUBJECTS: Final = "object[?'subjects'].orValue([])"
_GROUPS: Final = "params.spec[?'groups'].orValue([])"
_BINDING: Final = (
    Rule(
        written(
            f"object.roleRef.apiGroup == '{_RBAC}' && object.roleRef.kind == 'ClusterRole' "
            f"&& object.roleRef.name == '{PARTNERS_ROLE}'"
        ),
        f"binds the ClusterRole {PARTNERS_ROLE}, and no other role",
    ),
    Rule(
        written(
            f"{_SUBJECTS}.all(one, one.kind == 'Group' && one[?'apiGroup'].orValue('') == '{_RBAC}' "
            "&& !one.name.startsWith('system:'))"
        ),
        "binds groups of people, and neither users nor accounts nor Kubernetes' own groups",
    ),
    Rule(
        written(
            of_its_tenant(
                f"{_SUBJECTS}.all(one, one.name in {_GROUPS}) "
                f"&& {_GROUPS}.all(name, {_SUBJECTS}.exists(one, one.name == name))"
            )
        ),
        "binds the groups that the Tenant names, and no others",
        compares=True,
    ),
)

_UNBOUND: Final = Rule(
    deleted(
        of_its_tenant(
            f"!(oldObject.metadata.name in {_names('RoleBinding')}) || {_GROUPS}.size() == 0 "
            f"|| oldObject.roleRef.kind != 'ClusterRole' || oldObject.roleRef.name != '{PARTNERS_ROLE}'"
        )
    ),
    "deletes a RoleBinding to make it anew, or where its Tenant names no groups",
    compares=True,
)

_QUEUE: Final[Object] = _samples("ClusterQueue")[0]["spec"]

# The NetworkPolicy

_ISOLATION: Final[Object] = _samples("NetworkPolicy")[0]["spec"]
_DECLARED: Final = (
    "params.spec[?'egress'].orValue([]).map(one, dyn({"
    "'to': dyn([{'ipBlock': {'cidr': one.cidr}}]), "
    "'ports': dyn(one.ports.map(port, {'protocol': dyn('TCP'), 'port': dyn(port)}))}))"
)
_ISOLATED: Final = Rule(
    written(
        of_its_tenant(
            kept(
                ("spec",),
                _ISOLATION
                | {"egress": Expression(f"dyn({literal(_ISOLATION['egress'], _FILLED)}) + {_DECLARED}")},
                _FILLED,
            )
        )
    ),
    "writes a NetworkPolicy that lets a partner's pods reach each other, names and what its Tenant declares, "
    "and nothing more",
    compares=True,
)

_CONSTANT: Final = (("", "v1", "resourcequotas", "ResourceQuota"),)
"""What is the same for every Tenant."""

_EARLIER: Final = ((_RBAC, "roles"), ("", "limitranges"))
"""What Tenants of earlier versions had, and have no more."""

OBJECTS: Final = (
    Row(
        *("", "v1", "namespaces", _KEEP),
        rules=(
            *_OUTSIDE,
            *_GOES_WITH_IT,
            _marked("Namespace"),
            Rule(
                written("(object[?'spec'][?'finalizers'].orValue([])).all(one, one == 'kubernetes')"),
                "leaves a namespace's own finalizers alone",
            ),
        ),
    ),
    *(
        Row(
            *(group, version, resource, _KEEP),
            rules=(
                *_INSIDE,
                _named(kind, f"makes the {kind} that every Tenant has, and no other"),
                _stale(kind),
                _marked(kind),
                _specified(kind),
            ),
        )
        for group, version, resource, kind in _CONSTANT
    ),
    Row(
        *("networking.k8s.io", "v1", "networkpolicies", _KEEP),
        rules=(
            *_INSIDE,
            _named("NetworkPolicy", "makes the NetworkPolicy that every Tenant has, and no other"),
            _stale("NetworkPolicy"),
            _marked("NetworkPolicy"),
            _ISOLATED,
        ),
    ),
    Row(
        *(_RBAC, "v1", "rolebindings", _KEEP),
        rules=(
            *_INSIDE,
            _named("RoleBinding", "makes the RoleBinding that every Tenant has, and no other"),
            Rule(
                deleted(_LABEL.format("oldObject")),
                "deletes a RoleBinding only where it is a Tenant's",
            ),
            _UNBOUND,
            _marked("RoleBinding"),
            *_BINDING,
        ),
    ),
    *(
        Row(
            *(group, "v1", resource, ("DELETE",)),
            rules=(
                _PLACE,
                _PARTNERS_NAMESPACE,
                Rule(_LABEL.format("oldObject"), f"deletes {resource} only where they are a Tenant's"),
            ),
        )
        for group, resource in _EARLIER
    ),
    Row(
        *("kueue.x-k8s.io", "v1beta2", "localqueues", _KEEP),
        rules=(
            *_INSIDE,
            _named("LocalQueue", "makes the LocalQueue that every Tenant has, and no other"),
            _stale("LocalQueue"),
            _marked("LocalQueue"),
            _specified("LocalQueue", {"stopPolicy": "None"}),
        ),
    ),
    Row(
        *("kueue.x-k8s.io", "v1beta2", "clusterqueues", _KEEP),
        rules=(*_OUTSIDE, *_GOES_WITH_IT, _marked("ClusterQueue"), *cluster_queue.rules(_FILLED, _QUEUE)),
    ),
)
"""What a Tenant has."""

ROWS: Final = (
    *OBJECTS,
    Row(
        *(GROUP, VERSION, "tenants", ("UPDATE",)),
        rules=(
            Rule(
                "object.spec == oldObject.spec && "
                f"{same_metadata('labels', 'annotations', 'ownerReferences')} && {finalizers_but(FINALIZER)}",
                "sets and takes off its own finalizer of a Tenant, and changes nothing else of one",
            ),
        ),
    ),
    Row(GROUP, VERSION, "tenants/status", ("UPDATE",)),
)
