"""Jobs that wait, each for a cause of its own: a real API server, scheduler and Kueue, and kwok's nodes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import msgspec
import pytest
from click.testing import CliRunner

from infra import paths
from infra.cli import main
from operators.kube.errors import NotFound
from operators.kube.objects import Workload
from operators.queues import (
    API_VERSION,
    GPU,
    QUEUE_LABEL,
    Cohort,
    Flavor,
    cohort_objects,
    tenant_objects,
)
from operators.reasons import Reason
from operators.tenancy import Quota, Tenant, namespace_name
from operators.why import explain
from operators.why.gathering import facts, surroundings
from operators.why.notices import Notices, entry
from tests.cluster.light import OWN_KUBELET, light_cluster
from tests.cluster.patience import eventually

# kwok plays the nodes.
pytestmark = pytest.mark.light

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
PLENTY = {"cpu": Quota(1000), "memory": Quota("4Ti")}


class Site:
    """A cohort, tenants, nodes and jobs of one test, gone after it."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.cohort = Cohort(name, (Flavor(f"{name}-flavor"),))
        self.made = []
        self.second = 0
        self.apply(*cohort_objects(self.cohort))
        self.node("never-free", 0)

    def apply(self, *objects):
        for obj in objects:
            self.cluster.apply(obj, manager="test")
            self.made.append(obj)

    def tenant(self, suffix, gpus, borrowing_limit=None):
        """The name of a tenant, which is its ClusterQueue's too."""
        quotas = {f"{self.name}-flavor": {GPU: Quota(gpus, borrowing_limit), **PLENTY}}
        tenant = Tenant(name=f"{self.name}-{suffix}", title=suffix, ecosystem="flanders", quotas=quotas)
        self.apply(*tenant_objects(tenant, self.cohort))
        eventually(lambda: is_active(self.cluster.get(API_VERSION, "ClusterQueue", tenant.name)))
        return tenant.name

    def node(self, suffix, gpus, taints=()):
        """A node that only this test's pods go to."""
        name = f"{self.name}-{suffix}"
        own = {"key": "test", "value": self.name, "effect": "NoSchedule"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"test": self.name}},
            "spec": {"taints": [own, *taints]},
        }
        self.apply(node)
        has = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(gpus)}
        self.cluster.patch(
            "v1", "Node", name, None, {"status": {"capacity": has, "allocatable": has}}, subresource="status"
        )
        eventually(lambda: not untouched(self.cluster.get("v1", "Node", name)))
        return name

    def cordon(self, node, cordoned=True):
        self.cluster.patch("v1", "Node", node, None, {"spec": {"unschedulable": cordoned}})

    def hog(self, node, gpus):
        """A pod beside all queues that holds GPUs of a node."""
        container = {"name": "hog", "image": "x", "resources": {"limits": {GPU: str(gpus)}}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"hog-{node}", "namespace": "default"},
            "spec": {"nodeName": node, "containers": [container]},
        }
        self.apply(pod)

    def job(
        self,
        tenant,
        name,
        gpus,
        *,
        pods=1,
        labels=None,
        annotations=None,
        secure=True,
        namespace=None,
        volumes=(),
        **spec,
    ):
        # A queue's order is by creation, and creation is stamped in whole seconds.
        time.sleep(max(0, self.second + 1 - time.time()))
        requests = {"cpu": "1", "memory": "1Gi", GPU: str(gpus)}
        container = {
            "name": "work",
            "image": "example/train:7",
            "securityContext": RESTRICTED if secure else {},
            "resources": {"requests": requests, "limits": {GPU: str(gpus)}},
        }
        template = {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": list(volumes),
            "nodeSelector": {"test": self.name},
            "tolerations": [{"key": "test", "value": self.name, "effect": "NoSchedule"}],
        }
        made = self.cluster.create(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {
                    "name": name,
                    "namespace": namespace or namespace_name(tenant),
                    "labels": labels or {},
                },
                "spec": {
                    "backoffLimit": 0,
                    "parallelism": pods,
                    "completions": pods,
                    "template": {"metadata": {"annotations": annotations or {}}, "spec": template},
                    **spec,
                },
            }
        )
        self.second = int(time.time())
        return made

    def workload(self, job):
        """Of a Job; None while Kueue has not made it."""
        uid, namespace = job["metadata"]["uid"], job["metadata"]["namespace"]
        found = self.cluster.list_objects(
            API_VERSION, "Workload", namespace, labels=f"kueue.x-k8s.io/job-uid={uid}"
        )
        return found[0] if found else None

    def kubelet_says(self, job, *, container, phase="Pending"):
        """The state of the container of the Job's only pod, once it is on a node."""
        namespace = job["metadata"]["namespace"]
        labels = f"batch.kubernetes.io/job-name={job['metadata']['name']}"

        def pods():
            return self.cluster.list_objects("v1", "Pod", namespace, labels=labels)

        eventually(lambda: pods() and pods()[0]["spec"].get("nodeName"))
        status = {
            "name": "work",
            "image": "example/train:7",
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": container,
        }
        ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
        patch = {"phase": phase, "conditions": [ready, scheduled], "containerStatuses": [status]}
        self.cluster.patch(
            "v1",
            "Pod",
            pods()[0]["metadata"]["name"],
            namespace,
            {"status": patch},
            subresource="status",
        )

    def set_check(self, job, state, message):
        """Answer the first admission check of a Workload, as its controller would."""
        workload = self.workload(job)
        checks = workload["status"]["admissionChecks"]
        checks[0] |= {"state": state, "message": message}
        metadata = workload["metadata"]
        patch = {"status": {"admissionChecks": checks}}
        self.cluster.patch(
            API_VERSION, "Workload", metadata["name"], metadata["namespace"], patch, subresource="status"
        )

    def why(self, job):
        metadata = job["metadata"]
        now = self.cluster.get("batch/v1", "Job", metadata["name"], metadata["namespace"])
        return explain(facts(self.cluster, now, surroundings(self.cluster, datetime.now(UTC))))

    def waits(self, job, reason, *words):
        """The explanation, once it gives that reason; these words are in it."""
        last = []

        def told():
            last[:] = [self.why(job)]
            assert last[0].reason is reason, last[0]
            assert all(word in last[0].text for word in words), last[0]
            return True

        eventually(told)
        assert last[0].text.startswith(job["metadata"]["name"])
        assert last[0].text.endswith(".")
        assert "\n" not in last[0].text
        return last[0]

    def gone(self):
        for namespace in {o["metadata"]["name"] for o in self.made if o["kind"] == "Namespace"}:
            path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
            self.cluster.request("DELETE", path, query={"propagationPolicy": "Background"})
        for obj in reversed(self.made):
            metadata = obj["metadata"]
            try:
                self.cluster.delete(
                    obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace")
                )
            except NotFound:
                continue


