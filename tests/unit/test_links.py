"""What tunnels are told, and what is seen of them, on plain data."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from infra.components.links import OPERATOR_MARK
from infra.provider import tunnel
from infra.provider.kind import UNKNOWN
from infra.provider.link import Link
from monitoring.foreign import FOREIGN
from playbooks.roles.wireguard.files.antenna_links import config, probe
from playbooks.roles.wireguard.files.antenna_links.tunnel import parse_columns

MACHINE = {
    "address": "10.97.0.10",
    "user": "root",
    "port": 22,
    "identity_file": "/k",
    "known_hosts": "/h",
    "host_key": "ssh-ed25519 AAAA",
}
LINK: dict[str, Any] = {
    "stack": "t",
    "name": "lumi",
    "gateway": MACHINE,
    "endpoint": {**MACHINE, "address": "10.97.0.20"},
    "gateway_address": "10.97.3.1",
    "endpoint_address": "10.97.3.2",
    "port": 51820,
    "keepalive_seconds": 15,
    "mtu": 1380,
    "ports": [22],
    "reaches": ["198.51.100.0/24"],
    "sources": ["10.78.0.0/24"],
}
KEYS = {"gateway": "G=", "endpoint": "E="}


def facts(current: tunnel.Slot = "a") -> dict[tunnel.Side, dict[str, Any]]:
    """Both ends as declared."""
    found: dict[tunnel.Side, dict[str, Any]] = {}
    for side, far in (("gateway", "endpoint"), ("endpoint", "gateway")):
        document = tunnel.document(LINK, side, current, {current: KEYS[far]})  # type: ignore[arg-type]
        slot = document["slots"][current]
        found[side] = {  # type: ignore[index]
            "document": document,
            "firewall": True,
            "slots": {
                current: {
                    "interface": slot["interface"],
                    "there": True,
                    "up": True,
                    "mtu": 1380,
                    "addresses": [f"{document['address']}/32"],
                    "routes": document["allowed"],
                    "public_key": KEYS[side],
                    "listen_port": slot["listen_port"] or 40000,
                    "peers": {
                        slot["peer_key"]: {
                            "allowed": document["allowed"],
                            "endpoint": slot["endpoint"] or "10.97.0.10:40000",
                            "keepalive": document["keepalive"],
                        }
                    },
                }
            },
        }
    return found


def test_a_right_link_passes_and_unknown_inputs_pass_too() -> None:
    assert Link().check(LINK) == []
    for name in LINK:
        unknown = {**LINK, name: UNKNOWN}
        assert Link().check(unknown) == []
        assert Link().diff(LINK, {**LINK, "drift": []}, unknown).changes == [name]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "LUMI"}, "name"),
        ({"name": "a; reboot"}, "name"),
        ({"gateway": None}, "gateway"),
        ({"endpoint": {"address": "10.97.0.20"}}, "endpoint.user"),
        ({"gateway_address": "10.97.3.1/24"}, "gateway_address"),
        ({"endpoint_address": "10.97.3.1"}, "endpoint_address"),
        ({"port": 0}, "port"),
        ({"port": 65535}, "port"),
        ({"mtu": 9000}, "mtu"),
        ({"keepalive_seconds": 600}, "keepalive_seconds"),
        ({"reaches": ["198.51.100.7/24"]}, "reaches[0]"),
        ({"sources": ["anywhere"]}, "sources[0]"),
    ],
)
def test_a_wrong_link_is_refused_by_the_property(change: dict[str, Any], named: str) -> None:
    assert named in [name for name, _ in Link().check({**LINK, **change})]


def test_between_other_machines_it_is_another_link_and_made_anew_the_same() -> None:
    state = {**LINK, "drift": []}
    moved = {**LINK, "endpoint": {**MACHINE, "address": "10.97.0.21"}}
    assert Link().diff(LINK, state, moved).replaces == ["endpoint"]
    fresh = {**LINK, "endpoint": {**LINK["endpoint"], "host_key": "ssh-ed25519 BBBB"}}
    assert Link().diff(LINK, state, fresh) == Link().diff(LINK, state, fresh)
    assert Link().diff(LINK, state, fresh).replaces == []
    assert Link().diff(LINK, {**state, "drift": ["gateway: tunnel: missing"]}, LINK).changes == ["drift"]


def test_no_two_interfaces_share_a_name_and_all_fit() -> None:
    links = ["lumi", "jupiter", "karolaina", "karolaina-2", "a" * 30, "a" * 29, "lumi-a", "x-1234567"]
    names = [tunnel.interface(name, slot) for name in links for slot in tunnel.SLOTS]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 15 for name in names)


def test_the_gateway_calls_and_the_endpoint_needs_not_know_where_it_is() -> None:
    gateway = tunnel.document(LINK, "gateway", "b", {"b": "E="})
    endpoint = tunnel.document(LINK, "endpoint", "b", {"b": "G="})
    assert gateway["slots"]["b"]["endpoint"] == "10.97.0.20:51821"
    assert gateway["keepalive"] == 15
    assert gateway["allowed"] == ["10.97.3.2/32", "198.51.100.0/24"]
    assert endpoint["slots"]["b"] == {
        "interface": "wg-lumi-b",
        "peer_key": "G=",
        "listen_port": 51821,
        "endpoint": "",
    }
    assert endpoint["allowed"] == ["10.97.3.1/32"]
    assert (gateway["forward"], endpoint["forward"]) == (True, True)
    plain = {**LINK, "sources": [], "reaches": []}
    assert not any(tunnel.document(plain, side, "a", {})["forward"] for side in tunnel.SIDES)


def test_what_is_as_declared_differs_in_nothing() -> None:
    for slot in tunnel.SLOTS:
        assert tunnel.differences(LINK, facts(slot)) == []


@pytest.mark.parametrize(
    ("side", "path", "value", "line"),
    [
        ("gateway", ("document",), None, "gateway: tunnel: missing"),
        ("endpoint", ("slots", "a", "there"), False, "endpoint: interface wg-lumi-a: missing"),
        ("gateway", ("slots", "a", "up"), False, "gateway: interface wg-lumi-a: down"),
        ("gateway", ("slots", "a", "mtu"), 1500, "gateway: interface wg-lumi-a: MTU 1500, declared 1380"),
        ("endpoint", ("slots", "a", "addresses"), [], "endpoint: address 10.97.3.2/32 on wg-lumi-a: missing"),
        (
            "gateway",
            ("slots", "a", "routes"),
            ["10.97.3.2/32"],
            "gateway: route 198.51.100.0/24 on wg-lumi-a: missing",
        ),
        (
            "endpoint",
            ("slots", "a", "listen_port"),
            1,
            "endpoint: interface wg-lumi-a: listens on UDP port 1, declared 51820",
        ),
        ("endpoint", ("slots", "a", "public_key"), "X=", "gateway: peer X= on wg-lumi-a: missing"),
        ("gateway", ("slots", "a", "peers", "E=", "keepalive"), 0, "gateway: keepalive on wg-lumi-a: 0 s"),
        ("gateway", ("firewall",), False, "gateway: firewall inet antenna_link_lumi: not as declared"),
        ("endpoint", ("document", "current"), "b", "endpoint: interface wg-lumi-a: not in use"),
        ("gateway", ("slots", "b"), {"interface": "wg-lumi-b"}, "gateway: interface wg-lumi-b: left behind"),
    ],
)
def test_each_difference_is_a_line(side: tunnel.Side, path: tuple[str, ...], value: Any, line: str) -> None:
    found = copy.deepcopy(facts())
    place: Any = found[side]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    lines = tunnel.differences(LINK, found)
    assert any(one.startswith(line) for one in lines), lines


def test_only_what_the_link_is_for_passes_the_firewalls() -> None:
    gateway, endpoint = (tunnel.firewall(LINK, side) for side in tunnel.SIDES)
    assert (
        "ip saddr { 10.78.0.0/24 } ip daddr { 10.97.3.2, 198.51.100.0/24 } tcp dport { 22 } accept" in gateway
    )
    assert "meta skuid 0 ip daddr { 10.97.3.2, 198.51.100.0/24 } tcp dport { 22 } accept" in gateway
    marked = tunnel.firewall({**LINK, "mark": OPERATOR_MARK}, "gateway")
    assert "oifname @tunnel meta mark & 0x00a00000 == 0x00a00000 ip saddr { 10.78.0.0/24 }" in marked
    assert gateway.count("drop") == 4
    assert "masquerade" not in gateway
    assert "ip saddr 10.97.3.1 ip daddr { 198.51.100.0/24 } masquerade" in endpoint
    closed = tunnel.firewall({**LINK, "sources": [], "reaches": []}, "gateway")
    assert "saddr" not in closed


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "-a", "a" * 31])
def test_no_name_leaves_the_folder(name: str) -> None:
    with pytest.raises(SystemExit):
        config.load(name)


def test_what_wg_prints_is_read() -> None:
    assert parse_columns("K=\t10.0.0.1/32 10.0.0.2/32\nL=\t(none)\n\n") == {
        "K=": ["10.0.0.1/32", "10.0.0.2/32"],
        "L=": ["(none)"],
    }


PING = """PING 10.97.3.2 (10.97.3.2) from 10.97.3.1 : 56(84) bytes of data.

