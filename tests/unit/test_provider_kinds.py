"""What the machine side decides, on plain data."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from infra.provider import base, container, keys, mounts, network
from infra.provider.interfaces import Interface, Route, parse_interfaces, parse_routes
from infra.provider.kind import UNKNOWN, ProviderError
from infra.provider.machine import Machine
from infra.provider.network import Network
from infra.provider.processes import descendants

NETWORK = {
    "stack": "t",
    "bridge": "br-t",
    "cidr": "10.97.0.0/24",
    "gateway": "10.97.0.1",
    "routes": [{"to": "10.98.1.0/24", "via": "10.97.0.11"}],
}
NSPAWN = {
    "stack": "t",
    "name": "gpu-1",
    "driver": "nspawn",
    "address": "10.97.0.11",
    "prefix_length": 24,
    "gateway": "10.97.0.1",
    "bridge": "br-t",
    "base": "0123",
    "artifacts": "4567",
}
SSH = {
    "stack": "t",
    "name": "gpu-1",
    "driver": "ssh",
    "address": "10.97.0.11",
    "host_key": "ssh-ed25519 AAAA",
    "identity_file": "~/.ssh/id_ed25519",
}
BRIDGE = Interface("br-t", True, (IPv4Interface("10.97.0.1/24"),))
ROUTE = Route(IPv4Network("10.98.1.0/24"), "br-t", "10.97.0.11")


def test_a_right_network_and_right_machines_pass() -> None:
    assert Network().check(NETWORK) == []
    assert Machine().check(NSPAWN) == []
    assert Machine().check(SSH) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cidr": "10.97.0.1/24"}, "cidr"),
        ({"gateway": "10.96.0.1"}, "gateway"),
        ({"gateway": "gateway"}, "gateway"),
        ({"gateway": None}, "gateway"),
        ({"bridge": "a-name-much-too-long"}, "bridge"),
        ({"routes": [{"to": "10.98.1.0/24", "via": "10.1.1.1"}]}, "routes[0].via"),
        ({"routes": [{"to": "10.98.1.7/24", "via": "10.97.0.11"}]}, "routes[0].to"),
        ({"routes": [{"via": "10.97.0.11"}]}, "routes[0].to"),
    ],
)
def test_a_wrong_network_is_refused_by_the_property(change: dict[str, Any], named: str) -> None:
    assert [name for name, _ in Network().check({**NETWORK, **change})] == [named]


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({**NSPAWN, "name": "GPU_1"}, "name"),
        ({**NSPAWN, "name": "a" * 21}, "name"),
        ({**NSPAWN, "name": "ends-"}, "name"),
        ({**NSPAWN, "driver": "docker"}, "driver"),
        ({**NSPAWN, "address": "10.96.0.11"}, "address"),
        ({**NSPAWN, "address": "10.97.0.1"}, "address"),
        ({**NSPAWN, "bridge": None}, "bridge"),
        ({**SSH, "host_key": "AAAA"}, "host_key"),
        ({**SSH, "address": "gpu-1.example"}, "address"),
    ],
)
def test_a_wrong_machine_is_refused_by_the_property(inputs: dict[str, Any], named: str) -> None:
    assert [name for name, _ in Machine().check(inputs)] == [named]


def test_a_machine_without_a_host_key_is_refused_with_the_way_to_get_it() -> None:
    reasons = [reason for name, reason in Machine().check({**SSH, "host_key": None}) if name == "host_key"]
    assert any("ssh_host_ed25519_key.pub" in reason for reason in reasons)


@pytest.mark.parametrize("inputs", [NETWORK, NSPAWN, SSH])
def test_unknown_inputs_pass_check_and_count_as_changes(inputs: dict[str, Any]) -> None:
    kind: Network | Machine = Network() if inputs is NETWORK else Machine()
    for name in inputs:
        unknown = {**inputs, name: UNKNOWN}
        assert kind.check(unknown) == []
        assert kind.diff(inputs, {**inputs, "drift": []}, unknown).changes == [name]


def test_routes_change_in_place_and_another_range_is_another_network() -> None:
    state = {**NETWORK, "drift": []}
    routes = Network().diff(NETWORK, state, {**NETWORK, "routes": []})
    assert (routes.changes, routes.replaces) == (["routes"], [])
    moved = Network().diff(NETWORK, state, {**NETWORK, "cidr": "10.96.0.0/24"})
    assert moved.replaces == ["cidr"]
    assert moved.delete_before_replace


def test_artifacts_change_in_place_and_another_address_is_another_machine() -> None:
    state = {**NSPAWN, "drift": []}
    artifacts = Machine().diff(NSPAWN, state, {**NSPAWN, "artifacts": "89ab"})
    assert (artifacts.changes, artifacts.replaces) == (["artifacts"], [])
    moved = Machine().diff(NSPAWN, state, {**NSPAWN, "address": "10.97.0.12"})
    assert (moved.replaces, moved.delete_before_replace) == (["address"], True)


@pytest.mark.parametrize(("kind", "inputs"), [(Network(), NETWORK), (Machine(), NSPAWN), (Machine(), SSH)])
def test_drift_is_a_change_and_nothing_else_is(kind: Network | Machine, inputs: dict[str, Any]) -> None:
    assert kind.diff(inputs, {**inputs, "drift": []}, inputs).changes == []
    drifted = kind.diff(inputs, {**inputs, "drift": ["machine stopped"]}, inputs)
    assert (drifted.changes, drifted.replaces) == (["drift"], [])


def test_each_difference_of_a_network_is_a_line() -> None:
    assert network.differences(NETWORK, {"br-t": BRIDGE}, [ROUTE]) == []
    assert network.differences(NETWORK, {}, []) == ["bridge br-t: missing"]
    assert network.differences(NETWORK, {"br-t": Interface("br-t", False)}, []) == [
        "bridge br-t: down",
        "address 10.97.0.1/24 on br-t: missing",
        "route 10.98.1.0/24 via 10.97.0.11: missing",
    ]
    extra = Route(IPv4Network("10.98.9.0/24"), "br-t", "10.97.0.12")
    assert network.differences(NETWORK, {"br-t": BRIDGE}, [ROUTE, extra]) == [
        "route 10.98.9.0/24 via 10.97.0.12: not declared"
    ]


def test_a_range_in_use_is_told_with_its_interface() -> None:
    eth = Interface("eth0", True, (IPv4Interface("10.97.0.200/16"),))
    assert network.overlaps(NETWORK, {"eth0": eth}, []) == [
        "10.97.0.0/24 overlaps interface eth0 (10.97.0.200/16)"
    ]
    tunnel = Route(IPv4Network("10.98.0.0/16"), "wg0", "")
    assert network.overlaps(NETWORK, {}, [tunnel]) == [
        "10.98.1.0/24 overlaps interface wg0 (route 10.98.0.0/16)"
    ]


def test_the_stacks_own_bridge_does_not_overlap_itself() -> None:
    own = Route(IPv4Network("10.97.0.0/24"), "br-t")
    assert network.overlaps(NETWORK, {"br-t": BRIDGE}, [own, ROUTE]) == []


def test_what_ip_reports_is_read() -> None:
    listing = [
        {
            "ifname": "vb-1",
            "flags": ["UP"],
            "master": "br-t",
            "ifalias": "antenna:t/gpu-1",
            "addr_info": [
                {"family": "inet", "local": "10.0.0.1", "prefixlen": 8},
                {"family": "inet6", "local": "::1", "prefixlen": 128},
            ],
        },
        {},
    ]
    assert parse_interfaces(listing) == {
        "vb-1": Interface("vb-1", True, (IPv4Interface("10.0.0.1/8"),), "antenna:t/gpu-1", "br-t")
    }
    assert parse_routes(
        [{"dst": "default"}, {"dst": "10.98.1.0/24", "gateway": "10.97.0.11", "dev": "br-t"}]
    ) == [ROUTE]


def test_names_on_the_host_fit_and_never_collide() -> None:
    stacks = ["a", "b", "embedded", "second", "twelve-chars"]
    machines = [
        "head",
        "gpu-1",
        "gpu-12",
        "a-long-machine-name",
        "a-long-machine-nam2",
        "login-node",
        "a" * 20,
    ]
    names = [container.link_name(s, m) for s in stacks for m in machines]
    assert all(len(name) <= 15 for name in names)
    assert len(set(names)) == len(names)


def test_host_keys_are_kept_one_a_machine() -> None:
    known = keys.with_host("", "10.0.0.1", 22, "ssh-ed25519 AAAA root@a")
    known = keys.with_host(known, "10.0.0.2", 2222, "ssh-ed25519 BBBB")
    assert known == "10.0.0.1 ssh-ed25519 AAAA\n[10.0.0.2]:2222 ssh-ed25519 BBBB\n"
    known = keys.with_host(known, "10.0.0.1", 22, "ssh-ed25519 CCCC")
    assert keys.with_host(known, "10.0.0.2", 2222, None) == "10.0.0.1 ssh-ed25519 CCCC\n"


def test_mounts_are_listed_deepest_first_with_their_real_names() -> None:
    mountinfo = (
        "20 1 0:1 / / rw - ext4 a rw\n21 20 0:2 / /m/a\\040b rw - tmpfs b rw\n"
        "22 21 0:3 / /m/a\\040b/c rw - tmpfs c rw\n23 20 0:4 / /mm rw - tmpfs d rw\n"
    )
    assert mounts.parse(mountinfo, Path("/m")) == [Path("/m/a b/c"), Path("/m/a b")]


def test_only_what_hangs_below_a_process_is_its_descendant() -> None:
    assert descendants(10, {11: 10, 12: 11, 13: 1, 10: 1}) == {11, 12}


def test_the_base_is_named_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.digest()
    assert base.digest() == before
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "slurm-wlm"))
    assert base.digest() != before


def test_a_layer_is_named_by_its_base_and_its_own_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.site_digest()
    assert before.startswith(f"{base.digest()}.")
    assert base.layers(before) == [base.directory(before), base.directory(base.digest())]
    assert base.layers(base.digest()) == [base.directory(base.digest())]
    monkeypatch.setattr(base, "SITE_PACKAGES", (*base.SITE_PACKAGES, "slurmrestd"))
    assert base.site_digest() != before
    monkeypatch.undo()
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "less"))
    assert base.site_digest().partition(".")[2] == before.partition(".")[2]
    assert base.site_digest() != before


def test_a_base_that_this_version_does_not_make_is_refused() -> None:
    with pytest.raises(ProviderError, match="not in the cache, and this version makes another"):
        base.ensure(print, "0123456789abcdef")
