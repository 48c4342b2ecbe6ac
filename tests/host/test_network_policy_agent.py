"""The network layer of two nodes: the real agent, the sites' own rules and policies, pods as namespaces."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.host.policy_world import (
    ALL_PODS,
    API_SERVICE,
    DNS_SERVICE,
    NODES,
    OUTSIDE,
    PARTNERS,
    ROLE,
    TCP,
    World,
    inside,
    light_world,
    make_pod,
    owner,
    reached,
    write_record,
)

pytestmark = pytest.mark.skipif(
    not shutil.which("iptables-nft"), reason="needs iptables-nft (Debian: iptables) on this host"
)

Target = tuple[str, str, int]
PARTNERS_PODS = ("imec-1", "imec-2", "ugent-1", "ugent-2")
CLOSED_TO_PARTNERS = ("operator", "kueue", "monitoring", "plugin", "stray")
ADDRESSES = {name: pod.address for name, pod in ALL_PODS.items()} | {n: a for n, (a, _) in NODES.items()}
KILLS = 10


def open_ways() -> set[tuple[str, Target]]:
    """What is open, by hand: (from, (protocol, address, port)). Everything else that is tried is closed."""
    ways: set[tuple[str, Target]] = set()
    # Until the API server knows its address, the pod is its own node's to know.
    own = [(one, two) for one in PARTNERS_PODS for two in PARTNERS_PODS if owner(one) == owner(two)]
    for one, two in (*own, ("fresh", "imec-1"), ("imec-1", "fresh")):
        ways |= {(one, ("TCP", ADDRESSES[two], port)) for port in TCP} | {(one, ("UDP", ADDRESSES[two], 53))}
    head = ADDRESSES["head"]
    asks = (*PARTNERS_PODS, "operator", "kueue", "monitoring", "fresh")
    for one in asks:
        ways |= {
            (one, (protocol, to, 53)) for protocol in ("TCP", "UDP") for to in (DNS_SERVICE, ADDRESSES["dns"])
        }
    ways |= {
        (one, ("TCP", OUTSIDE[0], port)) for one in ("imec-1", "imec-2", "fresh") for port in (443, 5432)
    }
    for one in ("operator", "kueue", "monitoring", "dns"):
        ways |= {(one, ("TCP", head, 6443)), (one, ("TCP", API_SERVICE, 443))}
    ways |= {("operator", ("TCP", address, port)) for address in OUTSIDE for port in TCP}
    ways |= {("operator", ("UDP", address, 53)) for address in OUTSIDE}
    resolvers = (*OUTSIDE, *(address for address, _ in NODES.values()))
    ways |= {("dns", (protocol, address, 53)) for address in resolvers for protocol in ("TCP", "UDP")}
    ways |= {("monitoring", ("TCP", ADDRESSES[to], 8443)) for to in ("operator", "kueue")}
    ways |= {("monitoring", ("TCP", ADDRESSES["dns"], 9153))}
    ways |= {
        ("monitoring", ("TCP", address, port))
        for address, _ in NODES.values()
        for port in (9080, 9100, 9400, 10250)
    }
    # Nodes: each to its own pods, the head to webhooks and health pages too, all to names.
    for node in NODES:
        ways |= {
            (node, ("TCP", pod.address, p)) for pod in ALL_PODS.values() if pod.node == node for p in TCP
        }
        ways |= {(node, (protocol, ADDRESSES["dns"], 53)) for protocol in ("TCP", "UDP")}
    return ways


def table() -> list[tuple[str, Target, bool]]:
    """(from, to, whether it is open) of all pairs of pods, nodes and addresses outside."""
    ways = open_ways()
    sources = [name for name in ALL_PODS if name != "unmade"]
    rows_: list[tuple[str, Target, bool]] = []
    for source in (*sources, *NODES):
        targets: list[Target] = [("TCP", API_SERVICE, 443)]
        targets += [(protocol, DNS_SERVICE, 53) for protocol in ("TCP", "UDP")] if source not in NODES else []
        targets += [("TCP", address, port) for address in OUTSIDE for port in (443, 5432, 8080)]
        targets += [("UDP", OUTSIDE[0], 53)]
        for name in ALL_PODS:
            if name not in (source, "unmade"):
                targets += [("TCP", ADDRESSES[name], port) for port in (53, 8080, 8081, 8443, 9153, 9443)]
                targets += [("UDP", ADDRESSES[name], 53)]
        for node in NODES:
            if node != source:
                targets += [("TCP", ADDRESSES[node], port) for port in (53, 6443, 9080, 9100, 9400, 10250)]
        if source in NODES:
            # Between machines, and from them outside, no pod is concerned; their own pods let them in.
            targets = [t for t in targets if t[1] in {pod.address for pod in ALL_PODS.values()}]
            targets = [t for t in targets if t[0] == "TCP" or t[1] == ADDRESSES["dns"]]
        rows_ += [(source, target, (source, target) in ways) for target in targets]
    return rows_


TABLE = table()


def asked(wanted: list[tuple[str, Target, bool]], seconds: float = 1.2) -> list[tuple[str, Target, bool]]:
    """The rows as they are now."""
    found: list[tuple[str, Target, bool]] = []
    for source in dict.fromkeys(source for source, _, _ in wanted):
        targets = [target for one, target, _ in wanted if one == source]
        found += zip([source] * len(targets), targets, reached(source, targets, seconds), strict=True)
    return found


def differing(wanted: list[tuple[str, Target, bool]]) -> list[tuple[str, Target, bool]]:
    """What is otherwise than wanted; what is closed is asked for once more: hosts are busy."""
    wrong = sorted(set(asked(wanted)) - set(wanted))
    again = [row for row in wanted if (row[0], row[1], not row[2]) in wrong and row[2]]
    return [row for row in wrong if row[2]] + sorted(set(asked(again, 4)) - set(again))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with light_world(tmp_path_factory.mktemp) as made:
        yield made


def test_every_connection_is_open_or_closed_as_the_table_says(up: World) -> None:
    assert len(TABLE) > 900
    assert 100 < sum(wanted for _, _, wanted in TABLE) < len(TABLE) - 500
    wrong = differing(TABLE)
    assert not wrong, "\n".join(map(str, wrong))


def test_an_agent_that_is_killed_leaves_nothing_open(up: World) -> None:
    pods = [row for row in TABLE if row[0] in PARTNERS_PODS]
    closed = [(source, target, False) for source, target, _ in pods]
    forbidden = [row for row in pods if not row[2]]
    opened: list[tuple[str, Target, bool]] = []
    over = threading.Event()

    def hammer() -> None:
        while not over.is_set():
            opened.extend(row for row in asked(forbidden, 0.5) if row[2])

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        for number in range(KILLS):
            for agent in up.agents.values():
                agent.kill()
            sources = PARTNERS_PODS[number % len(PARTNERS_PODS)]
            assert [row for row in asked([row for row in closed if row[0] == sources]) if row[2]] == []
            for agent in up.agents.values():
                agent.start()
            for agent in up.agents.values():
                agent.await_health()
    finally:
        over.set()
        thread.join()
    assert opened == []
    assert differing(pods) == []


def test_what_was_allowed_before_goes_on_without_the_agent(up: World) -> None:
    code = (
        "import socket, sys\n"
        f"s = socket.create_connection(('{ADDRESSES['imec-2']}', 8080), 3); print('in', flush=True)\n"
        "sys.stdin.readline(); s.settimeout(3); s.send(b'x'); assert s.recv(1) == b'x'; print('still')"
    )
    process = subprocess.Popen(
        ("ip", "netns", "exec", "t-np-imec-1", "python3", "-c", code),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    try:
        for agent in up.agents.values():
            agent.kill()
        out, _ = process.communicate("\n", timeout=10)
        assert out == "still\n"
    finally:
        for agent in up.agents.values():
            agent.start()
        for agent in up.agents.values():
            agent.await_health()


def test_an_address_that_another_pod_had_before_is_not_taken_for_it(up: World) -> None:
    """The API server still says that it is imec's; the runtime knows better."""
    pod = ALL_PODS["ugent-1"]
    old = type(pod)(pod.node, "tenant-imec", pod.address)
    make_pod(up.cluster, "had-it-before", old)
    try:
        assert reached("ugent-1", [("TCP", ADDRESSES["imec-1"], 8080), ("TCP", OUTSIDE[0], 443)]) == [
            False,
            False,
        ]
        assert reached("ugent-1", [("TCP", ADDRESSES["ugent-2"], 8080)]) == [True]
    finally:
        up.cluster.delete("v1", "Pod", "had-it-before", "tenant-imec")