def stamp():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def untouched(node):
    return any(t["key"].startswith("node.kubernetes.io/") for t in node["spec"].get("taints", ()))


def is_active(queue):
    conditions = queue.get("status", {}).get("conditions", ())
    return any(c["type"] == "Active" and c["status"] == "True" for c in conditions)


@pytest.fixture(scope="module")
def admin(tmp_path_factory):
    """A control plane of its own: why a job waits depends on all the nodes and queues that there are."""
    with light_cluster(tmp_path_factory.mktemp("why")) as up:
        yield up


@pytest.fixture
def site(admin, cluster, name):
    made = Site(cluster, name)
    yield made
    made.gone()


# Quota


def test_quota_that_is_used_up_with_nothing_to_borrow(site):
    own = site.tenant("own", 2, borrowing_limit=0)
    first = site.job(own, "first", 2)
    site.waits(first, Reason.NODES_CLOSED)
    told = site.waits(
        site.job(own, "second", 1),
        Reason.QUOTA_USED_UP,
        "for 1 GPU",
        f"{own} uses 2 of its quota of 2 GPUs and may borrow nothing",
    )
    assert told.unblock == f"It starts when 1 GPU is given back by 1 running job of {own}."
    assert told.ahead.count == 0
    assert told.since is not None


def test_quota_that_others_use_too(site):
    own, other = site.tenant("own", 2), site.tenant("other", 2)
    site.waits(site.job(other, "theirs", 4), Reason.NODES_CLOSED)
    site.waits(site.job(other, "more", 3), Reason.QUOTA_USED_UP)
    site.cluster.patch(
        API_VERSION, "ClusterQueue", own, None, {"spec": {"preemption": {"reclaimWithinCohort": "Never"}}}
    )
    mine = site.job(own, "mine", 3)
    told = site.waits(
        mine,
        Reason.QUOTA_USED_UP,
        f"{own} uses 0 of its quota of 2 GPUs",
        "none of the 4",
    )
    assert "jobs of other partners" in told.unblock
    eventually(lambda: "1 waiting job of other partners may want them too" in site.why(mine).unblock)
    assert "theirs" not in told.text + told.unblock


