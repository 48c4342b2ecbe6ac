"""The ``Objects`` kind against a real API server."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from infra.provider import objects_apply, objects_wait
from infra.provider.kind import ProviderError
from infra.provider.objects import FORGET_UNREACHABLE, Objects
from operators.kube.client import connect
from operators.kube.errors import Conflict, NotFound


def config_map(namespace, name="settings", /, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def job(namespace, image="example/one"):
    container = {"name": "work", "image": image}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": namespace},
        "spec": {
            "suspend": True,
            "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
        },
    }


def deployment(namespace, app="web", image="example/one"):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
            },
        },
    }


def definition(name):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Cluster",
            "names": {"kind": name.capitalize(), "plural": f"{name}s", "singular": name},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


# Apply, prune, delete


def test_objects_are_applied_labelled_and_deleted(bundle, cluster, namespace):
    one = bundle().up(config_map(namespace, level="1"))
    live = cluster.get("v1", "ConfigMap", "settings", namespace)
    assert live["data"] == {"level": "1"}
    assert live["metadata"]["labels"] == {"antenna.be/bundle": one.inputs["name"]}
    assert one.state["refs"] == [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": namespace,
            "name": "settings",
            "uid": live["metadata"]["uid"],
        }
    ]
    one.down()
    assert cluster.find("v1", "ConfigMap", "settings", namespace) is None


def test_deleting_what_is_not_there_is_no_error(bundle, cluster, namespace):
    one = bundle().up(config_map(namespace))
    cluster.delete("v1", "ConfigMap", "settings", namespace)
    one.down()


def test_another_object_of_the_name_is_not_deleted_in_its_place(cluster, namespace):
    cluster.create(config_map(namespace))
    with pytest.raises(Conflict):
        cluster.delete("v1", "ConfigMap", "settings", namespace, uid="3b8d9d4e-0000-0000-0000-000000000000")
    there = cluster.get("v1", "ConfigMap", "settings", namespace)
    cluster.delete("v1", "ConfigMap", "settings", namespace, uid=there["metadata"]["uid"])


def test_what_is_no_longer_declared_is_deleted_and_nothing_else(bundle, cluster, namespace, admin):
    one = bundle().up(config_map(namespace, "a"), config_map(namespace, "b"))
    admin.kubectl("-n", namespace, "create", "configmap", "theirs")
    one.up(config_map(namespace, "b"))
    names = {o["metadata"]["name"] for o in cluster.list_objects("v1", "ConfigMap", namespace)}
    assert {"b", "theirs"} <= names
    assert "a" not in names


def test_what_a_killed_run_left_behind_goes_with_the_next_one(bundle, cluster, namespace):
    killed = bundle().up(config_map(namespace, "a"), config_map(namespace, "b"))
    killed.state = {}
    next_run = bundle().up(config_map(namespace, "b"))
    assert cluster.find("v1", "ConfigMap", "a", namespace) is None
    assert [r["name"] for r in next_run.state["refs"]] == ["b"]


def test_what_a_killed_create_left_behind_is_deleted_though_no_state_knows_it(bundle, cluster, namespace):
    killed = bundle().up(config_map(namespace, "a"))
    killed.state = {}
    killed.down()
    assert cluster.find("v1", "ConfigMap", "a", namespace) is None


def test_two_bundles_leave_each_other_alone(bundle, cluster, namespace):
    bundle("-one").up(config_map(namespace, "a"))
    bundle("-two").up(config_map(namespace, "b")).up()
    assert cluster.find("v1", "ConfigMap", "a", namespace)
    assert cluster.find("v1", "ConfigMap", "b", namespace) is None


def test_a_definition_and_its_resources_are_one_bundle(bundle, cluster, name):
    custom = {"apiVersion": "example.org/v1", "kind": name.capitalize(), "metadata": {"name": "x"}, "size": 1}
    one = bundle().up(custom, definition(name))
    assert cluster.get("example.org/v1", name.capitalize(), "x")["size"] == 1
    assert one.drift() == []
    one.down()
    assert cluster.find("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{name}s.example.org") is None


def test_an_objects_namespace_is_in_the_same_bundle(bundle, cluster, name):
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{name}-own"}}
    one = bundle().up(config_map(f"{name}-own"), space)
    one.down()
    assert cluster.find("v1", "Namespace", f"{name}-own") is None


# Drift


def test_nothing_changed_is_no_drift(bundle, namespace):
    one = bundle().up(config_map(namespace, level="1"), deployment(namespace), job(namespace))
    assert one.drift() == []


def test_drift_is_named_and_mended(bundle, cluster, namespace, admin):
    one = bundle().up(
        config_map(namespace, "edited", level="1"),
        config_map(namespace, "deleted"),
        {**config_map(namespace, "unlabelled"), "metadata": labelled(namespace, "unlabelled", team="a")},
    )
    admin.kubectl(
        "-n", namespace, "patch", "configmap", "edited", "--type=merge", "-p", '{"data":{"level":"9"}}'
    )
    admin.kubectl("-n", namespace, "delete", "configmap", "deleted")
    admin.kubectl("-n", namespace, "label", "configmap", "unlabelled", "team-")
    assert sorted(one.drift()) == [
        f"ConfigMap {namespace}/deleted: missing",
        f"ConfigMap {namespace}/edited: data.level is 9, declared 1",
        f"ConfigMap {namespace}/unlabelled: metadata.labels.team is missing, declared a",
    ]
    assert Objects().diff(one.inputs, one.state, one.inputs).changes == ["drift"]
    one.up(*one.inputs["objects"])
    assert one.drift() == []
    assert cluster.get("v1", "ConfigMap", "edited", namespace)["data"] == {"level": "1"}


def labelled(namespace, name, **labels):
    return {"name": name, "namespace": namespace, "labels": labels}


def test_a_bundle_of_which_nothing_is_left_is_gone(bundle, namespace, admin):
    one = bundle().up(config_map(namespace))
    admin.kubectl("-n", namespace, "delete", "configmap", "settings")
    assert one.drift() is None


def test_what_others_set_stays_theirs(bundle, cluster, namespace, admin):
    one = bundle().up(deployment(namespace))
    admin.kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=0")
    admin.kubectl("-n", namespace, "annotate", "deployment", "web", "note=ours")
    assert one.drift() == []
    one.up(deployment(namespace, image="example/two"))
    live = cluster.get("apps/v1", "Deployment", "web", namespace)
    assert live["spec"]["replicas"] == 0
    assert live["metadata"]["annotations"]["note"] == "ours"
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example/two"


# Import


def test_what_another_owner_writes_meanwhile_is_no_drift(bundle, admin, namespace):
    """A Lease that comes with the bundle and is renewed by who holds it, here without a pause."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "held", "namespace": namespace},
    }
    made = bundle().up(lease)
    over = threading.Event()

    def renew():
        holder = connect(admin.kubeconfig)
        while not over.wait(0.05):
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            patch = {"spec": {"renewTime": at}}
            holder.patch("coordination.k8s.io/v1", "Lease", "held", namespace, patch)
        holder.close()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert [made.drift() for _ in range(30)] == [[]] * 30
    finally:
        over.set()
        thread.join()


