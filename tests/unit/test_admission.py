"""The rows of what may be made in partners' namespaces: none is forgotten, and all that they bound fits."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from infra import paths
from infra.oncall import oncall_of
from infra.site import parse_site
from monitoring.manifests import monitoring_objects
from operators.admission.policies import admission, operations
from operators.admission.rows import (
    DEFAULT_DISK,
    DEFAULT_REQUEST,
    KEPT_SECONDS,
    KINDS,
    PLATFORM_CLASSES,
    ROWS,
    Row,
)
from operators.manifests import operator_objects
from operators.tenancy import NO_PODS, OBJECT_COUNTS, SUBMITTER_RULES, Tenant, namespace_objects
from tests.cluster.partner_work import TABLE
from tests.unit.site_examples import ONCALL

PARTNERS = 23
PLURALS = {
    "Job": "jobs",
    "RemoteJob": "remotejobs",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}
TO_DO = {"ask", "leave", "lower", "make", "name", "put", "run", "set", "split", "take"}
ELSEWHERE = {"suspended", "asks", "from-jobs", "volume-source"}
"""Rows that no request of a person comes to break where all runs: the cluster tests look at these in other
ways, and Kubernetes drops the field of the last one for now."""

MAY_CREATE = [
    (group, resource)
    for rule in SUBMITTER_RULES
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    if {"create", "*"} & set(rule["verbs"])
]
by_right = pytest.mark.parametrize(("group", "resource"), MAY_CREATE, ids=[name for _, name in MAY_CREATE])


def counted(group: str, resource: str) -> int:
    """How many there may be; KeyError where nothing bounds them."""
    names = (f"count/{resource}.{group}",) if group else (f"count/{resource}", resource)
    return int(next(OBJECT_COUNTS[name] for name in names if name in OBJECT_COUNTS))


@by_right
def test_all_that_a_partner_may_create_is_looked_at_counted_and_of_a_bounded_size(
    group: str, resource: str
) -> None:
    (kind,) = (kind for kind in KINDS if kind.resource == resource)
    assert kind.group == group
    assert counted(group, resource) > 0
    assert kind.size > 0
    named = {row.name for row in ROWS if resource in row.kinds}
    assert {"owners", "finalizers", "size"} <= named


def test_a_partner_may_create_what_this_page_says_and_nothing_else() -> None:
    assert {resource for _, resource in MAY_CREATE} == set(PLURALS.values())


@by_right
def test_what_a_partner_may_change_is_looked_at_again(group: str, resource: str) -> None:
    verbs = {v for rule in SUBMITTER_RULES if resource in rule["resources"] for v in rule["verbs"]}
    assert ("UPDATE" in operations(resource)) == bool(verbs & {"update", "patch"})


def test_what_controllers_make_for_a_partner_is_counted_too() -> None:
    waiting = counted("batch", "jobs") + counted("antenna.be", "remotejobs")
    assert counted("kueue.x-k8s.io", "workloads") >= waiting
    assert counted("", "pods") > 0


def test_all_that_all_partners_may_write_fits_into_etcd() -> None:
    size = {kind.resource: kind.size for kind in KINDS}
    # A pod and a Workload are made of what their Job holds; a RemoteJob's Workload names no script.
    each = sum(counted(group, resource) * size[resource] for group, resource in MAY_CREATE)
    each += (counted("", "pods") + counted("kueue.x-k8s.io", "workloads")) * size["jobs"]
    assert PARTNERS * each < etcd_bytes(), f"{PARTNERS * each >> 20} MiB"


def etcd_bytes() -> int:
    """What etcd holds on a site before it refuses every write."""
    role = paths.REPOSITORY / "playbooks/roles/kubernetes/files/control_plane.yml"
    (row,) = (r for r in yaml.safe_load(role.read_text())["flags"] if r["flag"] == "quota-backend-bytes")
    return int(row["value"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.kinds[0]}")
def test_every_refusal_is_a_sentence_that_names_the_key_and_says_what_to_do(row: Row) -> None:
    about, _, said = row.message.partition("; ")
    assert said.endswith("."), row.message
    assert set(re.findall("[a-z]+", said)) & TO_DO, said
    assert len(row.message) < 300
    assert about


def test_every_row_is_refused_something_by_the_table() -> None:
    told = {
        (row.name, kind)
        for row in ROWS
        for kind in row.kinds
        for case in TABLE["refused"]
        if PLURALS[case["kind"]] == kind and row.message.startswith(case["says"])
    }
    assert {row.name for row in ROWS} - {name for name, _ in told} == ELSEWHERE


def test_the_table_has_enough_of_each() -> None:
    assert len({case["bad"] for case in TABLE["refused"]}) == len(TABLE["refused"]) >= 60
    assert len({case["good"] for case in TABLE["admitted"]}) == len(TABLE["admitted"]) >= 20


def test_the_page_tells_the_bounds_as_they_are() -> None:
    page = (paths.REPOSITORY / "docs/tenants.md").read_text()
    size = {kind.resource: kind.size >> 10 for kind in KINDS}
    group = {resource: group for group, resource in MAY_CREATE}
    for kind, plural in PLURALS.items():
        assert f"| {kind} | {counted(group[plural], plural)} | {size[plural]} KiB |" in page
    assert f"leaves after {KEPT_SECONDS // 86400} days" in page
    assert f"else {DEFAULT_REQUEST['cpu']} and {DEFAULT_REQUEST['memory']}" in page
    assert f"a container writes {DEFAULT_DISK} at most" in page


def test_each_policy_is_bound_fails_closed_and_denies() -> None:
    objects = admission()
    policies = {o["metadata"]["name"]: o for o in objects if o["kind"].endswith("Policy")}
    bindings = {o["spec"]["policyName"]: o for o in objects if o["kind"].endswith("Binding")}
    assert policies.keys() == bindings.keys()
    assert {p["spec"]["failurePolicy"] for p in policies.values()} == {"Fail"}
    denying = [b for b in bindings.values() if b["kind"].startswith("Validating")]
    assert len(denying) == len(KINDS)
    assert all(b["spec"]["validationActions"] == ["Deny"] for b in denying)


def test_no_pod_of_a_partner_has_a_priority_class_or_keeps_others_away() -> None:
    quotas = {
        requirement["scopeName"]: obj["spec"]["hard"]
        for obj in namespace_objects(Tenant("vib", "VIB", "flanders"))
        if obj["kind"] == "ResourceQuota"
        for requirement in obj["spec"].get("scopeSelector", {}).get("matchExpressions", ())
    }
    assert quotas == {scope: {"pods": "0"} for scope in NO_PODS}


def test_nothing_in_a_partners_namespace_fills_in_what_kueue_reads_otherwise() -> None:
    kinds = {obj["kind"] for obj in namespace_objects(Tenant("vib", "VIB", "flanders", (), ("people",)))}
    assert "LimitRange" not in kinds


def own_volumes() -> list[Any]:
    images = {"store_image": "store", "alerter_image": "alerter", "alertmanager_image": "alertmanager"}
    oncall = oncall_of(parse_site(ONCALL, source="Pulumi.x.yaml"))
    objects = [
        *operator_objects(image="operator", head="head"),
        *monitoring_objects(**images, nodes=["head"], retention_days=1, oncall=oncall),
    ]
    claims = {
        (o["metadata"]["namespace"], o["metadata"]["name"]): o
        for o in objects
        if o["kind"] == "PersistentVolumeClaim"
    }
    return [(o, claims) for o in objects if o["kind"] == "PersistentVolume"]


def test_every_volume_of_our_own_is_one_claims_and_of_a_class_that_partners_may_not_name() -> None:
    volumes = own_volumes()
    assert sorted(v["spec"]["storageClassName"] for v, _ in volumes) == sorted(PLATFORM_CLASSES)
    for volume, claims in volumes:
        taken_by = volume["spec"]["claimRef"]
        claim = claims[taken_by["namespace"], taken_by["name"]]
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"]