def test_more_than_the_quota_and_all_that_may_be_borrowed(site):
    own = site.tenant("own", 2, borrowing_limit=1)
    site.tenant("other", 8)
    told = site.waits(
        site.job(own, "huge", 4),
        Reason.NEVER_FITS,
        "asks for 4 GPUs",
        "could get 3 GPUs at most (its quota is 2 and it may borrow 1)",
    )
    assert "at most 3 GPUs" in told.unblock


def test_a_pod_larger_than_any_node(site):
    own = site.tenant("own", 4000)
    node = site.node("a", 2)
    site.hog(node, 2)
    told = site.waits(
        site.job(own, "wide", 2000), Reason.NEVER_FITS, "one pod of it asks for 2000 GPUs", "largest node has"
    )
    assert "more pods" in told.unblock


def test_work_behind_other_work_of_its_queue(site):
    own = site.tenant("own", 2, borrowing_limit=0)
    site.waits(site.job(own, "runs", 2), Reason.NODES_CLOSED)
    for number in range(4):
        site.waits(
            site.job(own, f"early-{number}", 1),
            *((Reason.BEHIND_OTHERS if number else Reason.QUOTA_USED_UP),),
        )
    told = site.waits(
        site.job(own, "late", 2),
        Reason.BEHIND_OTHERS,
        f"behind 4 jobs of the queue {own}, which ask for 4 GPUs",
    )
    assert told.ahead.count == 4
    assert set(told.ahead.names) < {f"early-{n}" for n in range(4)}
    assert len(told.ahead.names) == 3
    assert told.ahead.others == 0
    assert told.unblock.startswith("After those ahead of it, it starts when 2 GPUs are given back")


def test_higher_priority_goes_first(site):
    own = site.tenant("own", 2, borrowing_limit=0)
    urgent = {
        "apiVersion": API_VERSION,
        "kind": "WorkloadPriorityClass",
        "metadata": {"name": f"{site.name}-urgent"},
        "value": 100,
        "description": "",
    }
    site.apply(urgent)
    site.waits(
        site.job(own, "runs", 2, labels={"kueue.x-k8s.io/priority-class": f"{site.name}-urgent"}),
        Reason.NODES_CLOSED,
    )
    early = site.job(own, "early", 1)
    site.waits(early, Reason.QUOTA_USED_UP)
    late = site.job(own, "late", 1, labels={"kueue.x-k8s.io/priority-class": f"{site.name}-urgent"})
    site.waits(late, Reason.QUOTA_USED_UP)
    told = site.waits(early, Reason.BEHIND_OTHERS, "behind 1 job")
    assert told.ahead.names == ("late",)


def test_what_is_ahead_in_other_namespaces_is_counted_and_not_named(site, namespace):
    own = site.tenant("own", 1, borrowing_limit=0)
    site.cluster.patch(
        API_VERSION, "ClusterQueue", own, None, {"spec": {"namespaceSelector": {"matchLabels": None}}}
    )
    door = {
        "apiVersion": API_VERSION,
        "kind": "LocalQueue",
        "metadata": {"name": "door", "namespace": namespace},
        "spec": {"clusterQueue": own},
    }
    site.apply(door)
    site.waits(site.job(own, "runs", 1), Reason.NODES_CLOSED)
    secret = site.job(own, "their-secret", 1, namespace=namespace, labels={QUEUE_LABEL: "door"})
    site.waits(secret, Reason.QUOTA_USED_UP)
    told = site.waits(site.job(own, "mine", 1), Reason.BEHIND_OTHERS, "behind 1 job")
    assert (told.ahead.count, told.ahead.others, told.ahead.names) == (1, 1, ())
    assert "secret" not in json.dumps(told.document(datetime.now(UTC)))


