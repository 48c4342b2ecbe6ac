"""Rules of a ClusterQueue: it gives what its Tenant names, and no more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from operators.confinement.cel import kept, literal
from operators.confinement.row import Rule, of_its_tenant, written
from operators.queues import CHECKS, REMOTE_RESOURCES, RESOURCES
from operators.tenancy import Object

_DEFAULTS: Final[Object] = {
    "stopPolicy": "None",
    "flavorFungibility": {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "TryNextFlavor"},
}
_PREEMPTION_DEFAULTS: Final[Object] = {"borrowWithinCohort": {"policy": "Never"}}
"""What Kueue adds to one that is made."""

_LOCAL: Final = "params.spec.quotas.filter(q, !q[?'remote'].orValue(false))"
_REMOTE: Final = "params.spec.quotas.filter(q, q[?'remote'].orValue(false))"
_NONE: Final = "'0'"
_GROUPS: Final = "object.spec[?'resourceGroups'].orValue([])"
_BEFORE: Final = "variables.was[?'spec'].orValue(dyn({}))"
_CHECKS: Final = "admissionChecksStrategy"
_FLAT: Final = ("cohortName", "namespaceSelector", "queueingStrategy")
_OURS: Final = (*_FLAT, "resourceGroups", "fairSharing", "preemption", _CHECKS)


def rules(filled: Mapping[str, str], spec: Object) -> tuple[Rule, ...]:
    """For a sample's ``spec``, with the expressions of its placeholders."""
    return (
        Rule(
            written(
                f"object.spec.all(k, k in {literal(list(_OURS), {})} "
                f"|| (k in {_BEFORE} && {_BEFORE}[k] == object.spec[k]) || {_default()})"
            ),
            "leaves what others set of a ClusterQueue as it is",
        ),
        Rule(
            written(of_its_tenant(_settings(filled, spec))),
            "gives a ClusterQueue the Tenant's cohort, namespace and weight",
            compares=True,
        ),
        Rule(
            written(of_its_tenant(_quotas())),
            "gives a ClusterQueue the quotas that the Tenant names, and no more",
            compares=True,
        ),
        Rule(
            written(of_its_tenant(_checks())),
            "has remote work pass the admission checks",
            compares=True,
        ),
    )


def _default() -> str:
    """Whether key ``k`` has the value that Kueue gives it."""
    return " || ".join(
        f"(k == {literal(key, {})} && object.spec[k] == {literal(value, {})})"
        for key, value in _DEFAULTS.items()
    )


def _settings(filled: Mapping[str, str], spec: Object) -> str:
    weight = "params.spec[?'weight'].orValue(dyn('1'))"
    same = [f"object.spec[?'{key}'] == optional.of({literal(spec[key], filled)})" for key in _FLAT]
    preemption = kept(("spec", "preemption"), spec["preemption"], filled, _PREEMPTION_DEFAULTS)
    given = "object.spec[?'fairSharing'][?'weight'].orValue(dyn('1'))"
    return " && ".join([*same, f"({preemption})", _equal(given, weight)])


def _quotas() -> str:
    """Whether there are the groups of resources that the Tenant's flavors make: local ones, remote ones."""
    limited = (
        "r[?'borrowingLimit'].hasValue() == q[?'resources'][?r.name][?'borrowingLimit'].hasValue() "
        f"&& (!has(r.borrowingLimit) || {_equal('r.borrowingLimit', 'q.resources[r.name].borrowingLimit')}) "
        "&& !has(r.lendingLimit)"
    )
    alone = " && ".join(
        f"r[?'{limit}'].hasValue() && {_equal(f'r.{limit}', _NONE)}"
        for limit in ("borrowingLimit", "lendingLimit")
    )
    return (
        f"{_GROUPS}.size() == ({_REMOTE}.size() == 0 ? 1 : 2) "
        f"&& ({_group(0, _LOCAL, RESOURCES, limited)}) "
        f"&& ({_REMOTE}.size() == 0 || ({_group(1, _REMOTE, REMOTE_RESOURCES, alone)}))"
    )


def _group(at: int, quotas: str, resources: tuple[str, ...], limits: str) -> str:
    """Whether a group of resources holds these quotas, flavor by flavor in their order."""
    names = literal(list(resources), {})
    nominal = "q[?'resources'][?r.name][?'nominal'].orValue(dyn('0'))"
    return (
        f"{_GROUPS}[{at}].coveredResources == {names} "
        f"&& {_GROUPS}[{at}].flavors.map(f, f.name) == {quotas}.map(q, q.flavor) "
        f"&& {_GROUPS}[{at}].flavors.all(f, f.resources.map(r, r.name) == {names} "
        f"&& {quotas}.filter(q, q.flavor == f.name).all(q, f.resources.all(r, "
        f"{_equal('r.nominalQuota', nominal)} && {limits})))"
    )


def _checks() -> str:
    """Whether work on remote flavors passes all checks, on all of them."""
    now, was = (f"{obj}[?'{_CHECKS}'].orValue(dyn({{}}))" for obj in ("object.spec", _BEFORE))
    flavors = f"dyn({_REMOTE}.map(q, q.flavor))"
    checks = ", ".join(f"{{'name': dyn('{name}'), 'onFlavors': {flavors}}}" for name in CHECKS)
    return (
        f"{_REMOTE}.size() == 0 ? {now} == {was} || {now} == dyn({{}}) "
        f": {now} == dyn({{'admissionChecks': dyn([{checks}])}})"
    )


def _equal(one: str, other: str) -> str:
    """Whether two quantities are the same amount, however they are written."""
    return f"quantity(string({one})).compareTo(quantity(string({other}))) == 0"
