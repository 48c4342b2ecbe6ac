"""What a partner's people may do: asked of the API server as one of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from operators.queues import Cohort, Flavor, cohort_objects, tenant_objects
from operators.tenancy import Tenant, namespace_name, partners_role
from tests.cluster.conftest import RUN, Bundle
from tests.cluster.patience import eventually

ISO = f"iso{RUN}"
FLAVOR = f"{ISO}-local"
COHORT = Cohort(ISO, (Flavor(FLAVOR),))
ULB = Tenant(name=f"{ISO}-ulb", title="ULB", ecosystem="brussels", groups=("ulb-people",))
VUB = Tenant(name=f"{ISO}-vub", title="VUB", ecosystem="brussels", groups=("vub-people",))

OWN = namespace_name(ULB.name)
OTHERS = namespace_name(VUB.name)


@pytest.fixture(scope="module")
def partners(admin):
    made = []
    for name, objects in (
        (f"{ISO}-queues", [*cohort_objects(COHORT), partners_role()]),
        (f"{ISO}-ulb", tenant_objects(ULB, COHORT)),
        (f"{ISO}-vub", tenant_objects(VUB, COHORT)),
    ):
        inputs = {"stack": "test", "name": name, "kubeconfig": str(admin.kubeconfig)}
        made.append(Bundle(inputs).up(*objects))
    yield admin
    for one in reversed(made) if admin.lasting else ():
        one.down()


@pytest.fixture
def may(partners, cluster):
    """Asks the API server whether somebody may; ``resource`` is ``name.group/subresource``."""

    def asked(verb, resource, namespace, *, group="ulb-people"):
        resource, _, subresource = resource.partition("/")
        name, _, api_group = resource.partition(".")
        attributes = {"verb": verb, "group": api_group, "resource": name, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": "alice",
                "groups": [group, "system:authenticated"],
                "resourceAttributes": {**attributes, "namespace": namespace or ""},
            },
        }
        return cluster.create(review)["status"]["allowed"]

    return asked


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "jobs.batch"),
        ("delete", "jobs.batch"),
        ("list", "pods"),
        ("get", "pods/log"),
        ("watch", "events"),
        ("create", "configmaps"),
        ("get", "localqueues.kueue.x-k8s.io"),
        ("list", "workloads.kueue.x-k8s.io"),
        ("get", "localqueues.visibility.kueue.x-k8s.io/pendingworkloads"),
    ],
)
def test_a_partners_people_work_in_their_namespace_and_in_no_other(may, verb, resource):
    assert may(verb, resource, OWN)
    assert not may(verb, resource, OTHERS)
    assert not may(verb, resource, "default")
    assert not may(verb, resource, None)


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "pods"),
        ("create", "pods/exec"),
        ("update", "jobs.batch"),
        ("patch", "jobs.batch"),
        ("create", "deployments.apps"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("update", "localqueues.kueue.x-k8s.io"),
        ("create", "localqueues.kueue.x-k8s.io"),
        ("patch", "workloads.kueue.x-k8s.io"),
        ("update", "resourcequotas"),
        ("update", "namespaces"),
        ("create", "serviceaccounts/token"),
    ],
)
def test_nothing_lets_them_round_the_queue_or_the_quota(may, verb, resource):
    assert not may(verb, resource, OWN)


@pytest.mark.parametrize(
    "resource",
    [
        "namespaces",
        "nodes",
        "clusterqueues.kueue.x-k8s.io",
        "cohorts.kueue.x-k8s.io",
        "resourceflavors.kueue.x-k8s.io",
    ],
)
def test_they_read_nothing_of_the_cluster(may, resource):
    assert not may("list", resource, None)
    assert not may("get", resource, None)


def test_a_stranger_may_nothing(may):
    assert not may("list", "pods", OWN, group="somebody-else")


def test_one_partner_does_not_see_the_others_work(partners):
    people = ("--as", "bob", "--as-group", "vub-people")
    refused = partners.kubectl("-n", OWN, "get", "jobs", *people, check=False)
    assert "forbidden" in refused
    assert partners.kubectl("-n", OTHERS, "get", "jobs", *people, check=False).startswith("No resources")


def test_a_privileged_pod_is_refused_in_a_partners_namespace(partners, cluster):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": OWN},
        "spec": {"containers": [{"name": "root", "image": "x", "securityContext": {"privileged": True}}]},
    }
    refused = partners.kubectl("apply", "-f", "-", given=json.dumps(pod), check=False)
    assert "violates PodSecurity" in refused
    assert cluster.find("v1", "Pod", "root", OWN) is None


def test_load_balancers_are_beyond_a_partners_quota(partners):
    balancer = ("create", "service", "loadbalancer", "lb", "--tcp=80", "--dry-run=server")

    def refused():
        # A new quota refuses everything until what there is has been counted.
        return "exceeded quota: object-counts" in partners.kubectl("-n", OWN, *balancer, check=False)

    eventually(refused, 60)


def test_objects_that_come_while_others_go_are_counted_and_made(partners, cluster):
    """The API server gives up on an object whose count is overtaken by another; who sends it tries again."""

    def come_and_go(number):
        for turn in range(15):
            name = f"burst-{number}-{turn}"
            cluster.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": OWN}}
            )
            cluster.delete("v1", "ConfigMap", name, OWN)
        return turn + 1

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(come_and_go, range(12))) == 180
