"""Who reaches whom on a whole site: from pods of two partners and of the platform, on each node.

A try is made in a pod's own network, from its node. That something listens is not needed: a connection that
is refused came through, one that nobody answers did not. A datagram may be lost and is sent again; the name
that it asks for is the cluster's own, so that no resolver outside has to answer in time.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from infra import paths
from infra.cli.work import burst
from operators.isolation import AGENT_PORT, NODE_PORTS
from operators.kube.client import Cluster, connect
from operators.kube.errors import NotFound
from operators.queues import LOCAL_QUEUE, QUEUE_LABEL
from operators.tenancy import namespace_name
from tests.live.site_under_test import SiteUnderTest, eventually

PARTNERS = ("imec", "ugent")
WORKERS = ("gpu-1", "gpu-2")
LABEL = "antenna.be/test"
KILLS = 10
OUTSIDE, CLOSED_OUTSIDE = "198.51.100.7", "198.51.100.8"
"""Addresses of this host that are not of the site: a partner declares the first."""
PORTS = (22, 80, 443, 3306, 5432, 6379, 8080, 8443, 9090)
HEALTH = f"http://{{}}:{AGENT_PORT}/healthz"

_TRY = """
import json, socket, sys, time
from concurrent.futures import ThreadPoolExecutor
def through(row):
    protocol, address, port = row
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(seconds)
        try:
            s.connect((address, port))
            return protocol == "TCP" or answered(s)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
def answered(s):
    s.settimeout(seconds / DATAGRAMS)
    for number in range(DATAGRAMS):
        s.send(QUESTION)
        try:
            return bool(s.recv(512))
        except TimeoutError:
            if number == DATAGRAMS - 1:
                raise
DATAGRAMS = 4
PARTS = "kubernetes.default.svc.cluster.local".split(".")
NAME = b"".join(bytes([len(part)]) + part.encode() for part in PARTS)
QUESTION = bytes.fromhex("000101000001000000000000") + NAME + bytes.fromhex("0000010001")
rows, seconds, lasting = json.loads(sys.argv[1])
end, opened = time.monotonic() + lasting, []
while True:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(through, rows))
    opened += [row for row, one in zip(rows, found) if one]
    if time.monotonic() >= end:
        break
print(json.dumps(opened if lasting else found))
"""

Target = tuple[str, str, int]


@dataclass(frozen=True)
class Place:
    """Where tries are made: a pod's network on a node, or the node's own (no address)."""

    node: str
    address: str = ""


@dataclass(frozen=True)
class Row:
    """One connection, and whether it is to be open."""

    source: str
    target: Target
    open: bool


def tried(site: SiteUnderTest, place: Place, rows: Iterable[Target], lasting: float = 0) -> list[Any]:
    """Whether each gets through; with ``lasting`` seconds, the ones that ever did meanwhile."""
    given = json.dumps([[*rows], 2, lasting])
    python = shlex.join(["python3", "-c", _TRY, given])
    if not place.address:
        return list(json.loads(site.on(place.node, python)))
    look = f"nsenter --net=$n ip -4 -o address show dev eth0 | grep -q ' {re.escape(place.address)}/'"
    command = (
        f"for n in /run/netns/cni-*; do if {look}; then exec nsenter --net=$n {python}; fi; done; exit 3"
    )
    return list(json.loads(site.on(place.node, command)))


@pytest.fixture(scope="module")
def cluster(site: SiteUnderTest) -> Iterator[Cluster]:
    one = connect(paths.kubeconfig(site.stack))
    yield one
    one.close()


@pytest.fixture(scope="module")
def partners(site: SiteUnderTest, cluster: Cluster) -> Iterator[dict[str, Place]]:
    """A pod of each partner on each worker, by ``partner@node``; the Jobs that they are of go again."""
    jobs = [work(partner, node) for partner in PARTNERS for node in WORKERS]
    made = [cluster.create(job)["metadata"] for job in jobs]
    try:
        yield {
            f"{job['metadata']['labels'][LABEL]}@{node}": Place(node, eventually_address(cluster, job))
            for job in jobs
            for node in [job["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/hostname"]]
        }
    finally:
        for one in made:
            with suppress(NotFound):
                cluster.delete("batch/v1", "Job", one["name"], one["namespace"])
        eventually("the pods are gone", lambda: not cluster.list_objects("v1", "Pod", labels=LABEL))


def work(partner: str, node: str) -> dict[str, Any]:
    """A Job of one idle pod, which needs no GPU."""
    container = {
        "name": "idle",
        "image": burst.IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/busybox", "sleep", "3600"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"network-{node}",
            "namespace": namespace_name(partner),
            "labels": {LABEL: partner, QUEUE_LABEL: LOCAL_QUEUE},
        },
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {LABEL: partner}},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 0,
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                },
            },
        },
    }


def eventually_address(cluster: Cluster, job: dict[str, Any]) -> str:
    """The address of a Job's pod, once it runs."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]

    def address() -> str:
        pods = cluster.list_objects("v1", "Pod", namespace, labels=f"batch.kubernetes.io/job-name={name}")
        return next((p["status"].get("podIP", "") for p in pods if p["status"]["phase"] == "Running"), "")

    return str(eventually(f"a pod of {namespace}/{name} runs", address, seconds=120))