def test_a_bundle_is_imported_by_its_name(bundle, namespace, admin, monkeypatch):
    monkeypatch.setattr("infra.paths.kubeconfig", lambda stack: admin.kubeconfig)
    declared = [
        {**config_map(namespace, level="1"), "metadata": labelled(namespace, "settings", team="a")},
        deployment(namespace),
    ]
    one = bundle().up(*declared)
    admin.kubectl("-n", namespace, "annotate", "configmap", "settings", "note=theirs")
    admin.kubectl("-n", namespace, "expose", "deployment", "web", "--port=80")
    id, inputs, state = Objects().read(one.id, {}, {}, print)
    assert id == one.id
    assert sorted(inputs["objects"], key=lambda o: o["kind"]) == declared
    assert state["refs"] and state["drift"] == []
    assert {r["kind"] for r in state["refs"]} == {"ConfigMap", "Deployment"}


def test_importing_what_is_not_there_finds_nothing(admin, monkeypatch):
    monkeypatch.setattr("infra.paths.kubeconfig", lambda stack: admin.kubeconfig)
    assert Objects().read("test/nothing", {}, {}, print) is None


# Refusals


def test_an_object_that_its_kind_does_not_allow_is_named_with_the_field(bundle, namespace):
    wrong = config_map(namespace)
    wrong["data"] = {"a key": "1"}
    with pytest.raises(ProviderError, match=rf"ConfigMap {namespace}/settings was refused: data\[a key\]"):
        bundle().up(wrong)


