"""Why a pod finds no node: which nodes are closed to it, and how much is free on the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from operators.why.facts import Node, Pod, Taint, Toleration

_KEEPS_OUT: Final = ("NoSchedule", "NoExecute")
# The node controller adds these to nodes whose state is told in a better way.
_OF_THE_STATE: Final = ("node.kubernetes.io/",)


@dataclass(frozen=True)
class Closed:
    """A node that does not take the pod, whatever is free on it."""

    node: Node
    why: str


@dataclass(frozen=True)
class Placement:
    """Where a pod could go, of the nodes that its selector names."""

    open: tuple[Node, ...]
    closed: tuple[Closed, ...]
    short: str = ""
    """The first resource of which no open node has enough; empty where each has some node with room."""

    @property
    def owners(self) -> tuple[Node, ...]:
        """Open nodes that have any of the short resource, used or not."""
        return tuple(n for n in self.open if n.allocatable.get(self.short))

    @property
    def free(self) -> Decimal:
        """Of the short resource, on all open nodes."""
        return sum((max(Decimal(0), n.free(self.short)) for n in self.open), Decimal(0))

    @property
    def most(self) -> Decimal:
        """Of the short resource, on the node that has most of it free."""
        return max((n.free(self.short) for n in self.open), default=Decimal(0))

    @property
    def allocatable(self) -> Decimal:
        """Of the short resource, on all open nodes."""
        return sum((n.allocatable[self.short] for n in self.owners), Decimal(0))

    def roomy(self, pod: Pod) -> tuple[Closed, ...]:
        """Closed nodes on which there would be room."""
        return tuple(c for c in self.closed if fits(pod, c.node))


def place(pod: Pod, nodes: Iterable[Node]) -> Placement:
    """Sort the nodes into open and closed ones. Affinity is left to the scheduler's message."""
    selected = [(n, closed_because(pod, n)) for n in nodes if pod.selector.items() <= n.labels.items()]
    open_ = tuple(node for node, why in selected if not why)
    closed = tuple(Closed(node, why) for node, why in selected if why)
    short = next((r for r in _by_weight(pod) if all(n.free(r) < pod.asks[r] for n in open_)), "")
    return Placement(open_, closed, short)


def fits(pod: Pod, node: Node) -> bool:
    """Whether the node has free what the pod asks for."""
    return all(node.free(resource) >= amount for resource, amount in pod.asks.items())


def closed_because(pod: Pod, node: Node) -> str:
    """Why the node does not take the pod, in words that follow its name; empty when it does."""
    if not node.ready:
        return "is not ready"
    if node.cordoned and not tolerates(pod, Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")):
        return "is cordoned"
    for taint in node.taints:
        keeps_out = taint.effect in _KEEPS_OUT and not taint.key.startswith(_OF_THE_STATE)
        if keeps_out and not tolerates(pod, taint):
            return f"has the taint {taint.key}{'=' + taint.value if taint.value else ''}"
    return ""


def largest(resource: str, nodes: Iterable[Node]) -> Decimal:
    """What the largest node has, used or not."""
    return max((n.allocatable.get(resource, Decimal(0)) for n in nodes), default=Decimal(0))


def tolerates(pod: Pod, taint: Taint) -> bool:
    """Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""
    return any(_tolerates(t, taint) for t in pod.tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.exists:
        return toleration.key in ("", taint.key)
    return (toleration.key, toleration.value) == (taint.key, taint.value)


def _by_weight(pod: Pod) -> list[str]:
    """GPUs first: they are what is short."""
    return sorted((r for r, a in pod.asks.items() if a), key=lambda r: (r != "nvidia.com/gpu", r))