@pytest.fixture(scope="module")
def ours(cluster: Cluster) -> dict[str, Place]:
    """The platform's own pods."""
    found = {
        "operator": ("antenna-system", "app.kubernetes.io/name=antenna-operator"),
        "kueue": ("kueue-system", "control-plane=controller-manager"),
        "monitoring": ("antenna-monitoring", "app.kubernetes.io/name=victoria-metrics"),
        "dns": ("kube-system", "k8s-app=kube-dns"),
    }
    places = {}
    for name, (namespace, labels) in found.items():
        pod = cluster.list_objects("v1", "Pod", namespace, labels=labels)[0]
        places[name] = Place(pod["spec"]["nodeName"], pod["status"]["podIP"])
    return places


@pytest.fixture(scope="module")
def nodes(site: SiteUnderTest) -> dict[str, str]:
    return {m["name"]: m["address"] for m in site.machines if m["role"] != "site"}


@pytest.fixture(scope="module")
def services(cluster: Cluster) -> tuple[str, str]:
    """The addresses of the services of names and of the API server."""
    dns = cluster.get("v1", "Service", "kube-dns", "kube-system")["spec"]["clusterIP"]
    return dns, cluster.get("v1", "Service", "kubernetes", "default")["spec"]["clusterIP"]


@pytest.fixture(scope="module")
def table(
    partners: dict[str, Place], ours: dict[str, Place], nodes: dict[str, str], services: tuple[str, str]
) -> list[Row]:
    """What is open and what is not, for each pod."""
    dns, api = services
    names = [("TCP", dns, 53), ("UDP", dns, 53), ("TCP", ours["dns"].address, 53)]
    rows: list[Row] = []
    for pod in partners:
        partner = pod.partition("@")[0]
        rows += [Row(pod, target, True) for target in names]
        rows += [
            Row(pod, ("TCP", to.address, port), other.partition("@")[0] == partner)
            for other, to in partners.items()
            if other != pod
            for port in PORTS
        ]
        rows += [
            Row(pod, ("TCP", to.address, port), False) for to in ours.values() for port in (8080, 8443, 9443)
        ]
        rows += [
            Row(pod, ("TCP", address, port), False)
            for address in nodes.values()
            for port in (22, 6443, *NODE_PORTS)
        ]
        rows += [Row(pod, ("TCP", api, 443), False), Row(pod, ("TCP", OUTSIDE, 443), False)]
    for pod in ours:
        rows += [Row(pod, ("TCP", api, 443), True), Row(pod, ("TCP", nodes["head"], 6443), True)]
        rows += [Row(pod, ("TCP", to.address, port), False) for to in partners.values() for port in PORTS[:2]]
        rows += [
            Row(pod, ("TCP", address, port), pod == "monitoring")
            for address in nodes.values()
            for port in NODE_PORTS
        ]
        rows += [
            Row(pod, ("TCP", ours[to].address, 8443), pod == "monitoring")
            for to in ("operator", "kueue")
            if to != pod
        ]
        rows += [Row(pod, ("TCP", ours["dns"].address, 9153), pod == "monitoring")] if pod != "dns" else []
        rows += [Row(pod, ("TCP", address, 22), False) for address in nodes.values()]
    return rows