def test_a_webhooks_refusal_is_shown_with_its_message(bundle, name):
    queue = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "ClusterQueue",
        "metadata": {"name": name},
        "spec": {"cohortName": "c", "resourceGroups": [group("1"), group("2")]},
    }
    with pytest.raises(ProviderError, match=rf"ClusterQueue {name} was refused: .*denied.*Duplicate value"):
        bundle().up(queue)


def group(quota):
    flavor = {"name": "local", "resources": [{"name": "cpu", "nominalQuota": quota}]}
    return {"coveredResources": ["cpu"], "flavors": [flavor]}


def test_a_namespaced_object_must_name_its_namespace(bundle):
    with pytest.raises(ProviderError, match="ConfigMap settings names no namespace"):
        bundle().up({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})


def test_a_kind_that_is_not_served_is_named(bundle):
    with pytest.raises(ProviderError, match=r"Thing x was refused: .*serves no Thing of example\.org/v1"):
        bundle().up({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "x"}})


def test_a_job_that_cannot_be_changed_is_made_anew(bundle, cluster, namespace):
    one = bundle().up(job(namespace))
    before = cluster.get("batch/v1", "Job", "work", namespace)["metadata"]["uid"]
    one.up(job(namespace, image="example/two"))
    after = cluster.get("batch/v1", "Job", "work", namespace)
    assert after["metadata"]["uid"] != before
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "example/two"


def test_what_cannot_be_changed_and_would_lose_something_says_what_to_do(bundle, namespace):
    one = bundle().up(deployment(namespace))
    with pytest.raises(ProviderError, match=rf"kubectl delete deployment web -n {namespace}"):
        one.up(deployment(namespace, app="other"))


# Waiting


def test_a_webhook_that_is_not_up_yet_is_waited_for(bundle, cluster, namespace):
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "slow.example.org",
                "clientConfig": {"url": "https://127.0.0.1:9/"},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    cluster.create(hook)
    kind = (hook["apiVersion"], hook["kind"], namespace)
    ready = threading.Timer(2, lambda: cluster.delete(*kind))
    time.sleep(0.5)  # the API server learns of webhooks by watching them
    ready.start()
    one = bundle().up(config_map(namespace))
    assert any("waiting" in line and "slow.example.org" in line for line in one.reported)


def test_deployments_are_waited_for_and_the_reason_is_shown(bundle, cluster, namespace, admin, monkeypatch):
    monkeypatch.setattr(objects_wait, "AVAILABLE", 3)
    one = bundle()
    with pytest.raises(ProviderError, match=r"web 0/1 available: pod web-.*after 3 s"):
        one.up(deployment(namespace), wait=True)
    assert any("web 0/1 available" in line for line in one.reported)
    monkeypatch.setattr(objects_wait, "AVAILABLE", 30)
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": namespace}})
    try:
        one.up(deployment(namespace), wait=True)
    finally:
        cluster.delete("v1", "Node", namespace)


