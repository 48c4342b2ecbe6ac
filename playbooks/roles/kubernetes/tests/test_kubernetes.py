"""Role kubernetes, on live machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
