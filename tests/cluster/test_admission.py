"""What partners' people may make: asked of the API server as one of them, with a site's own policies."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter

import pytest

from infra.paths import REPOSITORY
from operators.admission.policies import NAME, admission
from operators.admission.rows import DEFAULT_DISK, DEFAULT_REQUEST, DISK, KEPT_SECONDS, KINDS
from operators.kube.client import connect
from operators.kube.errors import ApiError
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, Cohort, Flavor, cohort_objects, tenant_objects
from operators.tenancy import Quota, Tenant, namespace_name, partners_role
from tests.cluster.conftest import Bundle
from tests.cluster.invariant import beside_the_queue, follow, lastingly_beside_the_queue, pushed_off
from tests.cluster.light import OWN_KUBELET, light_cluster
from tests.cluster.partner_work import TABLE, impersonating, made_or_said, manifest
from tests.cluster.patience import eventually
from tests.cluster.truth import amount
from tests.cluster.world import Load

COHORT = Cohort("admission", (Flavor("gpu"),))
ROOM = {"gpu": {GPU: Quota(4), "cpu": Quota(400), "memory": Quota("400Gi")}}
VIB, VUB, ULB = (
    Tenant(name, name.upper(), "flanders", (), (f"{name}-people",), ROOM) for name in ("vib", "vub", "ulb")
)
OWN = namespace_name(VIB.name)
BINDING = "ValidatingAdmissionPolicyBinding"
JOBS = 60
MOMENTS = 50


@pytest.fixture(scope="module")
def admin(tmp_path_factory):
    """A control plane of its own: the policies hold for whoever makes something in a partner's namespace."""
    with light_cluster(tmp_path_factory.mktemp("admission")) as up:
        inputs = {"stack": "test", "name": "admission", "kubeconfig": str(up.kubeconfig)}
        partners = [obj for one in (VIB, VUB, ULB) for obj in tenant_objects(one, COHORT)]
        made = Bundle(inputs).up(*cohort_objects(COHORT), *admission(), partners_role(), *partners)
        assert made.drift() == [], "what the server fills in of a policy is no change"
        client = connect(up.kubeconfig)
        eventually(lambda: looked_at(client))
        client.close()
        yield up


def looked_at(cluster):
    """Policies hold a moment after they are made, and quotas once what there is has been counted."""
    quota = cluster.get("v1", "ResourceQuota", "object-counts", OWN)
    policies = cluster.list_objects("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
    counted = (quota.get("status") or {}).get("used", {}).keys() == quota["spec"]["hard"].keys()
    return counted and all("typeChecking" in (one.get("status") or {}) for one in policies)


@pytest.fixture(scope="module")
def as_somebody(admin):
    """A client as somebody of a group, with the rights of that somebody alone."""
    clients = {}

    def client(group, name="somebody"):
        if (group, name) not in clients:
            clients[group, name] = impersonating(admin.kubeconfig, name, group)
        return clients[group, name]

    yield client
    for one in clients.values():
        one.close()


@pytest.fixture
def send(as_somebody):
    """Makes an object as somebody of a partner: as it was made, or what was said."""

    def sent(obj, tenant=VIB):
        return made_or_said(as_somebody(tenant.groups[0]), obj)

    return sent


def test_every_expression_is_of_the_types_that_it_reads(cluster):
    policies = cluster.list_objects("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
    found = {p["metadata"]["name"]: p["status"]["typeChecking"] for p in policies}
    assert found == {f"{NAME}-{kind.resource}": {} for kind in KINDS}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["bad"]) for case in TABLE["refused"]])
def test_what_a_person_may_not_make_is_refused_with_what_to_do(case, send):
    assert f"denied request: {case['says']}" in send(manifest(case, OWN))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["good"]) for case in TABLE["admitted"]])
def test_what_a_person_needs_is_admitted_and_counted_as_its_pods_are(case, send, cluster):
    made = send(manifest(case, OWN))
    assert isinstance(made, dict), made
    if made["kind"] == "Job":
        if case.get("counted", True):
            eventually(lambda: has_room(cluster, made))
            assert counted(cluster, made) == asked_by_its_pods(cluster, made)
        cluster.delete("batch/v1", "Job", made["metadata"]["name"], OWN)


def test_the_page_shows_a_refusal_as_kubectl_does(admin):
    """Of a Job that names a class of priority."""
    job = manifest({"kind": "Job", "pod": {"priorityClassName": "system-node-critical"}}, OWN)
    job["metadata"] = {"name": "train", "namespace": OWN}
    person = ("--as=somebody", "--as-group=vib-people")
    said = admin.kubectl(*person, "create", "-f", "-", given=json.dumps(job), check=False)
    page = (REPOSITORY / "docs/tenants.md").read_text()
    assert " ".join(said.split()) in " ".join(page.split())