def test_work_that_was_preempted_says_who_took_the_quota_back(site):
    own, other = site.tenant("own", 4), site.tenant("other", 2)
    borrower = site.job(other, "borrower", 6)
    site.waits(borrower, Reason.NODES_CLOSED)
    site.job(own, "owner", 4)
    told = site.waits(
        borrower,
        Reason.PREEMPTED,
        f"{own} took back quota of its own that {other} had borrowed",
        "waits again for 6 GPUs",
        "only 2 of the 6 of all partners are idle",
    )
    assert "4 GPUs are given back" in told.unblock


# Queues


def test_a_queue_that_is_not_there(site):
    own = site.tenant("own", 2)
    told = site.waits(
        site.job(own, "lost", 1, labels={QUEUE_LABEL: "defualt"}),
        Reason.QUEUE_MISSING,
        f"there is no queue 'defualt' in {namespace_name(own)}, only default",
    )
    assert f"{QUEUE_LABEL}=default" in told.unblock


def test_a_suspended_job_that_names_no_queue(site, namespace):
    told = site.waits(
        site.job("", "forgotten", 1, namespace=namespace, suspend=True),
        Reason.QUEUE_MISSING,
        "names no queue",
    )
    assert f"must give {namespace} a LocalQueue" in told.unblock


def test_a_queue_that_is_held(site):
    own = site.tenant("own", 2)
    site.cluster.patch(API_VERSION, "ClusterQueue", own, None, {"spec": {"stopPolicy": "Hold"}})
    told = site.waits(site.job(own, "held", 1), Reason.QUEUE_STOPPED, f"the queue {own} is held")
    assert f"patch clusterqueue {own}" in told.unblock


def test_a_queue_whose_flavor_is_missing(site):
    own = site.tenant("own", 2)
    queue = site.cluster.get(API_VERSION, "ClusterQueue", own)
    queue["spec"]["resourceGroups"][0]["flavors"][0]["name"] = "no-such-flavor"
    spec = {"spec": {"resourceGroups": queue["spec"]["resourceGroups"]}}
    site.cluster.patch(API_VERSION, "ClusterQueue", own, None, spec)
    site.waits(
        site.job(own, "stopped", 1),
        Reason.QUEUE_STOPPED,
        "references missing ResourceFlavor(s): no-such-flavor",
    )


def test_a_resource_that_the_queue_does_not_have(site):
    own = site.tenant("own", 2)
    job = site.job(own, "amd", 0)
    site.cluster.delete("batch/v1", "Job", "amd", namespace_name(own))
    job = {**job, "metadata": {"name": "exotic", "namespace": namespace_name(own)}, "status": {}}
    job["spec"] = {k: v for k, v in job["spec"].items() if k not in ("selector", "suspend")}
    job["spec"]["template"]["metadata"] = {}
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"amd.com/gpu": "1"}}
    site.waits(site.cluster.create(job), Reason.FLAVOR_MISMATCH, "asks for amd.com/gpu", "has none")


# Checks and owners


@pytest.fixture
def checked(site):
    """A tenant whose work needs a check, and the check, which nobody answers."""
    own = site.tenant("own", 2)
    check = f"{site.name}-budget"
    site.apply(
        {
            "apiVersion": API_VERSION,
            "kind": "AdmissionCheck",
            "metadata": {"name": check},
            "spec": {"controllerName": "antenna.be/test"},
        }
    )
    active = {
        "type": "Active",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": stamp(),
    }
    site.cluster.patch(
        API_VERSION, "AdmissionCheck", check, None, {"status": {"conditions": [active]}}, subresource="status"
    )
    spec = {"spec": {"admissionChecksStrategy": {"admissionChecks": [{"name": check}]}}}
    site.cluster.patch(API_VERSION, "ClusterQueue", own, None, spec)
    return own, check


