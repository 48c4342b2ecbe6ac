"""The admission policies of partners' namespaces: made of ``admission_rows``, and what is filled in. Pure.

What is left out of a Job is filled in when it is made, before Kueue looks at it: what it asks for then stands
in the Job, and Kueue and the kubelet read the same. A LimitRange would fill in pods alone, and Kueue guesses
what that would make of a Job otherwise than Kubernetes does (kueue#15020).
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from operators.admission.rows import (
    DEFAULT_DISK,
    DEFAULT_REQUEST,
    DISK,
    IN_PARTNERS,
    KEPT_SECONDS,
    KINDS,
    PLATFORM_USER,
    ROWS,
    Kind,
)
from operators.tenancy import SUBMITTER_RULES, Object

NAME: Final = "antenna-partners"
"""The policies are called this and the kind, as ``antenna-partners-jobs``."""

_API_VERSION: Final = "admissionregistration.k8s.io/v1"


def admission() -> list[Object]:
    """A policy for each kind and its binding, and what is filled in."""
    return [*_defaults(), *(obj for kind in KINDS for obj in _policy(kind))]


def operations(resource: str) -> list[str]:
    """What of a resource is looked at: what partners may do by their Role, and that pods are made at all."""
    verbs = {verb for rule in SUBMITTER_RULES if resource in rule["resources"] for verb in rule["verbs"]}
    found = ["CREATE"] if "create" in verbs or resource == "pods" else []
    return [*found, "UPDATE"] if verbs & {"update", "patch"} else found


def _policy(kind: Kind) -> list[Object]:
    variables = (*((("pod", kind.pod),) if kind.pod else ()), *kind.variables)
    # The platform's parts fill in what is theirs; pods are made by one of them, of what a partner wrote.
    people = () if kind.resource == "pods" else (("people", f"!({PLATFORM_USER})"),)
    asked = operations(kind.resource)
    # With a new key every Secret is written anew as it is, also one from before there was a row against it.
    changed = (("changed", "oldObject == null || object != oldObject"),) if "UPDATE" in asked else ()
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_rule(kind, asked)]},
        "matchConditions": _named((("partners", IN_PARTNERS), *people, *changed)),
        "validations": [
            {"expression": row.expression, "message": row.message}
            for row in ROWS
            if kind.resource in row.kinds
        ],
    }
    if variables:
        spec["variables"] = _named(variables)
    return _bound("Validating", f"{NAME}-{kind.resource}", spec, {"validationActions": ["Deny"]})


def _defaults() -> list[Object]:
    """Fills in of a Job what Kueue and Kubernetes would fill in each in its own way, and when it leaves."""

    def stated(name: str, first: str, second: str, otherwise: str) -> str:
        """What a container says of a resource, in one of two places, or what it is taken to say."""
        found = f"c.?resources.?{first}[?'{name}'].or(c.?resources.?{second}[?'{name}'])"
        return f"'{name}': {found}.orValue('{otherwise}')"

    asked = ", ".join(stated(name, "requests", "limits", amount) for name, amount in DEFAULT_REQUEST.items())
    disk = {
        "requests": stated(DISK, "requests", "limits", "0"),
        "limits": stated(DISK, "limits", "requests", DEFAULT_DISK),
    }
    at = "Object.spec.template.spec"

    def container(field: str, requests: str) -> str:
        resources = f"{at}.{field}.resources{{requests: {{{requests}}}, limits: {{{disk['limits']}}}}}"
        return f"{at}.{field}{{name: c.name, resources: {resources}}}"

    def filled(field: str) -> str:
        # Where the pod asks as a whole, its containers need not.
        whole = container(field, disk["requests"])
        each = container(field, f"{asked}, {disk['requests']}")
        found = f"object.spec.template.spec.?{field}.orValue([])"
        return f"has(object.spec.template.spec.resources) ? {found}.map(c, {whole}) : {found}.map(c, {each})"

    kept = f"object.spec.?ttlSecondsAfterFinished.orValue({KEPT_SECONDS})"
    pod = f"{at}{{containers: {filled('containers')}, initContainers: {filled('initContainers')}}}"
    expression = (
        f"Object{{spec: Object.spec{{ttlSecondsAfterFinished: {kept}, "
        f"template: Object.spec.template{{spec: {pod}}}}}}}"
    )
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [_rule(KINDS[0], ["CREATE"])]},
        "matchConditions": _named((("partners", IN_PARTNERS),)),
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
        ],
    }
    return _bound("Mutating", f"{NAME}-defaults", spec, {})


def _rule(kind: Kind, found: list[str]) -> Object:
    return {
        "apiGroups": [kind.group],
        "apiVersions": ["*"],
        "operations": found,
        "resources": [kind.resource],
    }


def _named(pairs: Iterable[tuple[str, str]]) -> list[Object]:
    return [{"name": name, "expression": expression} for name, expression in pairs]


def _bound(sort: str, name: str, spec: Object, binding: Object) -> list[Object]:
    return [
        {
            "apiVersion": _API_VERSION,
            "kind": f"{sort}AdmissionPolicy",
            "metadata": {"name": name},
            "spec": spec,
        },
        {
            "apiVersion": _API_VERSION,
            "kind": f"{sort}AdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, **binding},
        },
    ]
