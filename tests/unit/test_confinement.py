"""Every write that the operator has a right to has a row that says what it may hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.manifests import monitoring_objects
from operators.confinement import confinement, operations, rows
from operators.confinement.cel import kept, literal
from operators.confinement.partners import OBJECTS
from operators.controllers.reconcile import MANAGER
from operators.manifests import CA_CONFIG_MAP, NAME, NAMESPACE, OWN, operator_objects
from operators.queues import Cohort, tenant_objects
from operators.tenancy import PARTNERS_ROLE, Tenant
from operators.why.notices import COMPONENT

Object = dict[str, Any]

OPERATIONS = {
    "create": "CREATE",
    "update": "UPDATE",
    "patch": "UPDATE",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
READS = {"get", "list", "watch"}
NO_WRITES = {
    # Questions: admission policies are not asked about them, and nothing changes.
    ("authentication.k8s.io", "tokenreviews", "create"): "whose a token is",
    ("authorization.k8s.io", "subjectaccessreviews", "create"): "who may read /metrics",
    # Rights that another write needs, and that is in a row.
    ("antenna.be", "tenants/finalizers", "update"): "to name a Tenant as the owner of an object",
    ("rbac.authorization.k8s.io", "clusterroles", "bind"): "to name the partners' role in a RoleBinding",
}
ALL_OF_IT = {"antenna.be/tenants/status", "antenna.be/remotesites/status"}
"""Rows without rules: what the operator says there is for its kind's schema alone to bound."""


def granted() -> Iterator[tuple[str, str, str]]:
    """(group, resource, verb) of each write that any role of the site gives the operator."""
    site = [
        *operator_objects(image="i", head="h"),
        *monitoring_objects(
            store_image="s",
            alerter_image="a",
            alertmanager_image="m",
            nodes=["h"],
            retention_days=1,
            oncall=None,
        ),
    ]
    held = {
        (obj["roleRef"]["kind"], obj["roleRef"]["name"], obj["metadata"].get("namespace"))
        for obj in site
        if obj["kind"].endswith("RoleBinding")
        for subject in obj["subjects"]
        if (subject["name"], subject["namespace"]) == (NAME, NAMESPACE)
    }
    for obj in site:
        if (obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace")) in held:
            for rule in obj["rules"]:
                for resource in rule.get("resources", ()):
                    for verb in rule["verbs"]:
                        if verb not in READS:
                            yield rule["apiGroups"][0], resource, verb


def test_every_verb_that_writes_is_in_a_row() -> None:
    found = set(granted())
    assert len(found) > 30
    known = operations(OWN)
    forgotten = [
        (group, resource, verb)
        for group, resource, verb in found
        if (group, resource, verb) not in NO_WRITES
        and f"{group}/{resource}:{OPERATIONS.get(verb, verb)}" not in known
    ]
    assert forgotten == []
    assert set(NO_WRITES) <= found


def test_no_row_speaks_of_what_the_operator_has_no_right_to() -> None:
    rights = {f"{group}/{resource}:{OPERATIONS.get(verb, verb)}" for group, resource, verb in granted()}
    assert operations(OWN) - rights == set()


def test_every_row_has_rules_and_those_that_have_none_are_here() -> None:
    assert {row.kind for row in rows(OWN) if not row.rules} == ALL_OF_IT
    for row in rows(OWN):
        for rule in row.rules:
            assert len(rule.message.split()) >= 4, rule


def test_every_kind_that_a_tenant_gets_is_compared_with_its_tenant() -> None:
    sample = Tenant("vib", "VIB", "flanders", ("science-research",), groups=("people",))
    kinds = {
        f"{obj['kind']}s".lower().replace("ys", "ies") for obj in tenant_objects(sample, Cohort("c", ()))
    }
    compared = {row.resource for row in OBJECTS if any(rule.compares for rule in row.rules)}
    assert compared == kinds


def test_the_policies_are_for_the_operator_alone_and_refuse_where_they_fail() -> None:
    objects = confinement(OWN, ["vib"])
    policies = [obj for obj in objects if obj["kind"] == "ValidatingAdmissionPolicy"]
    bound = {obj["spec"]["policyName"] for obj in objects if obj["kind"].endswith("Binding")}
    assert {policy["metadata"]["name"] for policy in policies} == bound
    for policy in policies:
        spec = policy["spec"]
        assert spec["failurePolicy"] == "Fail"
        (condition,) = spec["matchConditions"]
        assert condition["expression"] == f"request.userInfo.username == '{OWN.user}'"
        # Parameters are looked for whoever asks: only for what is a partner's.
        assert ("paramKind" in spec) == ("objectSelector" in spec["matchConstraints"])


def test_the_operator_can_write_neither_its_policies_nor_the_partners_role() -> None:
    written = {resource for _, resource, verb in granted() if verb != "bind"}
    assert not written & {"clusterroles", "clusterrolebindings", "secrets", "pods", "daemonsets", "nodes"}
    assert not any("admissionpolic" in resource for resource in written)
    assert [
        rule["resourceNames"]
        for obj in operator_objects(image="i", head="h")
        if obj["kind"] == "ClusterRole"
        for rule in obj["rules"]
        if "bind" in rule["verbs"]
    ] == [[PARTNERS_ROLE]]


def test_what_rows_name_is_called_what_the_code_calls_it() -> None:
    assert {COMPONENT, MANAGER} == {"antenna-operator"}
    texts = [rule.expression for row in rows(OWN) for rule in row.rules]
    assert any(f"component'].orValue('') == '{COMPONENT}'" in text for text in texts)
    assert any(CA_CONFIG_MAP in text for text in texts)


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("a'b", '"a\'b"'),
        ("tenant-<tenant>", '"tenant-" + variables.tenant'),
        ("<other>", '"<other>"'),
        (True, "true"),
        (3, "3"),
        (["a", "<tenant>"], '["a", variables.tenant]'),
        ({"a": {"b": "c"}}, '{"a": dyn({"b": dyn("c")})}'),
        ("", "''"),
    ],
)
def test_plain_data_becomes_an_expression(value: Any, expression: str) -> None:
    assert literal(value, {"<tenant>": "variables.tenant"}) == expression


def test_a_map_is_what_is_wanted_and_else_what_it_was() -> None:
    text = kept(("metadata", "labels"), {"a": "b"}, {})
    assert 'k in ["a"]' in text
    assert 'variables.was[?"metadata"][?"labels"]' in text
    assert '["a"] == "b"' in text