def test_an_admission_check_that_has_not_answered(site, checked):
    own, check = checked
    told = site.waits(
        site.job(own, "checked", 1),
        Reason.ADMISSION_CHECK_PENDING,
        "has its quota",
        f"admission check {check}",
    )
    assert told.unblock == f"The controller of {check} (antenna.be/test) must answer."


def test_an_admission_check_that_said_no(site, checked):
    own, check = checked
    job = site.job(own, "checked", 1)
    site.waits(job, Reason.ADMISSION_CHECK_PENDING)
    site.set_check(job, "Rejected", "no budget is left")
    told = site.waits(job, Reason.ADMISSION_CHECK_REJECTED, f'"{check}" (no budget is left)')
    assert "submit the job again" in told.unblock


def test_work_that_its_owner_holds_back(site):
    own = site.tenant("own", 2)
    job = site.job(own, "paused", 1)
    site.waits(job, Reason.NODES_CLOSED)
    workload = site.workload(job)["metadata"]
    site.cluster.patch(
        API_VERSION, "Workload", workload["name"], workload["namespace"], {"spec": {"active": False}}
    )
    told = site.waits(job, Reason.SUSPENDED, "held back", "its owner (spec.active is false)")
    assert f"patch workload {workload['name']}" in told.unblock


# Nodes


def test_nodes_that_are_full(site):
    own = site.tenant("own", 8)
    for node, held in ((site.node("a", 4), 3), (site.node("b", 4), 4)):
        site.hog(node, held)
    told = site.waits(
        site.job(own, "wide", 4), Reason.NODES_FULL, "needs 4 GPUs, and of the 8 GPUs of 2 nodes 1 is free"
    )
    assert told.unblock.startswith("3 GPUs more must come free on one node")


def test_gpus_that_are_free_but_not_on_one_node(site):
    own = site.tenant("own", 8)
    nodes = [site.node("a", 4), site.node("b", 4)]
    for node in nodes:
        site.hog(node, 2)
    told = site.waits(
        site.job(own, "wide", 4),
        Reason.GPUS_FRAGMENTED,
        "needs 4 GPUs on one node",
        f"the 4 free GPUs are 2 on {nodes[0]} and 2 on {nodes[1]}",
    )
    assert told.unblock.startswith("2 GPUs more must come free on one of these nodes")
    assert "at most 2 GPUs a pod" in told.unblock


def test_a_node_that_is_cordoned(site):
    own = site.tenant("own", 8)
    full, cordoned = site.node("a", 4), site.node("b", 4)
    site.hog(full, 4)
    site.cordon(cordoned)
    told = site.waits(site.job(own, "wide", 4), Reason.NODES_CLOSED, f"{cordoned} is cordoned (4 GPUs free)")
    assert told.unblock.startswith(f"`kubectl uncordon {cordoned}`")


def test_a_node_with_a_taint(site):
    own = site.tenant("own", 8)
    node = site.node("a", 4, taints=[{"key": "reserved", "value": "visitors", "effect": "NoSchedule"}])
    site.waits(site.job(own, "kept-out", 4), Reason.NODES_CLOSED, f"{node} has the taint reserved=visitors")


def test_some_pods_of_a_job_find_a_node_and_others_do_not(site):
    own = site.tenant("own", 8)
    site.hog(site.node("a", 4), 4)
    site.waits(site.job(own, "many", 2, pods=3), Reason.NODES_FULL, "3 of its 3 pods have found no node")


# Pods


def test_an_image_that_cannot_be_pulled(site):
    own, node = site.tenant("own", 8), site.node("a", 4)
    job = site.job(own, "typo", 1, annotations=OWN_KUBELET)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "example/train:7"'}
    site.kubelet_says(job, container={"waiting": waiting})
    told = site.waits(
        job,
        Reason.IMAGE_UNAVAILABLE,
        f"on {node}, which cannot get the image example/train:7",
        "ImagePullBackOff",
    )
    assert "example/train:7" in told.unblock


