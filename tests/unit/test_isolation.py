"""Who connects to whom: partners' policies, our own namespaces', and what documents and roles say of them."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import yaml

from infra import paths
from infra.components.isolation import addresses
from infra.site import parse_site
from infra.tools.manifests import NAMESPACE as OPERATORS_NAMESPACE
from monitoring import parts as monitoring
from monitoring.scrape import (
    DCGM_PORT,
    NETWORK_POLICY_PORT,
    NODE_EXPORTER_PORT,
    scrape_config,
)
from operators.isolation import (
    AGENT_PORT,
    CLUSTER,
    MONITORING,
    NAMESPACES,
    NODE_PORTS,
    SYSTEM,
    WAYS,
    Addresses,
    End,
    Pods,
    Way,
    own_policies,
)
from operators.manifests import HEALTH_PORT, METRICS_PORT
from operators.tenancy import SUBMITTER_RULES, Egress, Tenant, isolation, namespace_objects
from tests.unit.site_examples import EMBEDDED

ADDRESSES = Addresses("10.78.0.0/16", "10.77.0.10/32", "10.77.0.0/24")
PAGE = (paths.REPOSITORY / "docs" / "network.md").read_text()
ROLES = paths.REPOSITORY / "playbooks" / "roles"


def shown(end: Pods | End) -> str:
    """An end as docs/network.md has it."""
    if not isinstance(end, Pods):
        return {"pods": "every pod", "machines": "machines' network"}.get(end, end)
    return f"{end.namespace}: {end.labels[0][1]}" if end.labels else end.namespace


def line(way: Way) -> str:
    ports = ", ".join(map(str, way.ports)) or "all"
    return f"| {shown(way.source)} | {shown(way.target)} | {ports} {'/'.join(way.protocols)} | {way.why} |"


def test_a_partners_pods_reach_each_other_and_names_and_nothing_else() -> None:
    spec = isolation()
    assert spec["podSelector"] == {}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [{"podSelector": {}}]}]
    each_other, names = spec["egress"]
    assert each_other == {"to": [{"podSelector": {}}]}
    assert {port["port"] for port in names["ports"]} == {53}
    assert names["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": CLUSTER}


def test_declared_egress_is_its_addresses_at_its_ports() -> None:
    tenant = Tenant("vib", "VIB", "flanders", egress=(Egress("192.0.2.0/24", (443, 8443)),))
    (policy,) = (obj for obj in namespace_objects(tenant) if obj["kind"] == "NetworkPolicy")
    assert policy["metadata"]["namespace"] == "tenant-vib"
    *_, declared = policy["spec"]["egress"]
    assert declared == {
        "to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 8443}],
    }
    assert policy["spec"]["egress"][:-1] == isolation()["egress"]


def test_partners_write_no_policies() -> None:
    assert not [rule for rule in SUBMITTER_RULES if "networking.k8s.io" in rule["apiGroups"]]


def test_each_of_our_namespaces_is_closed_before_anything_is_opened() -> None:
    policies = own_policies(ADDRESSES)
    closing = [p for p in policies if p["metadata"]["name"] == "isolation"]
    assert [p["metadata"]["namespace"] for p in closing] == list(NAMESPACES)
    for policy in closing:
        assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {OPERATORS_NAMESPACE, monitoring.NAMESPACE} == {SYSTEM, MONITORING} < set(NAMESPACES)


def test_a_list_of_rules_is_never_empty_which_some_take_for_everything() -> None:
    for policy in own_policies(ADDRESSES):
        for direction in ("ingress", "egress"):
            assert policy["spec"].get(direction) != []
            for rule in policy["spec"].get(direction, ()):
                assert rule.get("from") or rule.get("to")


def test_a_way_between_two_of_our_namespaces_is_open_at_both_ends() -> None:
    by_namespace: dict[str, list[dict[str, Any]]] = {}
    for policy in own_policies(ADDRESSES):
        by_namespace.setdefault(policy["metadata"]["namespace"], []).append(policy["spec"])
    for way in WAYS:
        if isinstance(way.source, Pods) and isinstance(way.target, Pods):
            for one, direction, other, key in (
                (way.source, "egress", way.target, "to"),
                (way.target, "ingress", way.source, "from"),
            ):
                rules = [rule for spec in by_namespace[one.namespace] for rule in spec.get(direction, ())]
                peers = [
                    peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                    for rule in rules
                    for peer in rule[key]
                    if "namespaceSelector" in peer
                    and {p["port"] for p in rule.get("ports", ())} == set(way.ports)
                ]
                assert other.namespace in peers or (key == "from" and one.namespace == CLUSTER), way


def test_outside_is_neither_a_pod_nor_a_machine() -> None:
    (block,) = ADDRESSES.blocks("outside")
    assert block == {"cidr": "0.0.0.0/0", "except": ["10.78.0.0/16", "10.77.0.0/24"]}


def test_monitoring_alone_reaches_the_nodes_pages() -> None:
    for way in WAYS:
        if way.target == "machines" and set(way.ports) & set(NODE_PORTS):
            assert way.source == Pods(MONITORING)


def test_what_is_scraped_can_be_reached() -> None:
    scraped = {config["job_name"] for config in scrape_config()["scrape_configs"]}
    assert {"node", "dcgm", "kubelet", "network-policy"} < scraped
    assert {NODE_EXPORTER_PORT, DCGM_PORT, NETWORK_POLICY_PORT, 10250} == set(NODE_PORTS)
    assert AGENT_PORT == NETWORK_POLICY_PORT
    opened = {(way.target, port) for way in WAYS if way.source == Pods(MONITORING) for port in way.ports}
    assert {(Pods(SYSTEM), METRICS_PORT), (Pods("kueue-system"), 8443)} < opened
    assert (
        Way("head", Pods(SYSTEM), (HEALTH_PORT,), "the operator's health, which `antenna doctor` reads")
        in WAYS
    )


def test_the_nodes_firewall_lets_pods_to_the_same_ports_and_trusts_them_with_no_other() -> None:
    defaults = yaml.safe_load((ROLES / "base/defaults/main.yml").read_text())
    assert defaults["base_pod_tcp_ports"] == list(NODE_PORTS)
    assert "pod" not in defaults["base_trusted_cidrs"]
    assert (
        yaml.safe_load((ROLES / "network_policy/defaults/main.yml").read_text())["network_policy_port"]
        == AGENT_PORT
    )


def test_the_agents_rights_are_to_see_what_they_decide_by() -> None:
    role, binding = yaml.safe_load((ROLES / "network_policy/files/rights.yml").read_text())
    seen = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert seen == {"pods", "namespaces", "networkpolicies"}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "antenna:network-policy"}
    ]


def test_the_sites_addresses_are_its_ranges() -> None:
    found = addresses(parse_site(EMBEDDED, source="Pulumi.x.yaml"))
    assert found == Addresses("10.78.0.0/16", "10.77.0.10/32", "10.77.0.0/24")
    assert ipaddress.ip_network(found.head).subnet_of(ipaddress.ip_network(found.machines))  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS, ids=line)
def test_the_page_has_every_way(way: Way) -> None:
    assert line(way) in PAGE.splitlines()


def test_the_page_has_no_other_way() -> None:
    section = PAGE.partition("## Our own pods")[2].partition("\n## ")[0]
    told = [row for row in section.splitlines() if row.startswith("| ") and not row.startswith("| from")]
    assert sorted(told) == sorted(map(line, WAYS))
