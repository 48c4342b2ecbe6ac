"""The operator's own token in a stranger's hand: it does the operator's work, and nothing besides."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from operators.api import API_VERSION as ANTENNA
from operators.api.names import REMOTE_JOB
from operators.api.remote_site import remote_site_object
from operators.api.tenant import tenant_object
from operators.confinement import confinement
from operators.controllers.decisions import owned
from operators.kube.client import connect
from operators.kube.errors import ApiError, Conflict, Forbidden
from operators.manifests import NAME, NAMESPACE, OWN
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, Cohort, Flavor, cohort_objects, tenant_objects
from operators.sites.flavors import flavors, quotas
from operators.tenancy import (
    PARTNERS_ROLE,
    SUBMITTER_RULES,
    Allocation,
    Egress,
    Quota,
    Tenant,
    labels,
    namespace_name,
    partners_role,
)
from tests.cluster.conftest import Bundle
from tests.cluster.deployed import DeployedOperator, deployed_arguments, install
from tests.cluster.light import light_cluster
from tests.cluster.operators_writes import OTHER_KINDS, REFUSED, TAKEN
from tests.cluster.patience import eventually
from tests.cluster.remote_world import Scheduler, dispatch, lumi
from tests.cluster.tenant_controller import is_ready, operators_kubeconfig, train

RBAC = "rbac.authorization.k8s.io"
RBAC_V1 = f"{RBAC}/v1"
NETWORK = "networking.k8s.io/v1"
LIMITS = {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]}
LUMI = lumi("lumi")
COHORT = Cohort("confined", (Flavor("local"), *flavors((LUMI,))))
TODAY = datetime.now(UTC).date()
GRANT = Allocation(
    *("lumi", "project_465000001", Fraction(1000), "gpu-hours"),
    *(TODAY - timedelta(days=30), TODAY + timedelta(days=330)),
)


def partner(name, grants=(), **others):
    local = {"local": {GPU: Quota(2), "cpu": Quota(8), "memory": Quota("16Gi")}}
    quota = local | quotas(grants, (LUMI,))
    one = Tenant(name, name.upper(), "flanders", ("science-research",), (f"{name}-people",), quota)
    return replace(one, allocations=grants, **others)


VIB, VUB = partner("vib", (GRANT,), egress=(Egress("192.0.2.0/24", (443,)),)), partner("vub")
EARLIER, GONE, LEFT = partner("earlier"), partner("gone"), partner("left")
ALL = (VIB, VUB, EARLIER, GONE, LEFT)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with light_cluster(tmp_path_factory.mktemp("confined")) as up:
        yield up


@pytest.fixture(scope="module")
def api(plane):
    """The administrator, once the operator is installed as on a site."""
    with closing(connect(plane.kubeconfig)) as cluster:
        install(plane, cluster, [one.name for one in ALL])
        for obj in (*cohort_objects(COHORT), remote_site_object(LUMI)):
            cluster.apply(obj, manager="test")
        yield cluster


@pytest.fixture(scope="module")
def mallory(plane, api, tmp_path_factory):
    """Whoever holds the operator's token."""
    kubeconfig = operators_kubeconfig(
        plane, tmp_path_factory.mktemp("stolen"), namespace=NAMESPACE, name=NAME
    )
    with closing(connect(kubeconfig)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def operator(plane, api, tmp_path_factory):
    """As deployed, with its own rights; partners are there, one of them from the build before."""
    as_before(api, EARLIER)
    one = DeployedOperator(plane, tmp_path_factory.mktemp("operator"), deployed_arguments())
    one.start()
    for tenant in ALL:
        api.apply(tenant_object(tenant, COHORT), manager="test")
    for tenant in ALL:
        eventually(lambda tenant=tenant: is_ready(api, tenant.name))
    yield one
    one.stop()


def as_before(api, tenant):
    """A partner as the build before made it: with a Role of its own in its namespace."""
    made = api.apply(tenant_object(tenant, COHORT), manager="test")
    namespace = namespace_name(tenant.name)
    role = {
        "apiVersion": RBAC_V1,
        "kind": "Role",
        "metadata": {"name": "submitter", "namespace": namespace, "labels": labels(tenant)},
        "rules": [dict(rule) for rule in SUBMITTER_RULES],
    }
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "default-requests", "namespace": namespace, "labels": labels(tenant)},
        "spec": LIMITS,
    }
    for obj in (*tenant_objects(tenant, COHORT), role, limits):
        bound = {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "submitter"}}
        changed = {**obj, **bound} if obj["kind"] == "RoleBinding" else obj
        api.apply(owned(changed, made), manager="antenna-operator")


