"""A tunnel between two machines of this host: up, drifted, mended, rotated under load, gone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from infra.provider import container, leftovers, link, ssh, tunnel
from infra.provider.kind import ProviderError
from infra.provider.link import Link
from infra.provider.machine import Machine
from infra.provider.network import Network
from infra.provider.playbook import Playbook
from tests.host.conftest import create_all, machine_inputs, network_inputs, quiet

STACK, PREFIX = "t-link", "10.97.2"
NEAR, FAR, BEYOND = "10.97.3.1", "10.97.3.2", "10.97.4.1"
LISTENERS = "for p in 80 443; do systemd-run -q socat TCP-LISTEN:$p,fork,reuseaddr SYSTEM:cat; done"
REACHES = "timeout 2 bash -c '</dev/tcp/{}/{}' 2>/dev/null && echo yes || echo no"


@dataclass
class Pair:
    """The gateway and the endpoint, and the link between them as its resource has it."""

    gateway: dict[str, Any]
    endpoint: dict[str, Any]
    inputs: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)

    def on(self, side: str, command: str, timeout: float = 60) -> str:
        return ssh.run(ssh.Login.of(getattr(self, side)), command, timeout=timeout)

    def drift(self) -> list[str]:
        found = Link().read("", self.inputs, self.state, quiet)
        assert found is not None
        lines: list[str] = found[2]["drift"]
        return lines

    def mend(self) -> None:
        self.state = Link().update("", self.inputs, self.state, self.inputs, quiet)
        assert self.drift() == []

    def connects(self, side: str, address: str, port: int) -> bool:
        return self.on(side, REACHES.format(address, port)).strip() == "yes"

    def pings(self, side: str, address: str) -> bool:
        return self.on(side, f"ping -c1 -W2 -q {address} >/dev/null && echo yes || echo no").strip() == "yes"


@pytest.fixture(scope="module")
def machines(debian: str) -> Iterator[Pair]:
    """Two machines with the role ``wireguard``, and nothing else of a tunnel."""
    leftovers.clear(STACK, quiet)
    network = Network().create(network_inputs(STACK, PREFIX), quiet)[1]
    made = create_all([machine_inputs(network, debian, n, i) for n, i in (("head", 10), ("lumi", 20))])
    host = {"user": "root", "port": 22, "vars": {}}
    hosts = {
        m["name"]: {**host, "address": m["address"], "groups": groups}
        for m, groups in zip(made, (["site", "gateway"], ["site"]), strict=True)
    }
    reached = {key: made[0][key] for key in ("identity_file", "known_hosts")}
    play = {"stack": STACK, "playbook": "sites.yml", "hosts": hosts, "vars": {}, "digest": "", **reached}
    Playbook().create(play, quiet)
    assert Playbook().read("", play, {}, quiet)[2]["drift"] == []  # type: ignore[index]
    inputs = {
        "stack": STACK,
        "name": "lumi",
        **{side: {k: m[k] for k in link.MACHINE_KEYS} for side, m in zip(tunnel.SIDES, made, strict=True)},
        "gateway_address": NEAR,
        "endpoint_address": FAR,
        "port": 51820,
        "keepalive_seconds": 5,
        "mtu": 1380,
        "ports": [22, 443],
        "reaches": [f"{BEYOND}/32"],
        "sources": ["10.97.5.0/24"],
    }
    yield Pair(*made, inputs)
    leftovers.clear(STACK, quiet)
    assert leftovers.list_traces(STACK) == []


@pytest.fixture
def pair(machines: Pair) -> Pair:
    """The machines with the link up."""
    machines.state = Link().create(machines.inputs, quiet)[1]
    return machines


TRACES = (
    "ip -o link | cut -d: -f2; ip -o -4 address | awk '{print $2,$4}'; ip -4 route; nft list tables; "
    "find /etc/antenna /run/antenna /etc/systemd/system/multi-user.target.wants /run/wireguard "
    "/var/lib/prometheus -type f -o -type s -o -type l 2>/dev/null | sort; "
    "systemctl list-units --all --plain --no-legend 'antenna-link@*'"
)


def test_deleting_leaves_nothing_on_either_machine(machines: Pair) -> None:
    before = [machines.on(side, TRACES) for side in tunnel.SIDES]
    _, state = Link().create(machines.inputs, quiet)
    assert all(now != then for now, then in zip(_traces(machines), before, strict=True))
    Link().delete("", machines.inputs, state, quiet)
    assert _traces(machines) == before
    assert Link().read("", machines.inputs, state, quiet) is None
    Link().delete("", machines.inputs, state, quiet)


def test_it_carries_what_it_is_for_and_nothing_else(pair: Pair) -> None:
    pair.on("endpoint", f"ip address replace {BEYOND}/32 dev lo; {LISTENERS}")
    pair.on("gateway", LISTENERS)
    assert pair.drift() == []
    assert pair.pings("gateway", FAR)
    assert pair.connects("gateway", FAR, 22)
    assert pair.connects("gateway", FAR, 443)
    assert not pair.connects("gateway", FAR, 80)
    # Nothing is begun from the far end, although port 443 is open to it on the network between them.
    assert not pair.connects("endpoint", NEAR, 443)
    assert not pair.pings("endpoint", NEAR)
    assert pair.connects("endpoint", pair.gateway["address"], 443)
    # Only what was declared is forwarded.
    assert _forwards(pair, "10.97.5.7")
    assert not _forwards(pair, "10.97.6.7")


def test_private_keys_are_in_no_state_and_readable_by_root_alone(pair: Pair) -> None:
    for side in tunnel.SIDES:
        private = pair.on(side, "cat /etc/antenna/links/lumi-?.key").strip()
        assert len(private) == 44
        assert private not in json.dumps(pair.state)
        assert pair.on(side, "stat -c %a%U /etc/antenna/links /etc/antenna/links/*.key").split() == [
            "700root",
            "600root",
        ]
        assert pair.on(side, f"journalctl --no-pager | grep -cF '{private}' || true").strip() == "0"
    assert pair.on("gateway", "cat /etc/antenna/links/*.key") != pair.on(
        "endpoint", "cat /etc/antenna/links/*.key"
    )


Drift = tuple[tuple[str, str, str], ...]
"""Side, command, what is then told of that side; ``{i}`` is the end of the interface's name."""

