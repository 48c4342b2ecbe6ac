"""Role kubernetes, on live machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.control_plane import table

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/kubelet.conf"


@pytest.mark.parametrize("unit", ["kubelet", "kube-proxy", "antenna-routes"])
def test_units_run_and_come_back_after_a_boot(machine: Any, unit: str) -> None:
    assert machine.service(unit).is_running
    assert machine.service(unit).is_enabled


def test_the_node_is_ready_at_the_declared_version(
    machine: Any, node: dict[str, Any], variables: dict[str, Any]
) -> None:
    status = json.loads(machine.check_output(f"{KUBECTL} get node %s -o json", node["name"]))["status"]
    assert [row["status"] for row in status["conditions"] if row["type"] == "Ready"] == ["True"]
    assert status["nodeInfo"]["kubeletVersion"] == variables["antenna_kubernetes_version"]
    assert {"type": "InternalIP", "address": node["address"]} in status["addresses"]


def test_the_node_has_its_labels(machine: Any, node: dict[str, Any]) -> None:
    found = json.loads(machine.check_output(f"{KUBECTL} get node %s -o json", node["name"]))
    assert node["labels"].items() <= found["metadata"]["labels"].items()


def test_every_other_nodes_pods_have_a_route(
    machine: Any, node: dict[str, Any], variables: dict[str, Any]
) -> None:
    routes = {row["dst"]: row.get("gateway") for row in json.loads(machine.check_output("ip -json route"))}
    for other in variables["antenna_nodes"]:
        if other["name"] != node["name"]:
            assert routes[other["pod_cidr"]] == other["address"]


def test_pods_get_addresses_of_this_node(machine: Any, node: dict[str, Any]) -> None:
    config = json.loads(machine.file("/etc/cni/net.d/10-antenna.conflist").content_string)
    assert config["plugins"][0]["ipam"]["ranges"] == [[{"subnet": node["pod_cidr"]}]]


def test_services_answer_from_the_node(machine: Any, variables: dict[str, Any]) -> None:
    dns = variables["antenna_dns_address"]
    assert machine.run("timeout 5 bash -c 'exec 3<>/dev/tcp/%s/53'", dns).rc == 0


def test_kube_proxy_keeps_its_rules_in_nftables(machine: Any) -> None:
    assert "table ip kube-proxy" in machine.check_output("nft list tables")


def test_keys_are_roots_alone(machine: Any) -> None:
    found = machine.check_output("find /etc/kubernetes /var/lib/kubelet/pki -type f -perm /077 -name '*.key'")
    assert found == ""
    configs = machine.check_output("grep -lr client-key /etc/kubernetes").split()
    assert "/etc/kubernetes/kubelet.conf" in configs
    assert {machine.file(name).mode for name in configs} == {0o600}


def test_only_the_head_holds_the_clusters_authority(
    machine: Any, node: dict[str, Any], variables: dict[str, Any]
) -> None:
    is_head = node["name"] == variables["antenna_head"]
    assert machine.file("/etc/kubernetes/pki/ca.key").exists == is_head
    assert machine.file("/etc/kubernetes/admin.conf").exists == is_head


def test_files_are_roots_alone_and_no_wider_than_the_table_says(machine: Any) -> None:
    for row in table().files:
        listed = machine.check_output(f"stat -c '%a %U:%G %n' {row.path} 2>/dev/null || true")
        for line in listed.splitlines():
            mode, owner, path = line.split(" ", 2)
            assert owner == "root:root", path
            assert int(mode, 8) & ~int(row.mode, 8) == 0, f"{path}: {mode}, at most {row.mode}"


def test_the_head_has_every_file_of_the_table(
    machine: Any, node: dict[str, Any], variables: dict[str, Any]
) -> None:
    if node["name"] == variables["antenna_head"]:
        missing = [row.path for row in table().files if machine.run(f"stat {row.path}").rc]
        assert missing == []
        assert not machine.file("/etc/kubernetes/super-admin.conf").exists


def test_the_heads_own_credentials_end_within_days(
    machine: Any, node: dict[str, Any], variables: dict[str, Any]
) -> None:
    if node["name"] == variables["antenna_head"]:
        pem = "sed -n 's/.*client-certificate-data: //p' /etc/kubernetes/admin.conf | base64 -d"
        assert machine.run(f"{pem} | openssl x509 -noout -checkend {6 * 86400}").rc == 0
        assert machine.run(f"{pem} | openssl x509 -noout -checkend {15 * 86400}").rc == 1


def test_the_kubelet_shows_a_certificate_of_the_cluster(machine: Any, node: dict[str, Any]) -> None:
    trusted = "-CAfile /etc/kubernetes/pki/ca.crt -verify_return_error </dev/null"
    shown = machine.run(f"openssl s_client -connect %s:10250 {trusted}", node["address"])
    assert shown.rc == 0, shown.stderr
    assert f"CN = system:node:{node['name']}" in shown.stdout


def test_a_pod_cannot_take_all_processes_of_the_node(machine: Any) -> None:
    limit = str(table().value("kubelet", "podPidsLimit"))
    found = machine.check_output("find /sys/fs/cgroup -regex '.*/pod[^/]*/pids.max' -exec cat {} +")
    assert set(found.split()) <= {limit}
    # A node may have no pods just now; the head always has.
    assert found or not machine.file("/etc/kubernetes/manifests/kube-apiserver.yaml").exists