def test_a_secret_that_a_container_needs_and_that_is_not_there(site):
    own, node = site.tenant("own", 8), site.node("a", 4)
    job = site.job(own, "keyless", 1, annotations=OWN_KUBELET)
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "key" not found'}
    site.kubelet_says(job, container={"waiting": waiting})
    site.waits(job, Reason.CONTAINER_BROKEN, f"on {node}", 'secret "key" not found')


def test_a_volume_claim_that_is_not_there(site):
    own = site.tenant("own", 8)
    site.node("a", 4)
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "no-such-claim"}}
    site.waits(site.job(own, "no-data", 1, volumes=[claim]), Reason.VOLUME_UNAVAILABLE, "no-such-claim")


def test_a_job_that_runs(site):
    own, node = site.tenant("own", 8), site.node("a", 4)
    job = site.job(own, "busy", 2, annotations=OWN_KUBELET)
    site.waits(job, Reason.STARTING, "is starting")
    site.kubelet_says(job, container={"running": {"startedAt": stamp()}}, phase="Running")
    told = site.waits(job, Reason.RUNNING, "has been running", f"with 2 GPUs on {node}")
    assert told.unblock == ""


def test_a_resource_quota_that_forbids_the_pod(site):
    own = site.tenant("own", 8)
    namespace = namespace_name(own)
    site.cluster.patch("v1", "ResourceQuota", "object-counts", namespace, {"spec": {"hard": {"pods": "0"}}})
    eventually(
        lambda: (
            site.cluster.get("v1", "ResourceQuota", "object-counts", namespace)["status"]["hard"]["pods"]
            == "0"
        )
    )
    told = site.waits(
        site.job(own, "one-too-many", 1),
        Reason.QUOTA_OF_NAMESPACE,
        f"the ResourceQuota object-counts of {namespace} allows 0 pods, 0 are in use and 1 more asked for",
    )
    assert "raised" in told.unblock


def test_pod_security_that_refuses_the_pod(site):
    own = site.tenant("own", 8)
    told = site.waits(
        site.job(own, "root", 1, secure=False),
        Reason.POD_SECURITY,
        "Pod Security (restricted)",
        "runAsNonRoot",
    )
    assert "securityContext" in told.unblock


def test_a_job_that_has_ended(site):
    own = site.tenant("own", 8)
    site.node("a", 4)
    told = site.waits(site.job(own, "quick", 1), Reason.FINISHED, "finished")
    assert told.unblock == ""


# Events


class Told:
    """Notices of one test's own Workloads, by a clock that the test sets."""

    def __init__(self, cluster, namespace):
        self.cluster = cluster
        self.namespace = namespace
        self.now = time.time()
        self.notices = Notices(cluster, lambda: self.now)

    def after(self, seconds):
        """What the stream has sent is noted; so much later the notices have their turns; Events written.

        On a busy machine one round may have time for one Workload alone.
        """
        for workload in self.cluster.list_objects(API_VERSION, "Workload", self.namespace):
            seen = msgspec.json.decode(json.dumps(workload), type=Workload)
            self.notices.note(seen.metadata.uid, entry(seen))
        self.now += seconds
        return sum(self.notices.tell() for _ in range(4))

    def events(self):
        """(kind, name, reason) of the Events, and their messages."""
        found = self.cluster.list_objects("v1", "Event", self.namespace)
        ours = [e for e in found if e["source"].get("component") == "antenna-operator"]
        about = {(e["involvedObject"]["kind"], e["involvedObject"]["name"], e["reason"]) for e in ours}
        return about, [e["message"] for e in ours]


