"""Two nodes and their pods as network namespaces, with the real agent on each and a real API server.

The API server is of a light control plane on the host's loopback; each node has a way to it. Rules, rights
and policies are those that sites have.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml

from infra import paths
from infra.tools.build import binary, build
from infra.tools.pins import rows, tool
from operators.isolation import AGENT_PORT, NAMESPACES, Addresses, own_policies
from operators.kube.client import Cluster, connect
from operators.tenancy import Egress, Tenant, labels, namespace_name, namespace_objects
from tests.cluster.light import OWN_KUBELET, LightCluster, light_cluster

ROLE = paths.REPOSITORY / "playbooks" / "roles" / "network_policy"
PODS, QUEUE = "10.98.0.0/16", 100
NODES = {"head": ("10.97.0.10", "10.98.0.0/24"), "gpu-1": ("10.97.0.11", "10.98.1.0/24")}
OUTSIDE = ("192.0.2.10", "192.0.2.11")
DNS_SERVICE, API_SERVICE = "10.99.0.10", "10.99.0.1"
TCP = (53, 443, 5432, 6443, 8080, 8081, 8082, 8443, 9100, 9153, 9400, 9443, 10250)
PARTNERS = (
    Tenant("imec", "Imec", "flanders", egress=(Egress("192.0.2.10/32", (443, 5432)),)),
    Tenant("ugent", "Ghent University", "flanders"),
)
Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod of the world; ``known`` is whether the container runtime has a record of it."""

    node: str
    namespace: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    known: bool = True
    in_status: bool = True
    """Whether the API server knows its address."""


ALL_PODS = {
    "operator": Pod("head", "antenna-system", "10.98.0.2"),
    "kueue": Pod("head", "kueue-system", "10.98.0.3"),
    "monitoring": Pod("head", "antenna-monitoring", "10.98.0.4"),
    "dns": Pod("head", "kube-system", "10.98.0.5", {"k8s-app": "kube-dns"}),
    "plugin": Pod("gpu-1", "kube-system", "10.98.1.6"),
    "imec-1": Pod("gpu-1", "tenant-imec", "10.98.1.2"),
    "imec-2": Pod("head", "tenant-imec", "10.98.0.6"),
    "ugent-1": Pod("gpu-1", "tenant-ugent", "10.98.1.3"),
    "ugent-2": Pod("head", "tenant-ugent", "10.98.0.7"),
    "stray": Pod("gpu-1", "default", "10.98.1.4"),
    # Runs, and the API server has not been told of its address.
    "fresh": Pod("gpu-1", "tenant-imec", "10.98.1.7", in_status=False),
    # Nobody has heard of it, or of it only at the API server.
    "unknown": Pod("gpu-1", "", "10.98.1.8", known=False, in_status=False),
    "unmade": Pod("gpu-1", "tenant-imec", "10.98.1.9", known=False),
}

_LISTEN = """
import json, socket, sys, threading
def echo(s):
    while True:
        data, peer = s.recvfrom(512)
        s.sendto(data, peer)
def accept(s):
    kept = []
    while True:
        connection = s.accept()[0]
        kept.append(connection)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()
def answer(connection):
    while data := connection.recv(512):
        connection.sendall(data)
for port in json.loads(sys.argv[1]):
    threading.Thread(target=accept, args=(socket.create_server(("", port), backlog=64),), daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("", 53))
threading.Thread(target=echo, args=(udp,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""
_TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def one(row):
    protocol, address, port, seconds = row
    try:
        if protocol == "TCP":
            socket.create_connection((address, port), seconds).close()
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(seconds); s.connect((address, port)); s.send(b"x"); s.recv(9)
        return True
    except OSError:
        return False
rows = json.loads(sys.argv[1])
print(json.dumps(list(ThreadPoolExecutor(max(1, len(rows))).map(one, rows))))
"""
_SEND_LISTENER = """
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
with socket.socket(fileno=int(sys.argv[2])) as u: socket.send_fds(u, [b"x"], [s.fileno()])
"""


def run(*command: str | Path, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60, **options)