def test_a_pod_of_the_same_name_that_was_there_before_is_not_the_one_that_runs(up: World) -> None:
    agent, pod = up.agents["gpu-1"], ALL_PODS["imec-1"]
    uid = up.cluster.get("v1", "Pod", "imec-1", pod.namespace)["metadata"]["uid"]
    target = [("TCP", ADDRESSES["imec-2"], 8080)]
    try:
        write_record(agent.results, "imec-1", pod, uid="of-another")
        time.sleep(1.1)
        assert reached("imec-1", target) == [False]
        write_record(agent.results, "imec-1", pod, uid=uid)
        time.sleep(1.1)
        assert reached("imec-1", target) == [True]
    finally:
        write_record(agent.results, "imec-1", pod)


def test_of_two_records_of_an_address_the_later_one_counts(up: World) -> None:
    """As after a boot, which forgets who has which address and not what was written of it."""
    agent, pod = up.agents["gpu-1"], ALL_PODS["ugent-1"]
    before = type(pod)(pod.node, "tenant-imec", pod.address)
    try:
        write_record(agent.results, "imec-1", before)
        write_record(agent.results, "ugent-1", pod)
        time.sleep(1.1)
        assert reached("ugent-1", [("TCP", OUTSIDE[0], 443), ("TCP", ADDRESSES["ugent-2"], 8080)]) == [
            False,
            True,
        ]
    finally:
        write_record(agent.results, "imec-1", ALL_PODS["imec-1"])