def test_the_reason_is_told_once_on_the_workload_and_the_job_and_again_when_it_changes(site, admin):
    own = site.tenant("own", 1, borrowing_limit=0)
    site.waits(site.job(own, "runs", 1), Reason.NODES_CLOSED)
    job = site.job(own, "waits", 1)
    site.waits(job, Reason.QUOTA_USED_UP)
    workload = site.workload(job)["metadata"]["name"]
    site.cluster.patch("batch/v1", "Job", "runs", namespace_name(own), {"metadata": {"labels": {"x": "y"}}})
    told = Told(site.cluster, namespace_name(own))
    assert told.after(0) == 0, "nobody has waited for long"
    assert told.after(30) == 4
    about, messages = told.events()
    assert {("Workload", workload, "QuotaUsedUp"), ("Job", "waits", "QuotaUsedUp")} < about
    assert ("Job", "runs", "NodesClosed") in about
    assert any("may borrow nothing. It starts when 1 GPU is given back" in m for m in messages)
    described = admin.kubectl("-n", namespace_name(own), "describe", "workload", workload)
    assert "QuotaUsedUp" in described
    assert "waits has waited" in described
    assert told.after(120) == 0, "the reasons are the same"
    site.cluster.patch(API_VERSION, "ClusterQueue", own, None, {"spec": {"stopPolicy": "Hold"}})
    site.waits(job, Reason.QUEUE_STOPPED)
    assert told.after(120) == 2
    about, _ = told.events()
    assert {("Workload", workload, "QueueStopped"), ("Job", "waits", "QueueStopped")} < about
    assert len(about) == 4, "an object has one Event"
    site.cluster.patch(API_VERSION, "ClusterQueue", own, None, {"spec": {"stopPolicy": "None"}})
    site.waits(job, Reason.QUOTA_USED_UP)
    assert told.after(30) == 0, "at most one a minute"
    assert told.after(60) == 2


def test_the_line_that_the_stream_knows_is_the_one_that_the_server_tells(site):
    own = site.tenant("own", 1, borrowing_limit=0)
    site.waits(site.job(own, "runs", 1), Reason.NODES_CLOSED)
    site.waits(site.job(own, "first", 1), Reason.QUOTA_USED_UP)
    last = site.job(own, "second", 1)
    asked = site.waits(last, Reason.BEHIND_OTHERS)
    told = Told(site.cluster, namespace_name(own))
    told.after(60)
    about, messages = told.events()
    assert ("Job", "second", "BehindOthers") in about
    (message,) = {m for m in messages if m.startswith("second")}
    assert message.partition(" behind ")[2] == f"{asked.text} {asked.unblock}".partition(" behind ")[2]


# The command


@pytest.fixture
def antenna(admin, monkeypatch):
    monkeypatch.setattr(paths, "kubeconfig", lambda _: admin.kubeconfig)
    return lambda *words: CliRunner().invoke(main, ["why", *words])


def test_the_command_says_it_in_lines_and_as_data(site, antenna):
    own = site.tenant("own", 1, borrowing_limit=0)
    site.waits(site.job(own, "runs", 1), Reason.NODES_CLOSED)
    site.waits(site.job(own, f"{site.name}-first", 1), Reason.QUOTA_USED_UP)
    site.waits(site.job(own, f"{site.name}-second", 1), Reason.BEHIND_OTHERS)
    shown = antenna(f"{site.name}-second")
    assert shown.exit_code == 0, shown.output
    sentence, ahead, after = shown.output.splitlines()
    assert sentence.startswith(f"{site.name}-second has waited")
    assert ahead == f"ahead: {site.name}-first"
    assert after.startswith("next:  After those ahead of it, it starts when 1 GPU is given back")
    document = json.loads(antenna(f"{site.name}-second", "--json", "--tenant", own).stdout)
    assert document["reason"] == "BehindOthers"
    assert document["namespace"] == namespace_name(own)
    assert document["ahead"]["names"] == [f"{site.name}-first"]
    assert document["seconds"] >= 0


def test_the_command_knows_what_was_meant(site, antenna):
    own = site.tenant("own", 1, borrowing_limit=0)
    site.job(own, f"{site.name}-train", 1)
    shown = antenna(f"{site.name}-trian")
    assert shown.exit_code == 2
    assert f"did you mean {site.name}-train" in shown.output


def test_the_command_asks_which_of_two(site, antenna):
    one, two = site.tenant("one", 1), site.tenant("two", 1)
    for tenant in (one, two):
        site.job(tenant, f"{site.name}-same", 1)
    shown = antenna(f"{site.name}-same")
    assert shown.exit_code == 2
    assert namespace_name(one) in shown.output
    assert namespace_name(two) in shown.output
    assert antenna(f"{site.name}-same", "-n", namespace_name(one)).exit_code == 0