DRIFTS: dict[str, Drift] = {
    "what is loose on both ends": (
        ("gateway", "ip link set wg-{i} mtu 1300", "interface wg-{i}: MTU 1300, declared 1380"),
        ("gateway", f"ip route delete {BEYOND}/32", f"route {BEYOND}/32 on wg-{{i}}: missing"),
        (
            "gateway",
            "nft insert rule inet antenna_link_lumi output accept",
            "firewall inet antenna_link_lumi: not as declared",
        ),
        (
            "endpoint",
            f"wg set wg-{{i}} peer $(wg show wg-{{i}} peers) allowed-ips {NEAR}/32,10.0.0.0/8",
            "allowed range 10.0.0.0/8 on wg-{i}: not declared",
        ),
        (
            "endpoint",
            f"ip address delete {FAR}/32 dev wg-{{i}}",
            f"address {FAR}/32 on wg-{{i}}: missing",
        ),
    ),
    "an interface and a firewall that are gone": (
        ("gateway", "systemctl stop antenna-link@{i}.service", "interface wg-{i}: missing"),
        (
            "endpoint",
            "nft delete table inet antenna_link_lumi",
            "firewall inet antenna_link_lumi: not as declared",
        ),
    ),
    "another peer": (
        (
            "endpoint",
            "wg set wg-{i} peer $(wg show wg-{i} peers) remove peer $(wg genkey | wg pubkey) allowed-ips "
            f"{NEAR}/32",
            "peer {gateway_key} on wg-{i}: missing",
        ),
    ),
    "everything of one end": (
        (
            "endpoint",
            "systemctl disable -q --now antenna-link@{i}; rm -r /etc/antenna/links",
            "tunnel: missing",
        ),
    ),
}


@pytest.mark.parametrize("what", DRIFTS)
def test_drift_is_told_and_mended(pair: Pair, what: str) -> None:
    words = {"i": f"lumi-{_slot(pair)}", "gateway_key": pair.state["gateway_key"]}
    for side, command, _ in DRIFTS[what]:
        pair.on(side, command.format(**words))
    lines = pair.drift()
    for side, _, told in DRIFTS[what]:
        assert f"{side}: {told}".format(**words) in lines
    pair.mend()
    assert pair.pings("gateway", FAR)


def test_it_comes_back_with_its_machine(pair: Pair) -> None:
    container.stop(STACK, "lumi")
    assert any("SSH failed" in line for line in pair.drift())
    Machine().update("", pair.endpoint, pair.endpoint, pair.endpoint, quiet)
    _eventually_pings(pair)
    assert pair.drift() == []


