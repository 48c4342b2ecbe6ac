"""Role network_policy, on live machines."""

from __future__ import annotations

from typing import Any
from urllib.request import urlopen

import pytest

UNITS = ("antenna-network-rules", "antenna-network-policy")
IDENTITY = "--kubeconfig=/etc/antenna/network-policy/kubeconfig"


@pytest.mark.parametrize("unit", UNITS)
def test_rules_and_agent_are_there_and_come_back_after_a_boot(machine: Any, unit: str) -> None:
    assert machine.service(unit).is_running
    assert machine.service(unit).is_enabled


def test_nothing_passes_the_queue_while_nobody_is_there(machine: Any) -> None:
    rules = machine.check_output("iptables-nft-save --table security")
    assert rules.count("-j NFQUEUE --queue-num 100") == 3
    assert "bypass" not in rules


def test_the_kubelet_does_not_start_without_the_rules(machine: Any) -> None:
    assert "antenna-network-rules.service" in machine.check_output(
        "systemctl show -P Requires kubelet.service"
    )


def test_the_agent_answers_and_is_at_the_queue(node: dict[str, Any]) -> None:
    with urlopen(f"http://{node['address']}:9080/healthz", timeout=10) as answer:
        assert answer.read() == b"ok\n"


def test_the_agent_has_one_capability(machine: Any) -> None:
    pid = machine.check_output("systemctl show -P MainPID antenna-network-policy")
    status = machine.check_output(f"grep CapEff /proc/{pid}/status")
    assert int(status.split()[1], 16) == 1 << 12  # CAP_NET_ADMIN


def test_the_agents_identity_may_list_what_it_decides_by_and_no_more(machine: Any) -> None:
    kubectl = f"/opt/antenna/artifacts/bin/kubectl {IDENTITY} auth can-i"
    for what in ("pods", "namespaces", "networkpolicies.networking.k8s.io"):
        assert machine.check_output(f"{kubectl} watch {what} --all-namespaces") == "yes"
    for what in (
        "get secrets",
        "list secrets",
        "create pods",
        "update networkpolicies.networking.k8s.io",
        "get nodes",
    ):
        assert machine.run(f"{kubectl} {what} --all-namespaces").stdout.strip() == "no"


def test_the_kubeconfig_is_roots_alone(machine: Any) -> None:
    file = machine.file("/etc/antenna/network-policy/kubeconfig")
    assert (file.user, file.mode) == ("root", 0o600)