def inside(namespace: str, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("ip", "netns", "exec", f"t-np-{namespace}", *command, **options)


def reached(source: str, targets: Iterable[tuple[str, str, int]], seconds: float = 1.2) -> list[bool]:
    """Which of the (protocol, address, port) a pod or node gets through to, all tried at once."""
    given = json.dumps([(*target, seconds) for target in targets])
    return list(json.loads(inside(source, "python3", "-c", _TRY, given).stdout))


@dataclass
class Agent:
    """The agent of a node; ``start`` and ``kill`` are what a service manager and a mishap do."""

    node: str
    program: Path
    kubeconfig: Path
    results: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        address, pods = NODES[self.node]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", f"t-np-{self.node}", self.program),
                    *("--kubeconfig", self.kubeconfig, "--node", self.node, "--pods", pods),
                    *("--cni-results", self.results, "--listen", f"{address}:{AGENT_PORT}"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def healthy(self) -> bool:
        command = ("python3", "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2)")
        url = f"http://{NODES[self.node][0]}:{AGENT_PORT}/healthz"
        return inside(self.node, *command, url, check=False).returncode == 0

    def await_health(self) -> None:
        deadline = time.monotonic() + 60
        while not self.healthy():
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            assert self.process is not None and self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@dataclass(frozen=True)
class World:
    """What is up."""

    agents: Mapping[str, Agent]
    cluster: Cluster


@contextmanager
def world(
    light: LightCluster,
    cluster: Cluster,
    program: Path,
    folder: Path,
    *,
    partners: Sequence[Tenant] = PARTNERS,
    pods: Mapping[str, Pod] = ALL_PODS,
) -> Iterator[World]:
    """Nodes, pods, listeners and agents; all of it gone when left."""
    names = [*NODES, *pods, "outside"]
    with ExitStack() as ends:
        for name in names:
            run("ip", "netns", "delete", f"t-np-{name}", check=False)
            run("ip", "netns", "add", f"t-np-{name}")
            ends.callback(run, "ip", "netns", "delete", f"t-np-{name}", check=False)
            inside(name, "ip", "link", "set", "lo", "up")
        _nodes()
        for name, pod in pods.items():
            _join(pod.node, name, f"v{name}", pod.address)
        declare(cluster, partners, pods)
        agents = {node: _agent(node, light, program, folder, ends, pods=pods) for node in NODES}
        for name in names:
            _listen(name, ends)
        for agent in agents.values():
            ends.callback(agent.kill)
            agent.start()
        for agent in agents.values():
            agent.await_health()
        yield World(agents, cluster)


@contextmanager
def light_world(
    temporary: Callable[[str], Path],
    *,
    partners: Sequence[Tenant] = PARTNERS,
    pods: Mapping[str, Pod] = ALL_PODS,
) -> Iterator[World]:
    """The same, with a light control plane of its own; ``temporary`` makes folders."""
    build(rows(["network_policy"]), print)
    folder = temporary("policies")
    with light_cluster(temporary("light"), kueue=False) as light:
        cluster = connect(light.kubeconfig)
        program = binary(tool("network_policy"), "network-policy")
        with world(light, cluster, program, folder, partners=partners, pods=pods) as made:
            yield made
        cluster.close()


def owner(pod: str) -> str:
    """The partner whose pod it is by its name."""
    return pod.partition("-")[0]


def declare(
    cluster: Cluster, partners: Sequence[Tenant] = PARTNERS, pods: Mapping[str, Pod] = ALL_PODS
) -> None:
    """Namespaces, policies, rights, nodes and pods at the API server."""
    addresses = Addresses(PODS, f"{NODES['head'][0]}/32", "10.97.0.0/24")
    for name in NAMESPACES:
        _apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for partner in partners:
        metadata = {"name": namespace_name(partner.name), "labels": labels(partner)}
        _apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        for obj in namespace_objects(partner):
            if obj["kind"] == "NetworkPolicy":
                _apply(cluster, obj)
    for obj in (*own_policies(addresses), *yaml.safe_load((ROLE / "files" / "rights.yml").read_text())):
        _apply(cluster, obj)
    for node in NODES:
        _apply(cluster, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    for name, pod in pods.items():
        if pod.namespace:
            make_pod(cluster, name, pod)


def make_pod(cluster: Cluster, name: str, pod: Pod) -> None:
    """The pod at the API server, as its kubelet tells of it."""
    metadata = {
        "name": name,
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
        "annotations": dict(OWN_KUBELET),
    }
    container = {"name": "work", "image": "registry.example/work:1"}
    spec = {"nodeName": pod.node, "containers": [container], "automountServiceAccountToken": False}
    _apply(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    status: Object = {"phase": "Running"}
    if pod.in_status:
        status |= {"podIP": pod.address, "podIPs": [{"ip": pod.address}]}
    cluster.patch("v1", "Pod", name, pod.namespace, {"status": status}, subresource="status")


def write_record(folder: Path, name: str, pod: Pod, uid: str = "") -> None:
    """What the container runtime's libcni writes once a pod's network is made."""
    arguments = [
        ["IgnoreUnknown", "1"],
        ["K8S_POD_NAMESPACE", pod.namespace],
        ["K8S_POD_NAME", name],
        *([["K8S_POD_UID", uid]] if uid else []),
    ]
    record = {
        "kind": "cniCacheV1",
        "containerId": name,
        "networkName": "antenna",
        "cniArgs": arguments,
        "result": {"cniVersion": "1.0.0", "ips": [{"address": f"{pod.address}/24", "interface": 1}]},
    }
    path = folder / f"antenna-{name}-eth0"
    # A record is written once, and each network has one of its own.
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(record))


def _apply(cluster: Cluster, obj: Object) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            cluster.apply(obj, manager="t-np")
            return
        except Exception:  # the namespace's service account comes a moment later
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _nodes() -> None:
    (head, _), (worker, worker_pods) = NODES["head"], NODES["gpu-1"]
    first, second = (("name", "eth0", "netns", f"t-np-{node}") for node in NODES)
    run("ip", "link", "add", *first, "type", "veth", "peer", *second)
    for node, (address, _) in NODES.items():
        inside(node, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        inside(node, "ip", "link", "set", "eth0", "up")
        inside(node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    inside("head", "ip", "route", "add", worker_pods, "via", worker)
    inside("gpu-1", "ip", "route", "add", "default", "via", head)
    _join("head", "outside", "vout", *OUTSIDE)
    template = jinja2.Template(
        (ROLE / "templates" / "rules.j2").read_text(), undefined=jinja2.StrictUndefined
    )
    rules = template.render(network_policy_all_pods=PODS, network_policy_queue=QUEUE) + "\n"
    for node in NODES:
        for service, port, to in ((DNS_SERVICE, 53, "10.98.0.5:53"), (API_SERVICE, 443, f"{head}:6443")):
            for protocol in ("tcp", "udp"):
                nat = ("-t", "nat", "-A", "PREROUTING", "-d", service, "-p", protocol, "--dport", str(port))
                inside(node, "iptables-nft", *nat, "-j", "DNAT", "--to-destination", to)
        inside(node, "iptables-nft-restore", input=rules)


def _join(node: str, name: str, outside: str, *addresses: str) -> None:
    """A veth from a node to a namespace, as the ptp plugin makes it."""
    run(*f"ip link add {outside} netns t-np-{node} type veth peer name eth0 netns t-np-{name}".split())
    inside(node, "ip", "address", "add", "169.254.1.1/32", "dev", outside)
    inside(node, "ip", "link", "set", outside, "up")
    for address in addresses:
        inside(name, "ip", "address", "add", f"{address}/32", "dev", "eth0")
        inside(node, "ip", "route", "add", f"{address}/32", "dev", outside, check=False)
    inside(name, "ip", "link", "set", "eth0", "up")
    for address in addresses:
        inside(node, "ip", "route", "replace", f"{address}/32", "dev", outside)
    inside(name, "ip", "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link")
    inside(name, "ip", "route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink")


def _listen(name: str, ends: ExitStack) -> None:
    command = ("ip", "netns", "exec", f"t-np-{name}", "python3", "-c", _LISTEN, json.dumps(TCP))
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    ends.callback(process.wait)
    ends.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def _agent(
    node: str, light: LightCluster, program: Path, folder: Path, ends: ExitStack, *, pods: Mapping[str, Pod]
) -> Agent:
    kubeconfig = yaml.safe_load(light.kubeconfig.read_text())
    for user in kubeconfig["users"]:
        user["user"] |= {"as": f"antenna:network-policy:{node}", "as-groups": ["antenna:network-policy"]}
    path = folder / f"{node}.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    port = urllib.parse.urlsplit(kubeconfig["clusters"][0]["cluster"]["server"]).port
    assert port is not None
    ends.enter_context(_way(node, port))
    results = folder / f"{node}-results"
    results.mkdir()
    for name, pod in pods.items():
        if pod.node == node and pod.known:
            write_record(results, name, pod)
    return Agent(node, program, path, results, folder / f"{node}.log")


@contextmanager
def _way(node: str, port: int) -> Iterator[None]:
    """A node's own loopback port leads to the host's of the same number."""
    here, there = socket.socketpair()
    with here, there:
        command = ("ip", "netns", "exec", f"t-np-{node}", "python3", "-c", _SEND_LISTENER)
        run(*command, str(port), str(there.fileno()), pass_fds=[there.fileno()])
        _, descriptors, *_ = socket.recv_fds(here, 1, 1)
    listener = socket.socket(fileno=descriptors[0])

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with closing(listener):
        yield
        listener.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
            one.close()