def binding(api, tenant):
    found = api.find(RBAC_V1, "RoleBinding", "submitters", namespace_name(tenant.name))
    assert found
    return found


def groups(api, tenant):
    return [subject["name"] for subject in binding(api, tenant)["subjects"]]


def may(plane, tenant, verb="create", resource="jobs.batch"):
    people = ("--as", "alice", "--as-group", f"{tenant.name}-people")
    said = plane.kubectl(
        "-n", namespace_name(tenant.name), "auth", "can-i", verb, resource, *people, check=False
    )
    return said.startswith("yes")


# What the operator does


def test_what_partners_had_in_the_build_before_goes_and_their_role_is_the_sites(plane, api, operator):
    eventually(lambda: api.find(RBAC_V1, "Role", "submitter", namespace_name(EARLIER.name)) is None)
    eventually(lambda: api.find("v1", "LimitRange", "default-requests", namespace_name(EARLIER.name)) is None)
    assert binding(api, EARLIER)["roleRef"] == {
        "apiGroup": RBAC,
        "kind": "ClusterRole",
        "name": PARTNERS_ROLE,
    }
    assert may(plane, EARLIER)
    assert not may(plane, EARLIER, "create", "rolebindings.rbac.authorization.k8s.io")


def test_what_a_tenant_becomes_is_carried_out(api, operator):
    changed = replace(
        *(VUB,),
        groups=("vub-people", "vub-students"),
        title="Vrije Universiteit Brussel",
        sectors=("space-aeronautics", "construction"),
        weight="1500m",
        quotas={"local": {GPU: Quota(1, 3), "cpu": Quota("7500m"), "memory": Quota("8192Mi")}},
    )
    api.apply(tenant_object(changed, COHORT), manager="test")
    eventually(lambda: groups(api, VUB) == ["vub-people", "vub-students"])
    eventually(lambda: is_ready(api, VUB.name))
    queue = api.get(KUEUE, "ClusterQueue", VUB.name)["spec"]
    gpus = queue["resourceGroups"][0]["flavors"][0]["resources"][2]
    assert (gpus["nominalQuota"], gpus["borrowingLimit"]) == ("1", "3")
    namespace = api.get("v1", "Namespace", namespace_name(VUB.name))
    assert namespace["metadata"]["annotations"]["antenna.be/title"] == "Vrije Universiteit Brussel"
    api.apply(tenant_object(replace(changed, groups=()), COHORT), manager="test")
    eventually(lambda: not api.list_objects(RBAC_V1, "RoleBinding", namespace_name(VUB.name)))
    api.apply(tenant_object(VUB, COHORT), manager="test")
    eventually(lambda: groups(api, VUB) == ["vub-people"])
    eventually(lambda: is_ready(api, VUB.name))


