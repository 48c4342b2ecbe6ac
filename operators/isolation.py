"""Who connects to whom among the platform's own pods, as rows, and the NetworkPolicies made of them. Pure.

A partner's own policy is in ``tenancy``. A namespace that is named here has nothing open but its rows; nodes
reach the pods that they run without being asked, for the kubelet's probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from operators.tenancy import Object

SYSTEM: Final = "antenna-system"
KUEUE: Final = "kueue-system"
MONITORING: Final = "antenna-monitoring"
CLUSTER: Final = "kube-system"
UNUSED: Final = ("default", "kube-public", "kube-node-lease")
"""Nothing of the platform runs there: what does is let nowhere."""
NAMESPACES: Final = (SYSTEM, KUEUE, MONITORING, CLUSTER, *UNUSED)

NAME: Final = "isolation"

AGENT_PORT: Final = 9080
"""On each node: whether its policies are enforced, and figures of it."""

NODE_PORTS: Final = (AGENT_PORT, 9100, 9400, 10250)
"""Of each node: what monitoring reads there. The node's own firewall lets pods to nothing else."""

End = Literal["pods", "head", "machines", "outside"]
"""Ends that are addresses: all pods; the head; the machines' network; what is in neither range."""
Protocol = Literal["TCP", "UDP"]


@dataclass(frozen=True)
class Pods:
    """Pods of one of our namespaces; of these labels, where there are any."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Way:
    """A way that is open: from whom to whom, at which ports (none: at all), and why."""

    source: Pods | End
    target: Pods | End
    ports: tuple[int, ...]
    why: str
    protocols: tuple[Protocol, ...] = ("TCP",)


_DNS: Final = Pods(CLUSTER, (("k8s-app", "kube-dns"),))
_ALERTMANAGER: Final = Pods(MONITORING, (("app.kubernetes.io/name", "alertmanager"),))
_BOTH: Final[tuple[Protocol, ...]] = ("UDP", "TCP")

WAYS: Final = (
    Way("pods", _DNS, (53,), "names, for every pod", _BOTH),
    Way("machines", _DNS, (53,), "names, for machines", _BOTH),
    Way(_DNS, "outside", (53,), "names that are not the cluster's: to the site's resolvers", _BOTH),
    Way(_DNS, "machines", (53,), "the same, where a machine of the network is the resolver", _BOTH),
    Way(_DNS, "head", (6443,), "which Services there are"),
    Way(Pods(SYSTEM), _DNS, (53,), "names", _BOTH),
    Way(Pods(SYSTEM), "head", (6443,), "what the operator watches and writes"),
    Way(Pods(SYSTEM), "outside", (), "remote sites through their tunnels, and a ledger's database"),
    Way(Pods(SYSTEM), "machines", (5432,), "a ledger's database, where the machines' network has it"),
    Way("head", Pods(SYSTEM), (8081,), "the operator's health, which `antenna doctor` reads"),
    Way(Pods(KUEUE), _DNS, (53,), "names", _BOTH),
    Way(Pods(KUEUE), "head", (6443,), "what Kueue watches and writes"),
    Way("head", Pods(KUEUE), (8082, 9443), "the API server: what waits, and Kueue's webhooks"),
    Way(Pods(MONITORING), _DNS, (53,), "names", _BOTH),
    Way(Pods(MONITORING), "head", (6443,), "which nodes there are, and the API server's own figures"),
    Way(Pods(MONITORING), Pods(SYSTEM), (8443,), "the operator's figures"),
    Way(Pods(MONITORING), Pods(KUEUE), (8443,), "Kueue's figures"),
    Way(Pods(MONITORING), _DNS, (9153,), "CoreDNS's figures"),
    Way(
        Pods(MONITORING),
        "machines",
        NODE_PORTS,
        "figures of nodes: of this layer, of the machine, of its GPUs, of its kubelet",
    ),
    Way(Pods(MONITORING), _ALERTMANAGER, (9093,), "alerts that fire, and Alertmanager's own figures"),
    Way(_ALERTMANAGER, _ALERTMANAGER, (9094,), "silences and what was told, where there are two", _BOTH),
    Way("head", _ALERTMANAGER, (9093,), "the API server: what fires, and silences, for `antenna alerts`"),
    Way(_ALERTMANAGER, "outside", (), "receivers of alerts"),
    Way(_ALERTMANAGER, "machines", (9095,), "a receiver in the machines' network: `antenna watchdog`"),
)
"""All that is open. Of two of our namespaces both ends are rows of one way."""


@dataclass(frozen=True)
class Addresses:
    """The site's own, as CIDRs."""

    pods: str
    head: str
    machines: str

    def blocks(self, end: End) -> list[Object]:
        """The ranges that an end stands for."""
        if end == "outside":
            return [{"cidr": "0.0.0.0/0", "except": [self.pods, self.machines]}]
        return [{"cidr": {"pods": self.pods, "head": self.head, "machines": self.machines}[end]}]


def own_policies(addresses: Addresses, ways: Iterable[Way] = WAYS) -> list[Object]:
    """The policies of our own namespaces: one that closes each, and one for each pods' ways in and out."""
    known = tuple(ways)
    objects = [_policy(namespace, (), NAME, [], []) for namespace in NAMESPACES]
    for pods in dict.fromkeys(
        end for way in known for end in (way.target, way.source) if isinstance(end, Pods)
    ):
        incoming = [way for way in known if way.target == pods]
        outgoing = [way for way in known if way.source == pods]
        name = "-".join(("ways", *(value for _, value in pods.labels)))
        objects.append(
            _policy(
                pods.namespace,
                pods.labels,
                name,
                [_rule("from", way.source, way, addresses) for way in incoming],
                [_rule("to", way.target, way, addresses) for way in outgoing],
            )
        )
    return objects


def _policy(
    namespace: str,
    labels: Sequence[tuple[str, str]],
    name: str,
    ingress: list[Object],
    egress: list[Object],
) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "podSelector": {"matchLabels": dict(labels)} if labels else {},
            "policyTypes": ["Ingress", "Egress"],
            **({"ingress": ingress} if ingress else {}),
            **({"egress": egress} if egress else {}),
        },
    }


def _rule(direction: str, end: Pods | End, way: Way, addresses: Addresses) -> Object:
    if isinstance(end, Pods):
        peers: list[Object] = [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": end.namespace}},
                **({"podSelector": {"matchLabels": dict(end.labels)}} if end.labels else {}),
            }
        ]
    else:
        peers = [{"ipBlock": block} for block in addresses.blocks(end)]
    ports = [{"protocol": protocol, "port": port} for protocol in way.protocols for port in way.ports]
    return {direction: peers, **({"ports": ports} if ports else {})}