@pytest.fixture
def outside() -> Iterator[None]:
    """Two addresses of this host that are no site's."""
    for address in (OUTSIDE, CLOSED_OUTSIDE):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    yield
    for address in (OUTSIDE, CLOSED_OUTSIDE):
        subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


def wrong(site: SiteUnderTest, places: dict[str, Place], rows: Iterable[Row]) -> list[str]:
    """The rows that are otherwise, a line each. What should be open is tried once more: hosts are busy."""
    found = []
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    for source, own in by_source.items():
        results = dict(zip(own, tried(site, places[source], [row.target for row in own]), strict=True))
        again = [row for row, is_open in results.items() if row.open and not is_open]
        if again:
            results |= zip(again, tried(site, places[source], [row.target for row in again]), strict=True)
        for row, is_open in results.items():
            if is_open != row.open:
                found.append(f"{source} -> {row.target}: {'open' if is_open else 'closed'}")
    return found


def test_every_connection_is_as_the_table_says(
    site: SiteUnderTest, partners: dict[str, Place], ours: dict[str, Place], table: list[Row], outside: None
) -> None:
    for source in partners:
        assert sum(row.source == source for row in table) >= 60
    assert len({row.target for row in table if row.open}) > 10
    found = wrong(site, {**partners, **ours}, table)
    assert found == [], "\n".join(found)
    print(f"{len(table)} connections, {sum(row.open for row in table)} open")


def test_an_agent_that_is_killed_ten_times_never_opens_anything(
    site: SiteUnderTest, partners: dict[str, Place], table: list[Row], outside: None
) -> None:
    closed = {pod: [row.target for row in table if row.source == pod and not row.open] for pod in partners}
    lasting = KILLS * 3.0
    opened: dict[str, list[Any]] = {}

    def hammer(pod: str) -> None:
        opened[pod] = tried(site, partners[pod], closed[pod], lasting)

    threads = [threading.Thread(target=hammer, args=(pod,)) for pod in partners]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        for node in ("head", *WORKERS):
            site.on(node, "kill -9 $(systemctl show -P MainPID antenna-network-policy); true")
        time.sleep(2)
    for thread in threads:
        thread.join(180)
    assert opened == {pod: [] for pod in partners}
    for node in ("head", *WORKERS):
        answers(site, node)
    restarts = site.on("gpu-1", "systemctl show -P NRestarts antenna-network-policy")
    assert int(restarts) >= KILLS
    rows = [row for row in table if row.source in partners]
    # Ten starts in half a minute: what is open may take some seconds to be so everywhere.
    eventually("who reaches whom is as before", lambda: not wrong(site, partners, rows), 120)


def test_a_stopped_agent_closes_its_node_and_says_so(
    site: SiteUnderTest, partners: dict[str, Place], services: tuple[str, str]
) -> None:
    pod = f"{PARTNERS[0]}@gpu-1"
    names: Target = ("TCP", services[0], 53)
    mate: Target = ("TCP", partners[f"{PARTNERS[0]}@gpu-2"].address, 8080)
    site.on("gpu-1", "systemctl stop antenna-network-policy")
    try:
        assert tried(site, partners[pod], [names, mate]) == [False, False]
        # Others reach its pods neither, and go on with each other.
        other = partners[f"{PARTNERS[0]}@gpu-2"]
        assert tried(site, other, [("TCP", partners[pod].address, 8080), names]) == [False, True]
        said = json.loads(site.antenna("doctor", "--json", check=False).stdout)
        (row,) = [check for check in said["checks"] if check["check"] == "network-policies"]
        assert (row["verdict"], "gpu-1" in row["cause"]) == ("fail", True), row
    finally:
        site.on("gpu-1", "systemctl start antenna-network-policy")
    answers(site, "gpu-1")
    eventually(
        "its pods reach what they may", lambda: tried(site, partners[pod], [names, mate]) == [True, True]
    )