def test_a_job_of_a_job_that_has_quota_does_not_run_on_it(send, cluster):
    """Kueue lets run what belongs to work that it has let run: so only controllers say what belongs."""
    whole = send(manifest({"kind": "Job"}, OWN))
    eventually(lambda: has_room(cluster, whole))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
    owner |= {key: whole["metadata"][key] for key in ("name", "uid")}
    part = manifest({"kind": "Job", "object": {"metadata": {"ownerReferences": [owner]}}}, OWN)
    assert "denied request: metadata.ownerReferences" in send(part)
    cluster.delete("batch/v1", "Job", whole["metadata"]["name"], OWN)


def pods_of(cluster, job):
    labels = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
    return cluster.list_objects("v1", "Pod", OWN, labels=labels)


def workload_of(cluster, job):
    labels = f"kueue.x-k8s.io/job-uid={job['metadata']['uid']}"
    found = cluster.list_objects(KUEUE, "Workload", OWN, labels=labels)
    return {"status": {}, **(found[0] if found else {})}


def has_room(cluster, job):
    return workload_of(cluster, job)["status"].get("admission") and pods_of(cluster, job)


def counted(cluster, job):
    """What Kueue counts for each pod of a Job."""
    (given,) = workload_of(cluster, job)["status"]["admission"]["podSetAssignments"]
    used = given["resourceUsage"]
    return {name: amount(used.get(name, 0)) / given["count"] for name in ("cpu", "memory", GPU)}


def asked_by_its_pods(cluster, job):
    """What the scheduler counts for each: all containers and sidecars, or an init container and sidecars."""
    spec = pods_of(cluster, job)[0]["spec"]

    def asks(one, name):
        return amount(one.get("resources", {}).get("requests", {}).get(name, 0))

    total = {}
    for name in ("cpu", "memory", GPU):
        first = spec.get("initContainers", ())
        sidecars = sum(asks(one, name) for one in first if one.get("restartPolicy") == "Always")
        peak = max((asks(one, name) for one in first if one.get("restartPolicy") != "Always"), default=0)
        containers = sum(asks(one, name) for one in spec["containers"])
        whole = asks(spec, name)
        total[name] = whole or max(containers + sidecars, peak + sidecars)
    return total


def test_what_a_job_leaves_out_is_filled_in_where_kueue_and_the_kubelet_read_it(send, cluster):
    limits = {"resources": {"limits": {"cpu": "1"}}}
    made = send(manifest({"kind": "Job", "container": limits}, OWN))
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "limits": {"cpu": "1", DISK: DEFAULT_DISK},
        "requests": {**DEFAULT_REQUEST, "cpu": "1", DISK: "0"},
    }
    assert made["spec"]["ttlSecondsAfterFinished"] == KEPT_SECONDS
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "default"
    cluster.delete("batch/v1", "Job", made["metadata"]["name"], OWN)


@pytest.mark.parametrize(
    ("said", "pod", "filled"),
    [
        ({"requests": {DISK: "1Gi"}}, {}, {"requests": {DISK: "1Gi"}, "limits": {DISK: "1Gi"}}),
        ({"limits": {DISK: "2Gi"}}, {}, {"requests": {DISK: "2Gi"}, "limits": {DISK: "2Gi"}}),
        (
            {},
            {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
            {"requests": {DISK: "0"}, "limits": {DISK: DEFAULT_DISK}},
        ),
    ],
)
def test_no_container_writes_on_its_nodes_disk_without_bound(said, pod, filled, send, cluster):
    made = send(manifest({"kind": "Job", "container": {"resources": said}, "pod": pod}, OWN))
    (container,) = made["spec"]["template"]["spec"]["containers"]
    default = {} if pod else DEFAULT_REQUEST
    requests = {**default, **filled["requests"]}
    assert container["resources"] == {"requests": requests, "limits": filled["limits"]}
    cluster.delete("batch/v1", "Job", made["metadata"]["name"], OWN)


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (("vib-people", "somebody"), 'cannot create resource "pods"'),
        (("system:masters", "an-administrator"), "denied request: Pods: here they come from Jobs"),
        (("system:masters", "system:serviceaccount:tenant-vib:default"), "denied request: Pods: here they"),
    ],
)
def test_nobody_makes_a_pod_but_the_controller_of_jobs(who, says, send, as_somebody, cluster):
    job = send(manifest({"kind": "Job"}, OWN))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
    owner |= {key: job["metadata"][key] for key in ("name", "uid")}
    metadata = {"name": "beside", "namespace": OWN, "ownerReferences": [owner]}
    template = manifest({"kind": "Job"}, OWN)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **template}
    assert says in made_or_said(as_somebody(*who), pod)
    assert cluster.find("v1", "Pod", "beside", OWN) is None
    cluster.delete("batch/v1", "Job", job["metadata"]["name"], OWN)


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("ConfigMap", {"metadata": {"finalizers": ["example.com/keep"]}}, "metadata.finalizers"),
        (
            "Secret",
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]}},
            "metadata.ownerReferences",
        ),
        ("ConfigMap", {"data": {"set": "x" * 100_000}}, "one of these configmaps holds at most 64 KiB"),
        ("PersistentVolumeClaim", {"spec": {"volumeName": "antenna-operator-state"}}, "spec.volumeName"),
        (
            "PersistentVolumeClaim",
            {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "head"}}},
            "metadata.annotations",
        ),
    ],
)
def test_what_may_not_be_made_is_no_change_either(kind, change, says, send, as_somebody):
    person = as_somebody("vib-people")
    name = send(manifest({"kind": kind}, OWN))["metadata"]["name"]
    with pytest.raises(ApiError, match=f"denied request: {says}"):
        person.patch("v1", kind, name, OWN, change)
    person.patch("v1", kind, name, OWN, {"metadata": {"labels": {"note": "mine"}}})
    person.delete("v1", kind, name, OWN)