@pytest.mark.parametrize(
    ("at", "edit"),
    [
        (tuple(at), edit)
        for *at, edit in [
            (
                "v1",
                "Namespace",
                "",
                {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
            ),
            ("v1", "Namespace", "", {"metadata": {"labels": {"antenna.be/ecosystem": None}}}),
            ("v1", "Namespace", "", {"metadata": {"ownerReferences": None}}),
            ("v1", "ResourceQuota", "object-counts", {"spec": {"hard": {"pods": "1"}}}),
            ("v1", "ResourceQuota", "no-priority-class", {"spec": {"hard": {"pods": "9"}}}),
            (NETWORK, "NetworkPolicy", "isolation", {"spec": {"ingress": [{}]}}),
            (NETWORK, "NetworkPolicy", "isolation", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
            (RBAC_V1, "RoleBinding", "submitters", {"subjects": None}),
            (KUEUE, "LocalQueue", "default", {"metadata": {"labels": {"antenna.be/tenant": None}}}),
            (KUEUE, "ClusterQueue", "vub", {"spec": {"resourceGroups": []}}),
            (KUEUE, "ClusterQueue", "vub", {"spec": {"fairSharing": {"weight": "9"}}}),
        ]
    ],
)
def test_what_is_edited_by_hand_is_mended(api, operator, at, edit):
    api_version, kind, name = at
    name = name or namespace_name(VUB.name)
    inside = None if kind in ("Namespace", "ClusterQueue") else namespace_name(VUB.name)
    before = content(api.get(api_version, kind, name, inside))
    api.patch(api_version, kind, name, inside, edit)
    eventually(lambda: content(api.get(api_version, kind, name, inside)) == before)


def test_what_others_add_is_left_alone_and_stands_in_no_way(api, operator):
    namespace = namespace_name(VUB.name)
    api.patch(
        "v1",
        "Namespace",
        namespace,
        None,
        {"metadata": {"labels": {"site/floor": "2", "antenna.be/ecosystem": "x"}}},
    )
    api.patch(
        "v1",
        "ResourceQuota",
        "object-counts",
        namespace,
        {"spec": {"hard": {"count/leases": "5", "pods": "1"}}},
    )
    api.patch(
        KUEUE,
        "ClusterQueue",
        VUB.name,
        None,
        {"spec": {"stopPolicy": "Hold", "fairSharing": {"weight": "9"}}},
    )
    eventually(
        lambda: api.get("v1", "ResourceQuota", "object-counts", namespace)["spec"]["hard"]["pods"] != "1"
    )
    eventually(lambda: api.get(KUEUE, "ClusterQueue", VUB.name)["spec"]["fairSharing"]["weight"] != "9")
    floor = api.get("v1", "Namespace", namespace)["metadata"]["labels"]
    assert (floor["site/floor"], floor["antenna.be/ecosystem"]) == ("2", "flanders")
    assert api.get("v1", "ResourceQuota", "object-counts", namespace)["spec"]["hard"]["count/leases"] == "5"
    assert api.get(KUEUE, "ClusterQueue", VUB.name)["spec"]["stopPolicy"] == "Hold"
    api.patch(KUEUE, "ClusterQueue", VUB.name, None, {"spec": {"stopPolicy": "None"}})


def test_a_tenant_that_goes_takes_what_it_had_with_it(api, operator):
    api.delete(ANTENNA, "Tenant", GONE.name)
    eventually(lambda: api.find(ANTENNA, "Tenant", GONE.name) is None)
    assert api.find("v1", "Namespace", namespace_name(GONE.name)) is None
    assert api.find(KUEUE, "ClusterQueue", GONE.name) is None


def test_a_tenant_that_goes_without_its_objects_leaves_them(api, operator):
    api.delete(ANTENNA, "Tenant", LEFT.name, propagation="Orphan")
    eventually(lambda: api.find(ANTENNA, "Tenant", LEFT.name) is None)
    for at in (("v1", "Namespace", namespace_name(LEFT.name)), (KUEUE, "ClusterQueue", LEFT.name)):
        assert not api.get(*at)["metadata"].get("ownerReferences")


def test_nothing_of_its_work_was_refused(api, operator):
    assert "denied request" not in operator.told()
    assert operator.errors() == []
    for name in (VIB.name, VUB.name, EARLIER.name):
        assert is_ready(api, name)


@pytest.fixture(scope="module")
def remote(plane, api, operator, mallory, tmp_path_factory):
    """The operator has ended; its dispatch alone goes on, with its token. A RemoteJob and a Job wait."""
    operator.stop()
    kubeconfig = operators_kubeconfig(plane, tmp_path_factory.mktemp("sends"), namespace=NAMESPACE, name=NAME)
    scheduler = Scheduler(LUMI)
    with dispatch(kubeconfig, {"lumi": scheduler}, namespace=NAMESPACE):
        ends, goes = remote_job(api, "ends"), remote_job(api, "goes")
        eventually(lambda: state(api, ends) == state(api, goes) == "running")
        (row,) = scheduler.named(f"antenna-{ends['metadata']['uid']}")
        scheduler.end(row.id)
        eventually(lambda: state(api, ends) == "succeeded")
        api.delete(ANTENNA, REMOTE_JOB, "goes", namespace_name(VIB.name))
        eventually(lambda: api.find(ANTENNA, REMOTE_JOB, "goes", namespace_name(VIB.name)) is None)
        far = remote_job(api, "far")
        eventually(lambda: state(api, far) == "running")
    return far


def test_remote_work_is_queued_sent_and_ended(remote, api):
    assert state(api, remote) == "running"
    assert (
        "antenna.be/remote-job"
        in api.get(ANTENNA, REMOTE_JOB, "far", namespace_name(VIB.name))["metadata"]["finalizers"]
    )


def test_its_policies_as_the_server_keeps_them_are_no_drift(plane, remote):
    one = Bundle({"stack": "test", "name": "confinement", "kubeconfig": str(plane.kubeconfig)})
    one.up(partners_role(), *confinement(OWN, [one.name for one in ALL]))
    assert one.drift() == []


# What its token does besides


@pytest.fixture(scope="module")
def names(api, remote):
    """What stands for the names and uids of the tables; all that they tell of is there."""
    namespace = namespace_name(VIB.name)
    job = train(api, VIB.name, gpus=9)
    of_job = f"kueue.x-k8s.io/job-uid={job['metadata']['uid']}"
    eventually(lambda: api.list_objects(KUEUE, "Workload", namespace, labels=of_job))
    (theirs,) = api.list_objects(KUEUE, "Workload", namespace, labels=of_job)
    uid = remote["metadata"]["uid"]
    (ours,) = api.list_objects(KUEUE, "Workload", namespace, labels=f"antenna.be/remote-job={uid}")
    given = {"metadata": {"name": "tenant-foreign"}, "apiVersion": "v1", "kind": "Namespace"}
    other = {"apiVersion": KUEUE, "kind": "AdmissionCheck", "metadata": {"name": "other"}}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "theirs", "namespace": namespace}}
    role = {"apiVersion": RBAC_V1, "kind": "Role", "rules": []}
    limits = {"apiVersion": "v1", "kind": "LimitRange", "spec": LIMITS}
    for obj in (
        given,
        {**other, "spec": {"controllerName": "example/other"}},
        {**event, "involvedObject": {"namespace": namespace}, "source": {"component": "kubelet"}},
        {**role, "metadata": {"name": "theirs", "namespace": namespace}},
        {**limits, "metadata": {"name": "theirs", "namespace": namespace}},
        {
            **limits,
            "metadata": {"name": "default-requests", "namespace": namespace, "labels": labels(VIB)},
        },
        {**role, "metadata": {"name": "submitter", "namespace": namespace, "labels": labels(VIB)}},
    ):
        api.create(obj)
    return {
        **{
            f"UID({one.name.upper()})": api.get(ANTENNA, "Tenant", one.name)["metadata"]["uid"]
            for one in (VIB, VUB)
        },
        "UID(JOB)": uid,
        "THEIRS": theirs["metadata"]["name"],
        "OURS": ours["metadata"]["name"],
        **{"VIB": "vib", "VUB": "vub", "GHOST": "ghost"},
        **{"FLAVOR": "local", "COHORT": COHORT.name, "SITE": "lumi"},
    }