def test_what_holds_a_deletion_is_named_after_a_bound(bundle, cluster, namespace, monkeypatch):
    held = config_map(namespace)
    held["metadata"]["finalizers"] = ["example.org/held"]
    one = bundle().up(held)
    monkeypatch.setattr(objects_wait, "GONE", 1)
    with pytest.raises(ProviderError, match=r"ConfigMap .*: finalizers example.org/held"):
        one.down()
    cluster.patch("v1", "ConfigMap", "settings", namespace, {"metadata": {"finalizers": None}})


def test_what_is_being_deleted_is_applied_again_once_it_is_gone(bundle, cluster, namespace):
    held = config_map(namespace, level="1")
    held["metadata"]["finalizers"] = ["example.org/held"]
    cluster.create(held)
    cluster.delete("v1", "ConfigMap", "settings", namespace)
    let_go = {"metadata": {"finalizers": None}}
    threading.Timer(1, lambda: cluster.patch("v1", "ConfigMap", "settings", namespace, let_go)).start()
    one = bundle().up(config_map(namespace, level="2"))
    assert cluster.get("v1", "ConfigMap", "settings", namespace)["data"] == {"level": "2"}
    assert f"waiting: ConfigMap {namespace}/settings: finalizers example.org/held" in one.reported


# A cluster that does not answer


@pytest.fixture
def lost(bundle, admin, namespace, tmp_path, monkeypatch):
    """A bundle whose cluster has gone: its kubeconfig names a port at which nobody listens."""
    monkeypatch.setattr(objects_apply, "READY", 1)
    one = bundle().up(config_map(namespace))
    here = admin.kubeconfig.read_text()
    address = next(line.split()[1] for line in here.splitlines() if "server:" in line)
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(here.replace(address, "https://127.0.0.1:9"))
    original, one.inputs = one.inputs, {**one.inputs, "kubeconfig": str(elsewhere)}
    yield one
    one.inputs = original


def test_applying_to_a_lost_cluster_says_which_and_what_next(lost, namespace):
    with pytest.raises(
        ProviderError, match=r"https://127.0.0.1:9 does not answer: Connection refused.*status"
    ):
        lost.up(config_map(namespace))


def test_a_lost_cluster_is_drift(lost):
    assert [line.split(":")[0] for line in lost.drift()] == ["the API server https"]


def test_deleting_from_a_lost_cluster_is_refused_unless_told(lost, monkeypatch):
    kept = dict(lost.state)
    with pytest.raises(ProviderError, match=rf"{FORGET_UNREACHABLE}=1"):
        lost.down()
    monkeypatch.setenv(FORGET_UNREACHABLE, "1")
    lost.down()
    lost.state = kept


# The client


def test_lists_are_read_page_by_page(cluster, namespace):
    for number in range(7):
        cluster.create(config_map(namespace, f"m{number}"))
    found = cluster.list_objects("v1", "ConfigMap", namespace, page=3)
    assert {f"m{number}" for number in range(7)} <= {o["metadata"]["name"] for o in found}
    assert {o["kind"] for o in found} == {"ConfigMap"}


def test_a_watch_tells_what_happens(cluster, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = cluster.request("GET", path)["metadata"]["resourceVersion"]
    cluster.create({**config_map(namespace, "a"), "metadata": labelled(namespace, "a", watched="yes")})
    cluster.delete("v1", "ConfigMap", "a", namespace)
    events = cluster.watch(
        "v1", "ConfigMap", namespace, resource_version=version, labels="watched=yes", seconds=5
    )
    seen = [(e.type, e.object["metadata"]["name"]) for _, e in zip(range(2), events, strict=False)]
    events.close()
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


def test_what_is_not_there_is_not_found(cluster, namespace):
    with pytest.raises(NotFound):
        cluster.get("v1", "ConfigMap", "none", namespace)
    assert cluster.find("v1", "ConfigMap", "none", namespace) is None