def test_keys_are_rotated_without_losing_a_hundredth_of_the_packets(pair: Pair) -> None:
    before = {pair.state["gateway_key"], pair.state["endpoint_key"]}
    for _ in range(2):  # there, and back into the slot that was free
        with ThreadPoolExecutor() as pool:
            pinging = pool.submit(pair.on, "gateway", f"ping -i 0.01 -c 600 -W1 -q {FAR}; true", 60)
            state = link.rotate(pair.inputs, quiet)
            summary = pinging.result()
        print(summary)
        sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", summary)[0])
        assert sent - received < sent / 100
        after = {state["gateway_key"], state["endpoint_key"]}
        assert after.isdisjoint(before)
        pair.state = state
        assert pair.drift() == []
        for side in tunnel.SIDES:
            assert len(pair.on(side, "ls /etc/antenna/links/*.key").split()) == 1
        before = after


def test_a_rotation_that_was_cut_is_told_and_tidied_without_loss(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(seconds: float) -> None:
        raise KeyboardInterrupt

    old = f"wg-lumi-{_slot(pair)}"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(link, "time", SimpleNamespace(sleep=cut))
        link.rotate(pair.inputs, quiet)
    assert pair.pings("gateway", FAR)
    assert f"gateway: interface {old}: left behind by a rotation" in pair.drift()
    with pytest.raises(ProviderError, match=r"not as declared.*mends it first"):
        link.rotate(pair.inputs, quiet)
    pair.mend()
    assert old not in pair.on("gateway", "ip -o link")


def test_new_keys_that_do_not_shake_hands_leave_the_old_ones_in_use(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANDSHAKE_SECONDS", 2)
    port = tunnel.port(pair.inputs, tunnel.other(_slot(pair)))
    pair.on(
        "endpoint",
        "nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority -9; }'",
    )
    pair.on("endpoint", f"nft add rule inet cut in udp dport {port} drop")
    with pytest.raises(
        ProviderError, match=f"no handshake under the new keys.*UDP port {port} of 10.97.2.20"
    ):
        link.rotate(pair.inputs, quiet)
    pair.on("endpoint", "nft delete table inet cut")
    assert pair.drift() == []
    assert pair.pings("gateway", FAR)


def test_what_is_measured_reaches_the_exporters_folder(pair: Pair) -> None:
    pair.on("gateway", "systemctl start antenna-links-probe.service")
    up = pair.on("gateway", "cat /var/lib/prometheus/node-exporter/antenna_links.prom")
    assert 'antenna_link_up{link="lumi"} 1.0' in up
    assert re.search(r'antenna_link_round_trip_seconds\{link="lumi"\} 0\.0\d+', up)
    pair.on(
        "gateway",
        f"systemctl stop antenna-link@lumi-{_slot(pair)}; systemctl start antenna-links-probe.service",
    )
    down = pair.on("gateway", "cat /var/lib/prometheus/node-exporter/antenna_links.prom")
    assert 'antenna_link_up{link="lumi"} 0.0' in down
    assert "antenna_link_round_trip_seconds{" not in down
    assert (
        _value(down, "antenna_link_probe_packets_lost_total")
        >= _value(up, "antenna_link_probe_packets_lost_total") + 5
    )
    pair.mend()


def _value(text: str, family: str) -> float:
    return float(re.findall(rf'^{family}\{{link="lumi"\}} (\S+)$', text, re.MULTILINE)[0])


def _slot(pair: Pair) -> tunnel.Slot:
    return tunnel.current_slot(link.look(pair.inputs))


def _traces(pair: Pair) -> list[str]:
    return [pair.on(side, TRACES) for side in tunnel.SIDES]


def _forwards(pair: Pair, source: str) -> bool:
    """Whether something behind the gateway gets through, played by a network namespace there."""
    router = ".".join([*source.split(".")[:3], "1"])
    pair.on(
        "gateway",
        "ip netns add pod; ip link add v0 type veth peer name v1 netns pod; "
        f"ip address add {router}/24 dev v0; ip link set v0 up; "
        f"ip -n pod address add {source}/24 dev v1; ip -n pod link set v1 up; "
        f"ip -n pod route add default via {router}; "
        "nft add table ip nat_test; "
        "nft 'add chain ip nat_test out { type nat hook postrouting priority 100; }'; "
        "nft add rule ip nat_test out oifname wg-lumi-* masquerade",
    )
    try:
        return pair.on("gateway", f"ip netns exec pod {REACHES.format(FAR, 443)}").strip() == "yes"
    finally:
        pair.on("gateway", "ip netns delete pod; ip link delete v0; nft delete table ip nat_test; true")


def _eventually_pings(pair: Pair) -> None:
    waited = threading.Event()
    assert any(pair.pings("gateway", FAR) or waited.wait(0.2) for _ in range(30))
