"""Kueue itself decides over the queue objects that partners get: quota, borrowing, reclaim."""

from __future__ import annotations

from collections import Counter

import pytest

from operators.queues import (
    GPU,
    LOCAL_QUEUE,
    QUEUE_LABEL,
    Cohort,
    Flavor,
    cohort_objects,
    tenant_objects,
    undivided,
)
from operators.tenancy import Quota, Tenant, namespace_name
from tests.cluster.conftest import RUN, Bundle
from tests.cluster.light import kueue_manifests, shipped_configuration
from tests.cluster.patience import eventually

Q = f"q{RUN}"
FLAVOR = f"{Q}-gpu"
CAPACITY = {FLAVOR: {GPU: 8, "cpu": 64, "memory": "256Gi"}}
GPUS = 8
FAIR = {"cpu": Quota(2), "memory": Quota("8Gi")}


def partner(name, gpus):
    return Tenant(
        name=name,
        title=name.upper(),
        ecosystem="flanders",
        sectors=("science-research",),
        groups=(f"{name}-people",),
        quotas={FLAVOR: {GPU: Quota(gpus), **FAIR}},
    )


# As in domain.md there are fifteen; most have no GPU of their own. One GPU is nobody's.
OWNERS = [partner(f"{Q}-owner-a", 4), partner(f"{Q}-owner-b", 2), partner(f"{Q}-owner-c", 1)]
OTHERS = [partner(f"{Q}-other-{number}", 0) for number in range(12)]


@pytest.fixture(scope="module")
def site(admin):
    """Fifteen partners over eight GPUs."""
    tenants = [*OWNERS, *OTHERS]
    cohort = Cohort(Q, (Flavor(FLAVOR),), undivided(CAPACITY, tenants))
    made = []
    bundles = [(f"{Q}-queues", cohort_objects(cohort))]
    bundles += [(tenant.name, tenant_objects(tenant, cohort)) for tenant in tenants]
    for name, objects in bundles:
        inputs = {"stack": "test", "name": name, "kubeconfig": str(admin.kubeconfig)}
        made.append(Bundle(inputs).up(*objects))
    yield cohort, made
    for one in reversed(made) if admin.lasting else ():
        one.down()


@pytest.fixture
def submit(site, cluster):
    """Submits GPU Jobs that run until they are deleted; all are deleted after the test."""
    namespaces = []

    def jobs(tenant, *, gpus, count=1, labels=None):
        namespaces.append(namespace_name(tenant.name))
        restricted = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        asked = {"cpu": "1", "memory": "1Gi", GPU: str(gpus)}
        container = {
            "name": "train",
            "image": "example/train",
            "securityContext": restricted,
            "resources": {"requests": asked, "limits": {GPU: str(gpus)}},
        }
        made = []
        for _ in range(count):
            job = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {
                    "generateName": "train-",
                    "namespace": namespaces[-1],
                    "labels": {QUEUE_LABEL: LOCAL_QUEUE} if labels is None else labels,
                },
                "spec": {
                    "backoffLimit": 0,
                    "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
                },
            }
            made.append(cluster.create(job))
        return made

    yield jobs
    for namespace in set(namespaces):
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        cluster.request("DELETE", path, query={"propagationPolicy": "Background"})
    eventually(lambda: reserved(cluster).total() == 0)


def reserved(cluster):
    """GPUs that each of these ClusterQueues has given out now: of one list, so of one moment.

    The status of the ClusterQueues would not do: each is written when its turn comes.
    """
    held = Counter()
    for workload in cluster.list_objects("kueue.x-k8s.io/v1beta2", "Workload"):
        status = workload.get("status", {})
        finished = any(
            c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions", ())
        )
        queue = status.get("admission", {}).get("clusterQueue", "")
        if queue.startswith(f"{Q}-") and not finished:
            for assignment in status["admission"]["podSetAssignments"]:
                held[queue] += int(assignment["resourceUsage"][GPU])
    return held


def test_kueue_takes_the_queues_of_fifteen_partners(site, cluster):
    def active():
        queues = cluster.list_objects("kueue.x-k8s.io/v1beta2", "ClusterQueue", labels="antenna.be/tenant")
        ready = [q for q in queues if q["metadata"]["name"].startswith(f"{Q}-") and is_active(q)]
        return len(ready) == 15

    eventually(active)


def is_active(queue):
    conditions = queue.get("status", {}).get("conditions", ())
    return any(c["type"] == "Active" and c["status"] == "True" for c in conditions)


def test_no_queue_drifts_once_kueue_has_had_it(site):
    _, bundles = site
    assert [line for bundle in bundles for line in bundle.drift()] == []