def test_a_secret_from_before_is_written_anew_as_it_is_and_not_otherwise(as_somebody, admin, cluster):
    """So does `encryption_keys`, with every Secret: one that is too large by now must not hold it up."""
    before = manifest({"kind": "Secret", "object": {"stringData": {"set": "LARGE"}}}, OWN)
    made = as_somebody("system:masters", "system:serviceaccount:kube-system:before").create(before)
    path = cluster.path("v1", "Secret", OWN, made["metadata"]["name"])
    there = cluster.request("GET", path)
    cluster.request("PUT", path, body=there)
    listed = admin.kubectl("get", "secrets", "-n", OWN, "--output=json")
    assert made["metadata"]["name"] in admin.kubectl("replace", "-f", "-", "--output=name", given=listed)
    with pytest.raises(ApiError, match="denied request: one of these secrets holds at most 32 KiB"):
        cluster.request("PUT", path, body={**there, "data": {**there["data"], "more": "eA=="}})
    cluster.delete("v1", "Secret", made["metadata"]["name"], OWN)


def test_what_is_kept_of_who_applied_it_counts_too(as_somebody):
    """Each that applies an object adds the names of all its fields, and there may be any number of them."""
    person = as_somebody("vib-people")
    data = {f"{'x' * 80}-{number:03}": "" for number in range(200)}
    metadata = {"name": "applied", "namespace": OWN}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    with pytest.raises(ApiError, match="denied request: one of these configmaps holds at most 64 KiB"):
        for number in range(20):
            person.apply(applied, manager=f"manager-{number}")
    person.delete("v1", "ConfigMap", "applied", OWN)


def test_no_more_of_a_kind_is_made_than_there_may_be(send, cluster):
    hard = {"spec": {"hard": {"count/remotejobs.antenna.be": "2"}}}
    cluster.patch("v1", "ResourceQuota", "object-counts", namespace_name(ULB.name), hard)
    job = manifest({"kind": "RemoteJob"}, namespace_name(ULB.name))
    eventually(lambda: "exceeded quota" in send(job, ULB))
    assert len(cluster.list_objects("antenna.be/v1alpha1", "RemoteJob", namespace_name(ULB.name))) == 2


@pytest.mark.parametrize("name", ["no-priority-class", "no-cross-namespace-pod-affinity"])
def test_the_quota_holds_where_no_policy_does(name, cluster):
    """The one line of defence without the other: the policy of pods is unbound for a moment."""
    where = namespace_name(VUB.name)
    term = {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {}}
    trait = {
        "no-priority-class": {"priorityClassName": "system-node-critical"},
        "no-cross-namespace-pod-affinity": {
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        },
    }[name]
    template = manifest({"kind": "Job", "pod": trait}, where)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": where}, **template}
    (binding,) = (o for o in admission() if o["kind"] == BINDING and o["metadata"]["name"] == f"{NAME}-pods")
    cluster.delete(binding["apiVersion"], BINDING, f"{NAME}-pods")
    try:
        eventually(lambda: f"exceeded quota: {name}" in made_or_said(cluster, pod), 20)
    finally:
        cluster.create(binding)
    eventually(lambda: "denied request" in made_or_said(cluster, pod), 20)


