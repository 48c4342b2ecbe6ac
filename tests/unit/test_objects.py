"""The ``Objects`` kind without a cluster: what it refuses, compares, orders."""

from __future__ import annotations

import pytest

from infra.provider.kind import UNKNOWN, ProviderError
from infra.provider.objects import Objects
from infra.provider.objects_bundle import applied_by, declared, delete_phases, flattened, in_apply_order, ref
from infra.provider.objects_drift import differences


def config_map(name="a", namespace="n", **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def inputs(*objects, **others):
    return {"stack": "s", "name": "b", "kubeconfig": "/k", "objects": list(objects), **others}


def named(kind, name="x", api_version="v1"):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


# check


def test_a_bundle_of_objects_passes():
    assert Objects().check(inputs(config_map(), config_map("b"))) == []


def test_what_a_preview_does_not_know_yet_passes():
    assert Objects().check({**inputs(UNKNOWN), "kubeconfig": UNKNOWN, "manifest": UNKNOWN}) == []


@pytest.mark.parametrize(
    ("given", "property", "reason"),
    [
        ({"stack": "s", "name": "b", "kubeconfig": "/k"}, "objects", "neither"),
        ({"stack": "s", "name": "b", "objects": []}, "kubeconfig", "missing"),
        (inputs(extra=1), "extra", "no such property"),
        (inputs(name="Not a label"), "name", "not a DNS label"),
        (inputs(config_map(), config_map()), "objects[1]", "ConfigMap n/a is there twice"),
        (inputs({"kind": "Pod"}), "objects[0]", "needs apiVersion"),
        (inputs({**named("Secret"), "data": {"a": "b"}}), "objects[0]", "into the state"),
        (inputs(manifest={"path": "/m"}), "manifest", "{path, sha256}"),
        (inputs(manifest={"path": "/m", "sha256": "1"}), "manifest.sha256", "SHA-256"),
    ],
)
def test_wrong_inputs_are_named(given, property, reason):
    failures = Objects().check(given)
    assert [(p, reason in text) for p, text in failures] == [(property, True)]


# diff


def test_the_same_inputs_are_no_change():
    assert Objects().diff(inputs(config_map()), {"drift": []}, inputs(config_map())).changes == []


def test_a_changed_object_is_an_update_that_names_it():
    diff = Objects().diff(inputs(config_map(k="1")), {}, inputs(config_map(k="2"), config_map("b")))
    assert (diff.changes, diff.replaces) == (["objects"], [])
    assert diff.detailed['objects["ConfigMap n/a"]'] == "update"
    assert diff.detailed['objects["ConfigMap n/b"]'] == "add"


def test_another_name_is_another_bundle():
    assert Objects().diff(inputs(), {}, inputs(name="c")).replaces == ["name"]


def test_a_manifest_is_its_content_wherever_it_lies():
    old, new = ({"path": path, "sha256": "a" * 64} for path in ("/one/m.yaml", "/two/m.yaml"))
    assert Objects().diff(inputs(manifest=old), {}, inputs(manifest=new)).changes == []
    other = {"path": "/one/m.yaml", "sha256": "b" * 64}
    assert Objects().diff(inputs(manifest=old), {}, inputs(manifest=other)).changes == ["manifest"]


def test_drift_is_a_change():
    diff = Objects().diff(inputs(), {"drift": ["ConfigMap n/a: missing"]}, inputs())
    assert diff.changes == ["drift"]


# manifests


def test_a_manifest_that_is_not_there_says_what_makes_it(tmp_path):
    given = inputs(manifest={"path": str(tmp_path / "m.yaml"), "sha256": "a" * 64})
    with pytest.raises(ProviderError, match=r"m\.yaml: No such file.*antenna tools"):
        Objects().create(given, print)


def test_a_manifest_with_other_content_is_refused(tmp_path):
    (tmp_path / "m.yaml").write_text("kind: Pod\n")
    given = inputs(manifest={"path": str(tmp_path / "m.yaml"), "sha256": "a" * 64})
    with pytest.raises(ProviderError, match="not the declared one"):
        Objects().create(given, print)


def test_without_a_kubeconfig_the_next_step_is_said(tmp_path):
    with pytest.raises(ProviderError, match=r"no kubeconfig .*: bring the cluster up first"):
        Objects().create({**inputs(config_map()), "kubeconfig": str(tmp_path / "none")}, print)


def test_a_missing_cluster_is_drift_and_not_the_end_of_a_refresh(tmp_path):
    given = {**inputs(config_map()), "kubeconfig": str(tmp_path / "none")}
    id, _, state = Objects().read("s/b", given, {"refs": [{"name": "a"}], "drift": []}, print)
    assert (id, state["refs"]) == ("s/b", [{"name": "a"}])
    assert "no kubeconfig" in state["drift"][0]


def test_lists_are_opened_and_empty_documents_left_out():
    documents = [None, {"kind": "List", "items": [config_map("a"), config_map("b")]}, config_map("c")]
    assert [o["metadata"]["name"] for o in flattened(documents)] == ["a", "b", "c"]


def test_status_is_never_declared():
    crd = {**named("CustomResourceDefinition"), "status": {"conditions": []}}
    crd["metadata"]["creationTimestamp"] = None
    applied = declared(crd, "b")
    assert "status" not in applied
    assert applied["metadata"] == {"name": "x", "labels": {"antenna.be/bundle": "b"}}


# order


def test_namespaces_and_definitions_come_first_webhooks_after_deployments_custom_resources_last():
    kinds = ["ClusterQueue", "ValidatingWebhookConfiguration", "Deployment", "ConfigMap", "Namespace"]
    ordered = in_apply_order(named(kind) for kind in [*kinds, "CustomResourceDefinition"])
    assert [o["kind"] for o in ordered] == [
        "Namespace",
        "CustomResourceDefinition",
        "ConfigMap",
        "Deployment",
        "ValidatingWebhookConfiguration",
        "ClusterQueue",
    ]


def test_webhooks_go_first_and_controllers_outlive_their_definitions():
    kinds = ["Namespace", "CustomResourceDefinition", "Deployment", "MutatingWebhookConfiguration", "Queue"]
    phases = delete_phases(ref(named(kind)) for kind in kinds)
    assert [[r["kind"] for r in phase] for phase in phases] == [
        ["MutatingWebhookConfiguration"],
        ["Queue"],
        ["CustomResourceDefinition"],
        ["Deployment", "Namespace"],
    ]


def test_a_queue_and_the_namespace_whose_work_it_waits_for_go_together():
    phases = delete_phases(ref(named(kind)) for kind in ["Namespace", "ClusterQueue", "LocalQueue"])
    assert [[r["kind"] for r in phase] for phase in phases] == [["ClusterQueue", "LocalQueue", "Namespace"]]


# drift


def queue(gpus, **metadata):
    flavor = {"name": "local-gpu", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": gpus}]}
    return {
        "metadata": {"name": "vib", **metadata},
        "spec": {"resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": [flavor]}]},
        "status": {"pendingWorkloads": 1},
    }