def test_declared_egress_is_let_out_and_nothing_beside_it(
    site: SiteUnderTest, cluster: Cluster, partners: dict[str, Place], outside: None
) -> None:
    ways: list[Target] = [("TCP", OUTSIDE, 443), ("TCP", OUTSIDE, 8443), ("TCP", CLOSED_OUTSIDE, 443)]
    pod, stranger = (partners[f"{partner}@gpu-1"] for partner in PARTNERS)
    at = ("antenna.be/v1alpha1", "Tenant", PARTNERS[0], None)
    assert tried(site, pod, ways) == [False, False, False]
    cluster.patch(*at, {"spec": {"egress": [{"cidr": f"{OUTSIDE}/32", "ports": [443]}]}})
    try:
        eventually("it is let out", lambda: tried(site, pod, ways[:1]) == [True], seconds=30)
        assert tried(site, pod, ways) == [True, False, False]
        assert tried(site, stranger, ways) == [False, False, False]
    finally:
        cluster.patch(*at, {"spec": {"egress": None}})
    eventually("it is let out no more", lambda: tried(site, pod, ways[:1]) == [False], seconds=30)


def test_the_way_to_the_node_that_ipv6_makes_by_itself_is_closed(
    site: SiteUnderTest, partners: dict[str, Place]
) -> None:
    pod = partners[f"{PARTNERS[0]}@gpu-1"]
    code = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1] + '%eth0', int(sys.argv[2])), 2)\n"
        "except ConnectionRefusedError: print('open')\n"
        "except OSError as error: print('closed', error)\n"
        "else: print('open')"
    )
    # The other end of the pod's interface, by its number, and its address of that kind.
    command = (
        "for n in /run/netns/cni-*; do "
        f"if nsenter --net=$n ip -4 -o address show dev eth0 | grep -q ' {re.escape(pod.address)}/'; then "
        "other=$(nsenter --net=$n ip -o link show dev eth0 | sed 's/.*eth0@if\\([0-9]*\\):.*/\\1/'); "
        'a=$(ip -6 -o address show scope link | sed -n "s|^$other: .* inet6 \\([^/]*\\)/.*|\\1|p"); '
        f'for port in 22 10250; do nsenter --net=$n python3 -c {shlex.quote(code)} "$a" $port; done; '
        "fi; done"
    )
    said = site.on("gpu-1", command)
    assert len(said.splitlines()) == 2
    assert "open" not in said, said


def test_a_policy_that_somebody_takes_away_is_put_back(
    site: SiteUnderTest, cluster: Cluster, partners: dict[str, Place]
) -> None:
    at = ("networking.k8s.io/v1", "NetworkPolicy", "isolation", namespace_name(PARTNERS[0]))
    gone = cluster.delete(*at)
    eventually(
        "it is back", lambda: (cluster.find(*at) or {}).get("metadata", {}).get("uid") not in (None, gone)
    )
    foreign = partners[f"{PARTNERS[1]}@gpu-1"].address
    eventually(
        "nothing is open",
        lambda: tried(site, partners[f"{PARTNERS[0]}@gpu-1"], [("TCP", foreign, 8080)]) == [False],
        seconds=10,
    )


def test_rules_that_somebody_takes_away_are_drift(site: SiteUnderTest) -> None:
    site.on("gpu-2", "iptables-nft --table security --flush")
    try:
        site.antenna("refresh", "--yes")
        assert "nodes" in site.changes("preview")
    finally:
        site.antenna("up", "--yes", "--refresh")
    assert "NFQUEUE" in site.on("gpu-2", "iptables-nft-save --table security")


def answers(site: SiteUnderTest, node: str) -> None:
    """Wait until a node's agent is at the queue."""
    address = next(m["address"] for m in site.machines if m["name"] == node)
    command = f"curl -fsS -m 2 {HEALTH.format(address)} || true"
    eventually(f"the agent of {node} answers", lambda: "ok" in site.on(node, command), seconds=60)