def test_a_sixteenth_partner_is_one_more_bundle(site, cluster, bundle):
    cohort, bundles = site
    newcomer = partner(f"{Q}-newcomer", 0)
    one = bundle().up(*tenant_objects(newcomer, cohort))
    eventually(lambda: is_active(cluster.get("kueue.x-k8s.io/v1beta2", "ClusterQueue", f"{Q}-newcomer")))
    assert [line for other in bundles for line in other.drift()] == []
    one.down()
    assert cluster.find("v1", "Namespace", f"tenant-{Q}-newcomer") is None
    assert cluster.find("kueue.x-k8s.io/v1beta2", "ClusterQueue", f"{Q}-newcomer") is None


def test_a_changed_quota_is_drift_by_its_path(site, cluster):
    _, bundles = site
    one = next(b for b in bundles if b.inputs["name"] == f"{Q}-owner-a")
    queue = cluster.get("kueue.x-k8s.io/v1beta2", "ClusterQueue", f"{Q}-owner-a")
    queue["spec"]["resourceGroups"][0]["flavors"][0]["resources"][2]["nominalQuota"] = "7"
    spec = {"spec": {"resourceGroups": queue["spec"]["resourceGroups"]}}
    cluster.patch("kueue.x-k8s.io/v1beta2", "ClusterQueue", f"{Q}-owner-a", None, spec)
    assert one.drift() == [
        f"ClusterQueue {Q}-owner-a: "
        f"spec.resourceGroups[0].flavors[{Q}-gpu].resources[nvidia.com/gpu].nominalQuota is 7, declared 4"
    ]
    one.up(*one.inputs["objects"])
    assert one.drift() == []


def test_a_partner_without_gpus_takes_all_that_are_idle_and_never_more(site, cluster, submit):
    submit(OTHERS[0], gpus=1, count=12)
    eventually(lambda: reserved(cluster)[f"{Q}-other-0"] == GPUS)
    assert reserved(cluster).total() == GPUS


def test_several_partners_together_never_hold_more_than_there_is(site, cluster, submit):
    for tenant in (*OTHERS[:3], OWNERS[0], OWNERS[1]):
        submit(tenant, gpus=2, count=4)
    seen = []

    def settled():
        seen.append(reserved(cluster))
        return seen[-1][f"{Q}-owner-a"] >= 4 and seen[-1][f"{Q}-owner-b"] >= 2

    eventually(settled)
    assert max(held.total() for held in seen) <= GPUS


def test_partners_that_borrow_share_what_is_idle(site, cluster, submit):
    if "fairSharing" not in shipped_configuration(kueue_manifests()):
        pytest.skip("Kueue is installed without fair sharing")
    submit(OTHERS[5], gpus=1, count=16)
    eventually(lambda: reserved(cluster)[f"{Q}-other-5"] == GPUS)
    submit(OTHERS[6], gpus=1, count=16)
    seen = []

    def shared():
        seen.append(reserved(cluster))
        return seen[-1][f"{Q}-other-5"] == seen[-1][f"{Q}-other-6"] == GPUS / 2

    eventually(shared)
    assert max(held.total() for held in seen) <= GPUS


def test_an_owner_takes_its_own_back_from_who_borrowed_it(site, cluster, submit):
    submit(OTHERS[1], gpus=1, count=8)
    eventually(lambda: reserved(cluster)[f"{Q}-other-1"] == GPUS)
    submit(OWNERS[0], gpus=4)
    eventually(lambda: reserved(cluster)[f"{Q}-owner-a"] == 4)
    eventually(lambda: reserved(cluster)[f"{Q}-other-1"] == 4)


def test_a_job_that_names_no_queue_is_queued_all_the_same(site, cluster, submit):
    (job,) = submit(OTHERS[2], gpus=1, labels={})
    assert job["metadata"]["labels"][QUEUE_LABEL] == LOCAL_QUEUE
    assert job["spec"]["suspend"] is True
    eventually(lambda: reserved(cluster)[f"{Q}-other-2"] == 1)


def test_a_job_cannot_use_a_queue_of_another_namespace(site, cluster, submit):
    (job,) = submit(OTHERS[3], gpus=1, labels={QUEUE_LABEL: f"{Q}-owner-a"})
    submit(OTHERS[4], gpus=1)
    eventually(lambda: reserved(cluster)[f"{Q}-other-4"] == 1)
    assert reserved(cluster)[f"{Q}-other-3"] == 0
    stays = cluster.get("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])
    assert stays["spec"]["suspend"] is True


def test_a_partner_leaves_with_its_work_still_running(site, cluster, bundle, submit):
    cohort, _ = site
    leaver = partner(f"{Q}-leaver", 0)
    one = bundle().up(*tenant_objects(leaver, cohort))
    submit(leaver, gpus=1, count=2)
    eventually(lambda: reserved(cluster)[f"{Q}-leaver"] == 2)
    one.down()
    assert cluster.find("v1", "Namespace", f"tenant-{Q}-leaver") is None
    assert cluster.find("kueue.x-k8s.io/v1beta2", "ClusterQueue", f"{Q}-leaver") is None