def test_a_changed_quota_is_named_by_its_path():
    assert differences(queue("2"), queue("4")) == [
        "spec.resourceGroups[0].flavors[local-gpu].resources[nvidia.com/gpu].nominalQuota is 2, declared 4"
    ]


def test_a_label_that_went_is_named():
    labels = {"antenna.be/tenant": "vib"}
    assert differences(queue("4", labels={}), queue("4", labels=labels)) == [
        "metadata.labels[antenna.be/tenant] is missing, declared vib"
    ]


def test_quantities_are_compared_by_value():
    assert differences(queue("1Gi"), queue("1024Mi")) == []


@pytest.mark.parametrize(
    "spec",
    [
        lambda amount: {"hard": {"requests.nvidia.com/gpu": amount}},
        lambda amount: {"capacity": {"storage": amount}},
        lambda amount: {"limits": [{"type": "Container", "defaultRequest": {"memory": amount}}]},
        lambda amount: container(resources={"limits": {"memory": amount}}),
    ],
)
def test_every_place_of_an_amount_is_known(spec):
    live, wanted = ({"metadata": {}, "spec": spec(amount)} for amount in ("1Gi", "1024Mi"))
    assert differences(live, wanted) == []


def test_text_that_looks_like_an_amount_is_text():
    live, wanted = (
        {"metadata": {}, "spec": container(env=[{"name": "V", "value": v}], args=[v])}
        for v in ("1.10", "1.1")
    )
    assert differences(live, wanted) == [
        "spec.template.spec.containers[c].env[V].value is 1.10, declared 1.1",
        'spec.template.spec.containers[c].args is ["1.10"], declared ["1.1"]',
    ]


def container(**fields):
    return {"template": {"spec": {"containers": [{"name": "c", **fields}]}}}


def test_what_the_server_keeps_for_itself_is_no_difference():
    live, wanted = queue("4", resourceVersion="1", managedFields=[1]), queue("4", resourceVersion="2")
    live["status"] = {"pendingWorkloads": 9}
    assert differences(live, wanted) == []


def test_an_item_more_in_a_named_list_is_named():
    live = {"metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    wanted = {"metadata": {}, "spec": {"containers": [{"name": "a"}]}}
    assert differences(live, wanted) == ['spec.containers[b] is {"name": "b"}, no longer declared']


def test_items_of_one_name_are_told_apart_by_place():
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    live = {"metadata": {}, "spec": {"ports": ports}}
    wanted = {"metadata": {}, "spec": {"ports": [ports[0], {**ports[1], "protocol": "SCTP"}]}}
    assert differences(live, wanted) == ["spec.ports[1].protocol is TCP, declared SCTP"]


# import


def test_the_declared_part_of_an_object_is_read_from_its_managed_fields():
    live = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "web",
            "namespace": "n",
            "labels": {"antenna.be/bundle": "b", "app": "web", "theirs": "1"},
            "managedFields": [
                {
                    "manager": "antenna",
                    "operation": "Apply",
                    "apiVersion": "v1",
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:antenna.be/bundle": {}, "f:app": {}}},
                        "f:spec": {
                            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
                            "f:selector": {},
                        },
                    },
                },
                {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsV1": {}},
            ],
        },
        "spec": {
            "clusterIP": "10.0.0.1",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "protocol": "TCP"}],
            "selector": {"app": "web"},
        },
    }
    assert applied_by(live, "antenna") == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "n", "labels": {"app": "web"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
    }
    assert applied_by(live, "somebody") is None