def test_two_names_asked_for_at_once_from_one_socket_are_both_answered(up: World) -> None:
    """As resolvers do for IPv4 and IPv6: both packets are the first of their connection."""
    code = (
        "import socket\n"
        "for _ in range(20):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)\n"
        f"    s.connect(('{DNS_SERVICE}', 53)); s.send(b'a'); s.send(b'b')\n"
        "    assert {s.recv(1), s.recv(1)} == {b'a', b'b'}\n"
    )
    for pod in ("imec-1", "imec-2"):
        done = inside(pod, "python3", "-c", code, check=False)
        assert done.returncode == 0, done.stderr


def test_a_policy_that_is_gone_or_new_counts_at_once(up: World) -> None:
    target = [("TCP", OUTSIDE[1], 443)]
    assert reached("imec-1", target) == [False]
    live = up.cluster.get("networking.k8s.io/v1", "NetworkPolicy", "isolation", "tenant-imec")
    egress = live["spec"]["egress"]
    more = [*egress, {"to": [{"ipBlock": {"cidr": f"{OUTSIDE[1]}/32"}}]}]
    at = ("networking.k8s.io/v1", "NetworkPolicy", "isolation", "tenant-imec")
    try:
        up.cluster.patch(*at, {"spec": {"egress": more}})
        time.sleep(0.5)
        assert reached("imec-1", target) == [True]
    finally:
        up.cluster.patch(*at, {"spec": {"egress": egress}})
    time.sleep(0.5)
    assert reached("imec-1", target) == [False]


def test_a_signal_has_the_agent_say_why(up: World) -> None:
    agent = up.agents["gpu-1"]
    agent.ask(signal.SIGUSR1)
    time.sleep(0.3)
    assert reached("imec-1", [("TCP", ADDRESSES["ugent-1"], 8080)]) == [False]
    said = agent.log.read_text()
    assert '"Egress NetworkPolicies"' in said and "allowed=false" in said
    assert f'dstIP="{ADDRESSES["ugent-1"]}"' in said or ADDRESSES["ugent-1"] in said


def test_the_agents_figures_tell_what_it_drops(up: World) -> None:
    code = f"import urllib.request as u; print(u.urlopen('http://{NODES['gpu-1'][0]}:9080/metrics').read().decode())"
    text = inside("gpu-1", "python3", "-c", code).stdout
    assert 'kube_network_policies_packet_count{family="IPv4",protocol="TCP",verdict="drop"}' in text


def test_the_partners_of_the_table_are_those_of_the_world() -> None:
    assert {f"tenant-{partner.name}" for partner in PARTNERS} == {
        ALL_PODS[name].namespace for name in PARTNERS_PODS
    }
    assert (ROLE / "templates" / "rules.j2").exists()
    assert socket.inet_aton(API_SERVICE)
