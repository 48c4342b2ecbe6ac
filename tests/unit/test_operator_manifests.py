"""The operator's own objects: the restricted profile, and no right beyond the tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.__main__ import LEDGER_URL
from operators.manifests import (
    CA_CONFIG_MAP,
    LEASE,
    METRICS_READER,
    NAME,
    NAMESPACE,
    OWN_RIGHTS,
    operator_objects,
    rules,
)
from operators.rights import CONTROLLERS, EXPLANATIONS, METRICS, Right
from operators.tenancy import PARTNERS_ROLE, SUBMITTER_RULES

IMAGE = "antenna.be/operator:0.1.0-0123abcd"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}

Object = dict[str, Any]


@pytest.fixture(params=["", "ceph"], ids=["on the head", "in a storage class"])
def objects(request: pytest.FixtureRequest) -> dict[str, Object]:
    made = operator_objects(image=IMAGE, head="head", storage_class=request.param)
    by_name = {f"{o['kind']}/{o['metadata']['name']}": o for o in made}
    assert len(by_name) == len(made)
    return by_name


def pod(objects: dict[str, Object]) -> Object:
    found: Object = objects[f"Deployment/{NAME}"]["spec"]["template"]["spec"]
    return found


def granted(role: Object) -> set[tuple[str, str, str, str]]:
    """(group, resource, verb, name) of each thing that a role allows; "" is any name."""
    return {
        (group, resource, verb, name)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def asked(*rights: Right) -> set[tuple[str, str, str, str]]:
    return {
        (right.group, resource, verb, name)
        for right in rights
        for resource in right.resources
        for verb in right.verbs
        for name in right.names or ("",)
    }


def test_the_namespace_enforces_the_restricted_profile(objects: dict[str, Object]) -> None:
    labels = objects[f"Namespace/{NAMESPACE}"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_pod_is_what_the_restricted_profile_allows(objects: dict[str, Object]) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    spec = pod(objects)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    allowed = {"persistentVolumeClaim", "emptyDir", "secret"}
    assert all(volume.keys() & allowed for volume in spec["volumes"])
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container["ports"])


def test_one_pod_runs_on_the_control_plane_s_node_too_and_two_never_write_the_ledger(
    objects: dict[str, Object],
) -> None:
    deployment = objects[f"Deployment/{NAME}"]["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"} in pod(objects)[
        "tolerations"
    ]


def test_probes_ports_and_service_speak_of_the_same_ports(objects: dict[str, Object]) -> None:
    (container,) = pod(objects)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": 8443, "health": 8081}
    assert {f"--listen=:{ports['metrics']}", f"--health-listen=:{ports['health']}"} <= set(container["args"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "health"
    service = objects[f"Service/{NAME}"]["spec"]
    assert service["ports"] == [{"name": "metrics", "port": 8443, "targetPort": "metrics"}]
    labels = objects[f"Deployment/{NAME}"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_the_operator_may_do_what_the_tables_say_and_nothing_else(objects: dict[str, Object]) -> None:
    assert granted(objects[f"ClusterRole/{NAME}"]) == asked(*METRICS, *EXPLANATIONS, *CONTROLLERS)
    assert granted(objects[f"Role/{NAME}"]) == asked(*OWN_RIGHTS)
    assert objects[f"ClusterRole/{PARTNERS_ROLE}"]["rules"] == list(SUBMITTER_RULES)
    reader = objects[f"ClusterRole/{METRICS_READER}"]
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    roles = {o["metadata"]["name"] for o in objects.values() if o["kind"] in {"ClusterRole", "Role"}}
    assert roles == {NAME, METRICS_READER, PARTNERS_ROLE}


def test_no_right_is_a_wildcard_and_no_secret_can_be_read(objects: dict[str, Object]) -> None:
    roles = [objects[f"{kind}/{NAME}"] for kind in ("ClusterRole", "Role")]
    assert "*" not in json.dumps([role["rules"] for role in roles])
    for role in roles:
        assert not any("secrets" in rule.get("resources", []) for rule in role["rules"])
        assert not any("impersonate" in rule["verbs"] for rule in role["rules"])


def test_what_the_operator_may_write_in_the_whole_cluster_is_short_and_written_down_here() -> None:
    written = {
        (right.group, resource)
        for right in (*METRICS, *EXPLANATIONS, *CONTROLLERS)
        for resource in right.resources
        if WRITES & set(right.verbs)
    }
    assert written == {
        ("", "events"),
        ("", "limitranges"),
        ("", "namespaces"),
        ("", "resourcequotas"),
        ("antenna.be", "budgets"),
        ("antenna.be", "budgets/status"),
        ("antenna.be", "remotejobs"),
        ("antenna.be", "remotejobs/status"),
        ("antenna.be", "remotesites/status"),
        ("antenna.be", "tenants"),
        ("antenna.be", "tenants/finalizers"),
        ("antenna.be", "tenants/status"),
        # questions, which change nothing
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("kueue.x-k8s.io", "admissionchecks/status"),
        ("kueue.x-k8s.io", "clusterqueues"),
        ("kueue.x-k8s.io", "localqueues"),
        ("kueue.x-k8s.io", "workloads"),
        ("kueue.x-k8s.io", "workloads/status"),
        ("networking.k8s.io", "networkpolicies"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
    }


def test_rights_to_one_resource_from_two_tables_are_one_rule() -> None:
    found = rules(
        [
            Right("", ("pods", "events"), ("list", "get")),
            Right("", ("events",), ("create",)),
            Right("", ("events",), ("patch",), names=("one",)),
        ]
    )
    assert found == [
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "list"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["patch"], "resourceNames": ["one"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]


def test_the_certificate_s_config_map_is_there_and_is_the_operator_s_to_fill(
    objects: dict[str, Object],
) -> None:
    assert "data" not in objects[f"ConfigMap/{CA_CONFIG_MAP}"]
    assert granted(objects[f"Role/{NAME}"]) == {
        (group, resource, verb, name)
        for group, resource, name in (
            ("", "configmaps", CA_CONFIG_MAP),
            ("coordination.k8s.io", "leases", LEASE),
        )
        for verb in ("get", "patch")
    }


def test_the_lease_is_there_and_pulumi_sees_no_drift_in_who_holds_it(objects: dict[str, Object]) -> None:
    assert "spec" not in objects[f"Lease/{LEASE}"]


def test_the_state_outlives_the_pod(objects: dict[str, Object]) -> None:
    claim = objects[f"PersistentVolumeClaim/{NAME}-state"]
    volumes = {volume["name"]: volume for volume in pod(objects)["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = pod(objects)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"--state={mounts['state']}" in container["args"]
    if volume := objects.get(f"PersistentVolume/{NAME}-state"):
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"]
        assert "head" in json.dumps(volume["spec"]["nodeAffinity"])
    else:
        assert claim["spec"]["storageClassName"] == "ceph"


def test_budgets_are_served_on_the_pods_loopback_address_and_by_no_service(
    objects: dict[str, Object],
) -> None:
    (container,) = pod(objects)["containers"]
    (listening,) = [a for a in container["args"] if a.startswith("--usage-listen=")]
    assert listening == "--usage-listen=127.0.0.1:8082"
    assert 8082 not in [port["containerPort"] for port in container["ports"]]
    (service,) = [o for o in objects.values() if o["kind"] == "Service"]
    assert [port["port"] for port in service["spec"]["ports"]] == [8443]


def test_another_database_is_named_by_a_secret_that_need_not_be_there(objects: dict[str, Object]) -> None:
    (container,) = pod(objects)["containers"]
    (variable,) = container["env"]
    assert variable["name"] == LEDGER_URL
    assert variable["valueFrom"]["secretKeyRef"]["optional"] is True
    assert "value" not in variable
