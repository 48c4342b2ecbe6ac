"""What a partner gets: the pure functions, without a cluster."""

from __future__ import annotations

from decimal import Decimal

import pytest

from operators.queues import (
    GPU,
    Cohort,
    Flavor,
    cluster_queue,
    cohort_objects,
    quantity,
    tenant_objects,
    undivided,
)
from operators.tenancy import Quota, Tenant

COHORT = Cohort(
    "antenna",
    (Flavor("local-gpu", {"antenna.be/gpu": "true"}), Flavor("lumi-small-g")),
    {"local-gpu": {GPU: 3, "cpu": 16}},
)
VIB = Tenant(
    name="vib",
    title="VIB",
    ecosystem="flanders",
    sectors=("health-biotech-life-sciences",),
    groups=("vib-users", "vib-robots"),
    quotas={"local-gpu": {GPU: Quota(2, borrowing_limit=4), "memory": Quota("64Gi")}},
    weight=2,
)


def by_kind(objects):
    return {obj["kind"]: obj for obj in objects}


def test_a_partner_gets_a_namespace_rights_limits_and_queues():
    kinds = [obj["kind"] for obj in tenant_objects(VIB, COHORT)]
    assert kinds == [
        "Namespace",
        "ResourceQuota",
        "ResourceQuota",
        "ResourceQuota",
        "NetworkPolicy",
        "RoleBinding",
        "ClusterQueue",
        "LocalQueue",
    ]


def test_every_object_of_a_partner_says_whose_it_is():
    for obj in tenant_objects(VIB, COHORT):
        assert obj["metadata"]["labels"]["antenna.be/tenant"] == "vib"
        assert obj["metadata"]["labels"]["antenna.be/ecosystem"] == "flanders"


def test_everything_of_a_partner_but_its_cluster_queue_lies_in_its_namespace():
    objects = tenant_objects(VIB, COHORT)
    assert {o["kind"] for o in objects if "namespace" not in o["metadata"]} == {"Namespace", "ClusterQueue"}
    assert {o["metadata"].get("namespace", "tenant-vib") for o in objects} == {"tenant-vib"}


def test_only_the_partners_namespace_may_use_its_cluster_queue():
    selector = cluster_queue(VIB, COHORT)["spec"]["namespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": "tenant-vib"}}


def test_a_cluster_queue_names_every_flavor_and_resource_with_zero_where_there_is_no_quota():
    (group,) = cluster_queue(VIB, COHORT)["spec"]["resourceGroups"]
    quotas = {f["name"]: {r["name"]: r for r in f["resources"]} for f in group["flavors"]}
    assert quotas["local-gpu"][GPU] == {"name": GPU, "nominalQuota": "2", "borrowingLimit": "4"}
    assert quotas["local-gpu"]["memory"] == {"name": "memory", "nominalQuota": "64Gi"}
    assert quotas["lumi-small-g"][GPU] == {"name": GPU, "nominalQuota": "0"}
    assert all(list(q) == group["coveredResources"] for q in quotas.values())


def test_a_partner_without_groups_has_a_queue_and_nobody_who_may_use_it():
    nobody = Tenant(name="ulb", title="ULB", ecosystem="brussels")
    assert "RoleBinding" not in by_kind(tenant_objects(nobody, COHORT))


def test_groups_of_kubernetes_itself_are_refused():
    with pytest.raises(ValueError, match="system:authenticated"):
        Tenant(name="ulb", title="ULB", ecosystem="brussels", groups=("system:authenticated",))


def test_a_namespace_admits_restricted_pods_only():
    labels = by_kind(tenant_objects(VIB, COHORT))["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_cohort_holds_what_is_no_partners_own():
    cohort = by_kind(cohort_objects(COHORT))["Cohort"]
    (group,) = cohort["spec"]["resourceGroups"]
    local = {r["name"]: r["nominalQuota"] for r in group["flavors"][0]["resources"]}
    assert local == {"cpu": "16", "memory": "0", GPU: "3"}


def test_flavors_come_before_the_queues_that_name_them():
    assert [obj["kind"] for obj in cohort_objects(COHORT)] == ["ResourceFlavor", "ResourceFlavor", "Cohort"]


def test_the_undivided_rest_is_what_the_quotas_leave():
    capacity = {"local-gpu": {GPU: 8, "cpu": "4500m", "memory": "1Ti"}}
    assert undivided(capacity, [VIB]) == {"local-gpu": {GPU: "6", "cpu": "4500m", "memory": "960Gi"}}


def test_quotas_beyond_the_capacity_are_refused():
    with pytest.raises(ValueError, match=r"nvidia.com/gpu of flavor local-gpu exceed the 1 "):
        undivided({"local-gpu": {GPU: 1, "memory": "64Gi"}}, [VIB])


def test_a_quota_of_a_flavor_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="vib: there is no"):
        undivided({"other": {GPU: 8}}, [VIB])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        (4, 4),
        ("500m", "0.5"),
        ("1Gi", 2**30),
        ("1024Mi", 2**30),
        ("2k", 2000),
        ("1e3", 1000),
        ("0.5", "0.5"),
        ("-1", -1),
        ("500u", "0.0005"),
        ("5n", "0.000000005"),
        (".5", "0.5"),
        ("12E", 12 * 10**18),
        ("1E3", 1000),
    ],
)
def test_quantities_are_numbers(text, number):
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "four", "1 Gi", "1gi", "nan", "Infinity"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantity(text)


def test_the_same_partner_gives_the_same_objects():
    assert tenant_objects(VIB, COHORT) == tenant_objects(VIB, COHORT)