--- 10.97.3.2 ping statistics ---
5 packets transmitted, 4 received, 20% packet loss, time 805ms
rtt min/avg/max/mdev = 0.271/1.500/3.250/0.300 ms
"""


def test_what_ping_prints_is_read() -> None:
    assert probe.parse_ping(PING) == probe.Echo(5, 4, 0.0015)
    silent = "5 packets transmitted, 0 received, 100% packet loss, time 805ms\n"
    assert probe.parse_ping(silent) == probe.Echo(5, 0, None)
    assert probe.parse_ping("ping: sendmsg: Operation not permitted") == probe.Echo(5, 0, None)


def test_the_probes_counters_go_on_and_a_silent_end_shows() -> None:
    document = tunnel.document(LINK, "gateway", "a", {"a": "E="})
    found = facts()["gateway"]["slots"]["a"]
    found["peers"]["E="] |= {"handshake": 1_800_000_000, "received": 10, "sent": 20}
    found["carrier"] = "kernel"
    first = probe.samples(document, found, probe.Echo(5, 4, 0.0015), {})
    assert probe.read(probe.render(first)) == first
    second = probe.samples(document, found, probe.Echo(5, 0, None), first)
    link = 'link="lumi"'
    assert second["antenna_link_up", link] == 0
    assert second["antenna_link_probe_packets_total", link] == 10
    assert second["antenna_link_probe_packets_lost_total", link] == 6
    assert second["antenna_link_last_handshake_timestamp_seconds", link] == 1_800_000_000
    assert ("antenna_link_round_trip_seconds", link) not in second


def test_every_family_of_the_probe_has_its_help() -> None:
    text = probe.render({(family, 'link="x"'): 1.0 for family in probe.FAMILIES})
    assert text.count("# HELP") == text.count("# TYPE") == len(probe.FAMILIES)


def test_monitoring_knows_the_probes_families_by_their_names() -> None:
    known = {name for name in FOREIGN if name.startswith("antenna_link_")}
    assert known <= probe.FAMILIES.keys()
