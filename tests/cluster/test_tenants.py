"""A Tenant becomes a partner's namespace, rights and queues, and stays so, whatever is done to them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from operators.api import API_VERSION
from operators.api.tenant import tenant_object
from operators.controllers.decisions import key
from operators.kube.client import connect
from operators.kube.errors import Conflict, Forbidden, NotFound
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, Cohort, Flavor, cohort_objects, tenant_objects
from operators.tenancy import PARTNERS_ROLE, Quota, Tenant, namespace_name
from tests.cluster.conftest import RUN, Bundle
from tests.cluster.patience import eventually
from tests.cluster.tenant_controller import (
    given,  # noqa: F401 (a fixture)
    is_ready,
    ready,
    refused,
    runs,
    tenant_controller,
    train,
)

FLAVOR = f"tenants-{RUN}"
COHORT = Cohort(f"tenants-{RUN}", (Flavor(FLAVOR),), {FLAVOR: {GPU: 2, "cpu": 64, "memory": "64Gi"}})
RBAC = "rbac.authorization.k8s.io/v1"
NETWORK = "networking.k8s.io/v1"


@pytest.fixture(scope="module")
def controller(admin, tmp_path_factory):
    inputs = {"stack": "test", "name": f"tenants-{RUN}", "kubeconfig": str(admin.kubeconfig)}
    queues = Bundle(inputs).up(*cohort_objects(COHORT))
    with tenant_controller(admin, tmp_path_factory.mktemp("operator")) as running:
        yield running
    queues.down()


@pytest.fixture
def vib(controller, name):
    return partner(name, 4)


@pytest.fixture
def made(vib, cluster, given):  # noqa: F811
    """A Tenant that is Ready."""
    given(vib, COHORT)
    eventually(lambda: is_ready(cluster, vib.name))
    return vib


def partner(name, gpus, **others):
    quotas = {FLAVOR: {GPU: Quota(gpus), "cpu": Quota(8), "memory": Quota("16Gi")}}
    return Tenant(name, "VIB", "flanders", ("science-research",), ("vib-people",), quotas, **others)


def live(cluster, obj):
    metadata = obj["metadata"]
    return cluster.find(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace"))


def queue_of(cluster, name):
    return cluster.get(KUEUE, "ClusterQueue", name)


def nominal_gpus(cluster, name):
    (group,) = queue_of(cluster, name)["spec"]["resourceGroups"]
    (flavor,) = group["flavors"]
    return next(r["nominalQuota"] for r in flavor["resources"] if r["name"] == GPU)


def status(cluster, name):
    return cluster.get(API_VERSION, "Tenant", name)["status"]


def events(cluster, name):
    """Reasons of the Events on a Tenant, the oldest first."""
    found = cluster.list_objects("v1", "Event", "default", fields=f"involvedObject.name={name}")
    return [event["reason"] for event in found]


# Made


def test_a_tenant_becomes_exactly_what_a_partner_is_given(made, cluster):
    uid = cluster.get(API_VERSION, "Tenant", made.name)["metadata"]["uid"]
    for wanted in tenant_objects(made, COHORT):
        found = live(cluster, wanted)
        assert found, key(wanted)
        assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [uid]
        assert wanted["metadata"]["labels"].items() <= found["metadata"]["labels"].items()
        entry = [e for e in found["metadata"]["managedFields"] if e["manager"] == "antenna-operator"]
        assert [e["operation"] for e in entry] == ["Apply"]
        # Nothing that was asked for is otherwise: applying it by hand again changes nothing.
        again = cluster.apply(wanted, manager="antenna-operator-check", force=False, dry_run=True)
        assert again.get("spec") == found.get("spec")
        assert again.get("rules") == found.get("rules")


def test_a_tenant_is_a_row_that_says_how_it_stands(made, admin, cluster):
    titles, row = admin.kubectl("get", "tenant", made.name).splitlines()
    assert titles.split("  ")[0] == "NAME"
    assert [t.strip() for t in titles.split("  ") if t.strip()] == [
        *("NAME", "ECOSYSTEM", "QUOTA", "IN USE", "PENDING", "OLDEST WAIT", "READY", "AGE")
    ]
    assert row.split()[:5] == [made.name, "flanders", "4", "0", "0"]
    for _ in range(3):
        train(cluster, made.name, gpus=4)

    def follows():
        said = status(cluster, made.name)
        return said["gpus"] == {"quota": 4, "used": 4, "borrowed": 0} and said["pending"] == 2

    eventually(follows)
    waiting = status(cluster, made.name)["oldestPendingSince"]
    made_at = sorted(
        workload["metadata"]["creationTimestamp"]
        for workload in cluster.list_objects(KUEUE, "Workload", namespace_name(made.name))
        if not any(
            c["type"] == "QuotaReserved" and c["status"] == "True"
            for c in workload.get("status", {}).get("conditions", ())
        )
    )
    assert waiting == made_at[0]


def test_a_bundle_waits_until_its_tenant_is_ready_and_sees_no_drift_in_it(vib, bundle, cluster):
    one = bundle().up(tenant_object(vib, COHORT), wait=True)
    assert is_ready(cluster, vib.name)
    assert one.drift() == []
    one.down()
    assert cluster.find("v1", "Namespace", namespace_name(vib.name)) is None


def test_a_bundle_fails_at_once_with_the_reason_for_which_its_tenant_is_refused(vib, bundle, cluster):
    from infra.provider.kind import ProviderError  # noqa: PLC0415

    unknown = Cohort(COHORT.name, (Flavor("a-flavor-of-nobody"),))
    began = time.monotonic()
    one = bundle()
    with pytest.raises(ProviderError, match=f"Tenant {vib.name}: UnknownFlavor: there is no ResourceFlavor"):
        one.up(tenant_object(replace(vib, quotas={}), unknown), wait=True)
    assert time.monotonic() - began < 15
    cluster.delete(API_VERSION, "Tenant", vib.name)


def test_once_all_is_right_nothing_is_written_any_more(made, cluster, controller):
    def versions():
        objects = [live(cluster, obj) for obj in tenant_objects(made, COHORT)]
        objects.append(cluster.get(API_VERSION, "Tenant", made.name))
        return {key(obj): obj["metadata"]["resourceVersion"] for obj in objects}

    time.sleep(2)  # Kueue has its say
    before = versions()
    time.sleep(4)
    assert versions() == before
    assert controller.errors == []


# Mended


def test_what_is_edited_by_hand_is_put_right(made, cluster):
    namespace = namespace_name(made.name)
    edits = [
        ("v1", "Namespace", namespace, {"metadata": {"labels": {f"{POD_SECURITY}/enforce": "privileged"}}}),
        ("v1", "ResourceQuota", "object-counts", {"spec": {"hard": {"pods": "9000"}}}),
        ("v1", "ResourceQuota", "no-priority-class", {"spec": {"hard": {"pods": "9000"}}}),
        (NETWORK, "NetworkPolicy", "isolation", {"spec": {"ingress": [{}], "egress": None}}),
        (NETWORK, "NetworkPolicy", "isolation", {"spec": {"policyTypes": ["Egress"]}}),
        (NETWORK, "NetworkPolicy", "isolation", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        (RBAC, "RoleBinding", "submitters", {"subjects": None}),
        (KUEUE, "ClusterQueue", made.name, {"spec": {"resourceGroups": []}}),
        (KUEUE, "ClusterQueue", made.name, {"spec": {"fairSharing": {"weight": "9"}}}),
        (KUEUE, "LocalQueue", "default", {"metadata": {"labels": {"antenna.be/tenant": None}}}),
        (KUEUE, "ClusterQueue", made.name, {"metadata": {"ownerReferences": None}}),
    ]
    for api_version, kind, name, patch in edits:
        inside = None if kind in ("Namespace", "ClusterQueue") else namespace
        before = cluster.get(api_version, kind, name, inside)
        cluster.patch(api_version, kind, name, inside, patch)

        def right(before=before, inside=inside, api_version=api_version, kind=kind, name=name):
            return content(cluster.get(api_version, kind, name, inside)) == content(before)

        eventually(right)
    eventually(lambda: is_ready(cluster, made.name))


POD_SECURITY = "pod-security.kubernetes.io"


def content(obj):
    metadata = {k: obj["metadata"].get(k) for k in ("labels", "annotations", "ownerReferences")}
    return {**{k: v for k, v in obj.items() if k not in ("status", "metadata")}, **metadata}


@pytest.mark.parametrize(
    ("api_version", "kind", "name"),
    [
        (RBAC, "RoleBinding", "submitters"),
        (NETWORK, "NetworkPolicy", "isolation"),
        ("v1", "ResourceQuota", "no-priority-class"),
        (KUEUE, "LocalQueue", "default"),
    ],
)
def test_what_is_deleted_by_hand_is_made_again(made, cluster, api_version, kind, name):
    namespace = namespace_name(made.name)
    gone = cluster.delete(api_version, kind, name, namespace)

    def back():
        found = cluster.find(api_version, kind, name, namespace)
        return found and found["metadata"]["uid"] != gone

    eventually(back)


def test_a_binding_to_another_role_is_made_anew(made, cluster):
    namespace = namespace_name(made.name)
    wanted = next(o for o in tenant_objects(made, COHORT) if o["kind"] == "RoleBinding")
    other = {**wanted, "roleRef": {**wanted["roleRef"], "kind": "ClusterRole", "name": "view"}}

    def quicker_than_the_operator():
        try:
            cluster.delete(RBAC, "RoleBinding", "submitters", namespace)
            return cluster.create(other)
        except (NotFound, Conflict):
            return None

    eventually(quicker_than_the_operator)
    eventually(lambda: (live(cluster, wanted) or other)["roleRef"] == wanted["roleRef"])


def test_a_namespace_that_is_deleted_by_hand_is_made_again(made, cluster):
    gone = cluster.delete("v1", "Namespace", namespace_name(made.name))

    def back():
        found = cluster.find("v1", "Namespace", namespace_name(made.name))
        return found and found["metadata"]["uid"] != gone and is_ready(cluster, made.name)

    eventually(back)
    assert all(live(cluster, obj) for obj in tenant_objects(made, COHORT))


def test_what_others_add_is_left_alone(made, cluster):
    cluster.patch("v1", "Namespace", namespace_name(made.name), None, {"metadata": {"labels": {"cost": "7"}}})
    cluster.patch(KUEUE, "ClusterQueue", made.name, None, {"spec": {"stopPolicy": "Hold"}})
    # Held on purpose: the operator says so and does not undo it.
    eventually(lambda: ready(cluster, made.name).get("reason") == "QueueInactive")
    cluster.patch(KUEUE, "ClusterQueue", made.name, None, {"spec": {"stopPolicy": "None"}})
    eventually(lambda: is_ready(cluster, made.name))
    assert cluster.get("v1", "Namespace", namespace_name(made.name))["metadata"]["labels"]["cost"] == "7"


# Edited


def test_an_edit_is_carried_out(made, cluster, given):  # noqa: F811
    given(replace(partner(made.name, 5), title="VIB Gent", groups=("a", "b"), weight="2"), COHORT)
    eventually(lambda: nominal_gpus(cluster, made.name) == "5")
    eventually(lambda: is_ready(cluster, made.name))
    namespace = namespace_name(made.name)
    assert (
        cluster.get("v1", "Namespace", namespace)["metadata"]["annotations"]["antenna.be/title"] == "VIB Gent"
    )
    binding = cluster.get(RBAC, "RoleBinding", "submitters", namespace)
    assert [subject["name"] for subject in binding["subjects"]] == ["a", "b"]
    assert queue_of(cluster, made.name)["spec"]["fairSharing"]["weight"] == "2"
    assert status(cluster, made.name)["gpus"]["quota"] == 5


def test_a_partner_without_groups_lets_nobody_in_any_more(made, cluster, given):  # noqa: F811
    given(replace(made, groups=()), COHORT)
    namespace = namespace_name(made.name)
    eventually(lambda: cluster.find(RBAC, "RoleBinding", "submitters", namespace) is None)
    eventually(lambda: is_ready(cluster, made.name))


def test_a_borrowing_limit_comes_and_goes(made, cluster, given):  # noqa: F811
    def limit():
        (group,) = queue_of(cluster, made.name)["spec"]["resourceGroups"]
        return next(r for r in group["flavors"][0]["resources"] if r["name"] == GPU).get("borrowingLimit")

    given(replace(made, quotas={FLAVOR: {**made.quotas[FLAVOR], GPU: Quota(4, 1)}}), COHORT)
    eventually(lambda: limit() == "1")
    given(made, COHORT)
    eventually(lambda: limit() is None)


def test_a_quota_below_what_runs_waits_until_enough_has_ended_and_nothing_is_killed(
    made,
    cluster,
    given,  # noqa: F811
):
    jobs = [train(cluster, made.name, gpus=1) for _ in range(3)]
    eventually(lambda: all(runs(cluster, job) for job in jobs))
    given(partner(made.name, 2), COHORT)
    eventually(lambda: refused(cluster, made.name) == "QuotaBelowUse")
    message = ready(cluster, made.name)["message"]
    assert f"flavor {FLAVOR}: 2 GPUs asked for, 3 GPUs in use, 4 GPUs in force" in message
    assert nominal_gpus(cluster, made.name) == "4"
    assert all(runs(cluster, job) for job in jobs)
    assert events(cluster, made.name) == ["QuotaBelowUse"]
    eventually(lambda: status(cluster, made.name)["gpus"] == {"quota": 4, "used": 3, "borrowed": 0})

    cluster.delete("batch/v1", "Job", jobs[0]["metadata"]["name"], jobs[0]["metadata"]["namespace"])
    eventually(lambda: is_ready(cluster, made.name))
    assert nominal_gpus(cluster, made.name) == "2"
    assert all(runs(cluster, job) for job in jobs[1:])
    eventually(lambda: status(cluster, made.name)["gpus"] == {"quota": 2, "used": 2, "borrowed": 0})
    assert events(cluster, made.name) == ["QuotaBelowUse"]


def test_what_is_borrowed_does_not_stop_a_quota_from_rising(made, cluster, given):  # noqa: F811
    jobs = [train(cluster, made.name, gpus=1) for _ in range(6)]
    eventually(lambda: all(runs(cluster, job) for job in jobs))
    eventually(lambda: status(cluster, made.name)["gpus"] == {"quota": 4, "used": 6, "borrowed": 2})
    given(partner(made.name, 5), COHORT)
    eventually(lambda: nominal_gpus(cluster, made.name) == "5")
    eventually(lambda: is_ready(cluster, made.name))
    assert all(runs(cluster, job) for job in jobs)


# Gone


def test_a_tenant_is_gone_only_when_its_namespace_and_queue_are_work_or_not(made, cluster):
    job = train(cluster, made.name, gpus=2)
    eventually(lambda: runs(cluster, job))
    cluster.delete(API_VERSION, "Tenant", made.name)
    while cluster.find(API_VERSION, "Tenant", made.name):
        time.sleep(0.05)
    assert cluster.find("v1", "Namespace", namespace_name(made.name)) is None
    assert cluster.find(KUEUE, "ClusterQueue", made.name) is None


def test_a_tenant_that_is_deleted_without_its_dependents_leaves_them_to_the_next(made, cluster, given):  # noqa: F811
    namespace = cluster.get("v1", "Namespace", namespace_name(made.name))["metadata"]["uid"]
    cluster.delete(API_VERSION, "Tenant", made.name, propagation="Orphan")
    eventually(lambda: cluster.find(API_VERSION, "Tenant", made.name) is None)
    given(made, COHORT)
    eventually(lambda: is_ready(cluster, made.name))
    assert cluster.get("v1", "Namespace", namespace_name(made.name))["metadata"]["uid"] == namespace


def test_partners_declared_before_there_were_tenants_keep_what_runs(vib, bundle, cluster):
    one = bundle().up(*tenant_objects(vib, COHORT))
    eventually(lambda: queue_of(cluster, vib.name).get("status", {}).get("conditions"))
    job = train(cluster, vib.name, gpus=1)
    eventually(lambda: runs(cluster, job))
    before = cluster.get("v1", "Namespace", namespace_name(vib.name))["metadata"]["uid"]
    one.up(tenant_object(vib, COHORT), wait=True)
    assert cluster.get("v1", "Namespace", namespace_name(vib.name))["metadata"]["uid"] == before
    assert runs(cluster, job)
    assert one.drift() == []
    one.down()
    assert cluster.find("v1", "Namespace", namespace_name(vib.name)) is None


# Rights


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "no-partners"}},
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": {"name": "submitters", "namespace": "kube-system"},
            "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": PARTNERS_ROLE},
        },
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "object-counts", "namespace": "default"},
            "spec": {"hard": {"pods": "0"}},
        },
    ],
    ids=["a namespace", "a binding", "a quota"],
)
def test_the_operator_may_write_nowhere_but_in_partners_namespaces(controller, obj):
    operator = connect(controller.kubeconfig)
    with pytest.raises(Forbidden, match="writes in namespaces tenant-\\* only"):
        operator.apply(obj, manager="antenna-operator", dry_run=True)
    operator.close()


def test_the_operator_may_not_read_what_partners_keep_secret(controller):
    operator = connect(controller.kubeconfig)
    with pytest.raises(Forbidden):
        operator.list_objects("v1", "Secret")
    operator.close()