@pytest.mark.parametrize("write", TAKEN, ids=lambda write: write.what)
def test_the_operators_own_words_are_taken(mallory, names, write):
    # That there is one already is found after all policies were asked.
    with suppress(Conflict) if write.verb == "create" else nullcontext():
        write.send(mallory, names)


@pytest.mark.parametrize("write", REFUSED, ids=lambda write: f"{write.kind}: {write.what}")
def test_what_a_tenants_objects_are_not_is_refused_with_a_sentence(mallory, names, write):
    with pytest.raises(ApiError) as refused:
        write.send(mallory, names)
    said = str(refused.value)
    assert write.is_said(said)
    assert "resulted in error" not in said


def test_the_tables_cover_every_kind_that_it_writes_and_print_their_counts(names):
    counts = {}
    for table, rows in (("taken", TAKEN), ("refused", REFUSED), ("refused, other kinds", OTHER_KINDS)):
        for write in rows:
            counts.setdefault(write.kind, {}).setdefault(table, []).append(write)
    for kind, tables in sorted(counts.items()):
        print(f"{kind:32} " + "  ".join(f"{table} {len(rows)}" for table, rows in tables.items()))
    assert len(REFUSED) >= 80


@pytest.mark.parametrize("write", OTHER_KINDS, ids=lambda write: write.what)
def test_no_other_kind_is_its_to_write(mallory, names, write):
    with pytest.raises(Forbidden, match="cannot"):
        write.send(mallory, names)


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        *(("get", "secrets"), ("list", "secrets"), ("watch", "secrets"), ("get", "configmaps")),
        *(("get", "nodes/proxy"), ("create", "nodes/proxy"), ("create", "pods/exec"), ("get", "pods/exec")),
        *(("create", "pods/attach"), ("create", "pods/portforward"), ("get", "pods/log")),
        *(
            ("patch", "nodes"),
            ("patch", "nodes/status"),
            ("create", "pods/eviction"),
            ("create", "pods/binding"),
        ),
        *(("update", "pods/ephemeralcontainers"), ("create", "serviceaccounts/token")),
        *(
            ("impersonate", "users"),
            ("impersonate", "groups"),
            ("escalate", "roles.rbac.authorization.k8s.io"),
        ),
        *(
            ("escalate", "clusterroles.rbac.authorization.k8s.io"),
            ("bind", "roles.rbac.authorization.k8s.io"),
        ),
        *(("bind", "clusterroles.rbac.authorization.k8s.io"), ("approve", "signers.certificates.k8s.io")),
    ],
)
def test_it_gets_to_no_node_and_to_no_secret(api, verb, resource):
    resource, _, subresource = resource.partition("/")
    resource, _, group = resource.partition(".")
    what = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    for namespace in ("tenant-vib", "kube-system", NAMESPACE, ""):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": f"system:serviceaccount:{NAMESPACE}:{NAME}",
                "groups": [
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{NAMESPACE}",
                    "system:authenticated",
                ],
                "resourceAttributes": {**what, "namespace": namespace},
            },
        }
        assert not api.create(review)["status"]["allowed"], (what, namespace)


