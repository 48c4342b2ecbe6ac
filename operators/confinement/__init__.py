"""What the operator's writes may hold, as admission policies. Pure.

RBAC says which kinds the operator writes. What it writes of them is compared here with what a Tenant's
objects are, so that whoever holds the operator's token can make itself no more than the operator is: every
write of a kind without a row is refused, whatever rights the operator is given besides. Reviews of tokens and
rights, which change nothing, pass no policy.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from operators.confinement import partners, work
from operators.confinement.cel import same_metadata
from operators.confinement.row import Row, Rule, written
from operators.tenancy import TENANT_LABEL, Object, namespace_name

_API_VERSION: Final = "admissionregistration.k8s.io/v1"
# Every Tenant; each speaks for what is its own. Where there is none, there is nothing to compare with.
_PARAMETERS: Final[Object] = {"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}}
# Parameters are looked for before it is known who asks: nobody's writes but those of partners' objects shall
# depend on them. What the operator writes has the label, by a rule that compares nothing.
_LABELLED: Final[Object] = {
    "objectSelector": {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]}
}

_WHERE: Final = (
    "request.resource.resource == 'clusterqueues' ? '{prefix}' + variables.it.metadata.name : "
    "request.resource.resource == 'namespaces' ? variables.it.metadata.name : request.namespace"
)
_VARIABLES: Final = (
    ("it", "object == null ? oldObject : object"),
    ("was", "oldObject == null ? dyn({}) : oldObject"),
    ("place", _WHERE.format(prefix=namespace_name(""))),
    (
        "tenant",
        f"variables.place.startsWith('{namespace_name('')}') "
        f"? variables.place.substring({len(namespace_name(''))}) : ''",
    ),
    ("owners", "object == null ? dyn([]) : object.metadata[?'ownerReferences'].orValue(dyn([]))"),
    ("owned", "oldObject == null ? dyn([]) : oldObject.metadata[?'ownerReferences'].orValue(dyn([]))"),
    # Taken from the owner that goes without it, and otherwise as it was.
    (
        "disowned",
        "object != null && oldObject != null && variables.owners.size() < variables.owned.size() "
        "&& variables.owners.all(owner, owner in variables.owned) "
        "&& object.all(k, k == 'metadata' || (k in oldObject && object[k] == oldObject[k])) "
        "&& object.metadata.all(k, k in ['ownerReferences', 'managedFields', 'resourceVersion', "
        "'generation'] || (k in oldObject.metadata && object.metadata[k] == oldObject.metadata[k]))",
    ),
)


@dataclass(frozen=True)
class Own:
    """What the operator has of its own: its account, and the objects that it fills in."""

    name: str
    namespace: str
    lease: str
    authority: str
    """The ConfigMap of its certificate; in the scrapers' namespaces too."""

    @property
    def user(self) -> str:
        """Its account as the API server names it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def rows(own: Own) -> tuple[Row, ...]:
    """Every kind that the operator writes, with what it writes of it."""
    return (*partners.ROWS, *work.ROWS, *_own_rows(own))


def confinement(own: Own, tenants: Iterable[str] | None = None) -> list[Object]:
    """The policies and their bindings.

    ``tenants`` are the names of all Tenants that there are to be: the operator makes nothing for another.
    None: whoever may make a Tenant may give it any name, and only its owner's absence ends what belongs to
    no Tenant.
    """
    everything = Row("*", "*", "*/*", ("*",))
    objects = _policy(own, own.name, [_known(own)], [everything])
    for row in rows(own):
        objects += _row_policies(own, row)
    if tenants is not None:
        objects += _declared(own, tenants)
    return objects


def operations(own: Own) -> frozenset[str]:
    """All that the operator may write: ``group/resource:OPERATION`` each."""
    return frozenset(f"{row.kind}:{operation}" for row in rows(own) for operation in row.operations)


def _own_rows(own: Own) -> tuple[Row, ...]:
    still = same_metadata("labels", "annotations", "ownerReferences", "finalizers")
    return (
        Row(
            *("", "v1", "configmaps", ("UPDATE",)),
            rules=(
                Rule(
                    f"object.metadata.name == '{own.authority}' && {still} && !has(object.binaryData) "
                    "&& (!has(object.data) || object.data.all(k, k == 'ca.crt'))",
                    f"writes its certificate into ConfigMaps {own.authority}, and nothing else into any",
                ),
            ),
        ),
        Row(
            *("coordination.k8s.io", "v1", "leases", ("UPDATE",)),
            rules=(
                Rule(
                    f"object.metadata.name == '{own.lease}' && request.namespace == '{own.namespace}' "
                    f"&& {still}",
                    f"renews the Lease {own.namespace}/{own.lease} and no other",
                ),
            ),
        ),
    )


def _known(own: Own) -> Rule:
    """What is in no row is refused."""
    known = ", ".join(f"'{one}'" for one in sorted(operations(own)))
    asked = (
        "(request.resource.group + '/' + request.resource.resource "
        "+ (has(request.subResource) && request.subResource != '' ? '/' + request.subResource : '') "
        "+ ':' + request.operation)"
    )
    return Rule(
        f"{asked} in [{known}]",
        "writes the objects of Tenants and RemoteJobs and what is said of them, and no other kind",
    )


def _declared(own: Own, tenants: Iterable[str]) -> list[Object]:
    """The policy that nothing is made for a Tenant that is not to be."""
    # Where no Tenant's objects are at all, another rule says so.
    names = ", ".join(f"'{name}'" for name in ("", *sorted(tenants)))
    rule = Rule(
        written(f"variables.tenant in [{names}]"),
        "makes objects for the Tenants of the site's file: to add one, add it there and run `antenna up`",
    )
    narrowed = (
        replace(row, operations=tuple(one for one in row.operations if one in ("CREATE", "UPDATE")))
        for row in partners.OBJECTS
    )
    return _policy(own, f"{own.name}-declared", [rule], [row for row in narrowed if row.operations])


def _row_policies(own: Own, row: Row) -> list[Object]:
    """One for what holds of every such write, one for what each Tenant says of its own."""
    name = f"{own.name}-{row.slug}"
    alone = [rule for rule in row.rules if not rule.compares]
    compared = [rule for rule in row.rules if rule.compares]
    objects = _policy(own, name, alone, [row]) if alone else []
    if compared:
        objects += _policy(own, f"{name}-of-tenant", compared, [row], compares=True)
    return objects


def _policy(
    own: Own,
    name: str,
    rules: Sequence[Rule],
    matched: Iterable[Row],
    *,
    compares: bool = False,
) -> list[Object]:
    """The policy that ``rules`` hold for what is ``matched``, and its binding; both are called ``name``."""
    policy: Object = {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            **({"paramKind": dict(partners.PARAMETER)} if compares else {}),
            "matchConditions": [{"name": "user", "expression": f"request.userInfo.username == '{own.user}'"}],
            "matchConstraints": {
                **(_LABELLED if compares else {}),
                "resourceRules": [
                    {
                        "apiGroups": [row.group],
                        "apiVersions": [row.version],
                        "operations": list(row.operations),
                        "resources": [row.resource],
                    }
                    for row in matched
                ],
            },
            "variables": [{"name": key, "expression": value} for key, value in _VARIABLES],
            "validations": [
                {
                    "expression": rule.expression,
                    "message": f"{own.name} {rule.message}",
                    # A refusal, and no mistake in the object.
                    "reason": "Forbidden",
                }
                for rule in rules
            ],
        },
    }
    binding: Object = {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            **(_PARAMETERS if compares else {}),
        },
    }
    return [policy, binding]