def test_no_job_is_let_in_that_nobody_has_seen_to(tmp_path):
    """Kueue's webhook suspends Jobs, and what they leave out is filled in; where that is not done none is."""
    with light_cluster(tmp_path, kueue=False) as bare:
        client = connect(bare.kubeconfig)
        for obj in admission():
            if obj["kind"].startswith("Validating"):
                client.create(obj)
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}})
        labelled = {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "default"}}}
        seen = {**labelled, "spec": {"suspend": True}}
        kept = {**labelled, "spec": {"suspend": True, "ttlSecondsAfterFinished": 600}}
        says = {
            "metadata.labels": {},
            "spec.suspend": labelled,
            "spec.ttlSecondsAfterFinished": seen,
            "resources: each container says": kept,
        }
        for beginning, change in says.items():
            job = manifest({"kind": "Job", "object": change}, OWN)
            refusal = f"denied request: {beginning}"
            eventually(lambda job=job, refusal=refusal: refusal in str(made_or_said(client, job)), 30)
        client.close()


# What needs no list


def test_what_runs_beside_the_queue_is_seen():
    """The check itself: a pod on a node of whose GPUs no Workload knows."""
    spec = {"nodeName": "gpu-1", "containers": [{"resources": {"limits": {GPU: "2"}}}]}
    pod = {"metadata": {"namespace": OWN}, "spec": spec, "status": {"phase": "Running"}}

    class Seen:
        def list_objects(self, api_version, kind):
            return [pod] if kind == "Pod" else []

    assert beside_the_queue(Seen()) == {OWN: (2, 0)}
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert beside_the_queue(Seen()) == {}


@pytest.fixture
def pods(admin, cluster):
    """Every pod as it was last, while a kubelet is played over 8 GPUs."""
    seen, stop = {}, threading.Event()
    watching = threading.Thread(target=follow, args=(admin.kubeconfig, seen, stop))
    load = Load(cluster, (VIB, VUB, ULB), {"gpu-a": 4, "gpu-b": 4})
    watching.start()
    load.start()
    yield seen
    load.stop()
    stop.set()
    watching.join(20)


def test_whatever_is_sent_no_partner_runs_beside_its_queue_and_nobody_is_pushed_off(cluster, send, pods):
    """60 Jobs with random traits, good ones and bad, of three partners over 8 GPUs; 50 moments."""
    dice = random.Random(12)  # noqa: S311
    jobs = {name: [c for c in TABLE[name] if c["kind"] == "Job"] for name in ("refused", "admitted")}
    tried = Counter()
    for number in range(max(JOBS, MOMENTS)):
        tenant = dice.choice((VIB, VUB, ULB))
        which = dice.choice(("refused", "admitted", "admitted"))
        job = played(dice, manifest(dice.choice(jobs[which]), namespace_name(tenant.name)))
        said = send(job, tenant)
        assert (which == "refused") == ("denied request" in str(said)), said
        tried[which] += 1
        if number >= JOBS - MOMENTS:
            assert lastingly_beside_the_queue(cluster) == {}
    eventually(lambda: sum(ran(pod) for pod in pods.values()) > JOBS // 4)
    assert lastingly_beside_the_queue(cluster) == {}
    assert not [pod["metadata"]["name"] for pod in pods.values() if pushed_off(pod)]
    assert min(tried.values()) > 10, tried
    print(f"{dict(tried)}, {sum(ran(pod) for pod in pods.values())} pods ran, {MOMENTS} moments")


def ran(pod):
    return pod["status"]["phase"] in ("Running", "Succeeded")


def played(dice, job):
    """The Job with a random size, and with what the test's own kubelet goes by."""
    gpus = dice.choice((0, 1, 1, 2, 3))
    pods = dice.choice((1, 1, 2, 3))
    spec = job["spec"]
    plan = {**OWN_KUBELET, "test/seconds": str(dice.randint(1, 4)), "test/outcome": "Succeeded"}
    template = {**spec["template"]}
    metadata = template.get("metadata", {})
    template["metadata"] = {**metadata, "annotations": {**metadata.get("annotations", {}), **plan}}
    (container,) = template["spec"]["containers"]
    resources = container.get("resources", {})
    if gpus and not any("/" in name for name in resources.get("limits", {})):
        limits = {**resources.get("limits", {}), GPU: str(gpus)}
        container = {**container, "resources": {**resources, "limits": limits}}
    # The kubelet that is played knows this name.
    template["spec"] = {**template["spec"], "containers": [{**container, "name": "work"}]}
    sized = {"parallelism": pods, "completions": pods}
    return {**job, "spec": {**sized, **spec, "template": template}}
