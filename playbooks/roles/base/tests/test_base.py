"""Role base, on live machines."""

from __future__ import annotations

from typing import Any

import pytest


def test_ssh_takes_keys_alone(machine: Any) -> None:
    settings = machine.check_output("sshd -T")
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings
    assert "permitrootlogin without-password" in settings


def test_the_machine_forwards_packets_and_takes_no_redirects(machine: Any) -> None:
    assert machine.sysctl("net.ipv4.ip_forward") == 1
    assert machine.sysctl("net.ipv4.conf.all.accept_redirects") == 0


def test_the_firewall_drops_what_it_does_not_know(machine: Any) -> None:
    rules = machine.check_output("nft list table inet antenna")
    assert "policy drop" in rules
    assert rules.index("ip6 saddr fe80::/10 drop") < rules.index("tcp dport { 22, 6443 } accept")


def test_only_the_sites_networks_are_trusted(machine: Any, variables: dict[str, Any]) -> None:
    trusted = machine.check_output("nft list set inet antenna trusted")
    assert variables["antenna_network_cidr"] in trusted
    assert variables["antenna_pod_cidr_all"] not in trusted
    assert "/0" not in trusted


def test_machines_know_each_other_by_name(machine: Any, variables: dict[str, Any]) -> None:
    for node in variables["antenna_nodes"]:
        assert machine.check_output("getent ahostsv4 %s", node["name"]).startswith(node["address"])


def test_a_nested_machine_leaves_the_hosts_clock_alone(machine: Any, variables: dict[str, Any]) -> None:
    if not variables["antenna_nested"]:
        pytest.skip("the machine keeps its own time")
    assert not machine.service("chrony").is_running
    assert not machine.service("chrony").is_enabled


@pytest.mark.parametrize("unit", ["ssh", "antenna-firewall"])
def test_units_run_and_come_back_after_a_boot(machine: Any, unit: str) -> None:
    assert machine.service(unit).is_running
    assert machine.service(unit).is_enabled


def test_no_unit_has_failed(machine: Any) -> None:
    assert machine.check_output("systemctl list-units --failed --plain --no-legend") == ""