@pytest.fixture(scope="module")
def almighty(plane, names):
    """Somebody has bound the operator to cluster-admin."""
    plane.kubectl(
        *("create", "clusterrolebinding", "mistake", "--clusterrole=cluster-admin"),
        f"--serviceaccount={NAMESPACE}:{NAME}",
    )
    time.sleep(1)
    yield
    plane.kubectl("delete", "clusterrolebinding", "mistake")


@pytest.mark.usefixtures("almighty")
@pytest.mark.parametrize("write", OTHER_KINDS, ids=lambda write: write.what)
def test_no_other_kind_is_its_to_write_even_with_every_right(mallory, names, write):
    with pytest.raises(Forbidden, match="and no other kind"):
        write.send(mallory, names)


# Helpers


def content(obj):
    metadata = {key: obj["metadata"].get(key) for key in ("labels", "annotations", "ownerReferences")}
    return {**{key: value for key, value in obj.items() if key not in ("status", "metadata")}, **metadata}


def remote_job(api, name):
    spec = {"site": "lumi", "partition": "small-g", "gpusPerNode": 1, "timeLimit": "1h", "script": "train"}
    metadata = {"name": name, "namespace": namespace_name(VIB.name)}
    return api.create({"apiVersion": ANTENNA, "kind": REMOTE_JOB, "metadata": metadata, "spec": spec})


def state(api, job):
    found = api.get(ANTENNA, REMOTE_JOB, job["metadata"]["name"], job["metadata"]["namespace"])
    return (found.get("status") or {}).get("state")
