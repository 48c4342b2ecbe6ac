"""Nodes and their GPUs, the pods that hold them and whose these are, and pods that find no node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from operators.collectors.tenants import Places
from operators.collectors.workloads import interned
from operators.exposition.store import Store
from operators.kube.objects import Node, Pod, units
from operators.reasons import Reason, of_container, of_scheduler

RUNNING: Final = "antenna_tenant_gpus_running"
_DIGITS: Final = 5
_TERMINAL: Final = ("Succeeded", "Failed")


class NodeFacts(NamedTuple):
    """The few facts that are kept of a node."""

    uid: str
    name: str
    model: str
    """What its label says of its GPUs; empty for a node that has none."""
    capacity: int
    """GPUs that it has; its label says so where its device plugin is gone and the kubelet counts none."""
    allocatable: int
    ready: bool
    schedulable: bool


class PodFacts(NamedTuple):
    """The few facts that are kept of a pod that has not ended."""

    node: str
    """Empty while it has none."""
    gpus: int
    job_uid: str
    stuck: Reason | None
    """Why the scheduler finds no node for it, or its node cannot start its containers."""
    namespace: str = ""
    leaving: bool = False
    """It was told to end."""


class SeenPod(NamedTuple):
    """A pod, and what is kept of it."""

    uid: str
    facts: PodFacts | None


def seen(pod: Pod) -> SeenPod:
    """Of a pod's object. Raises ValueError on a request that is no quantity."""
    return SeenPod(pod.metadata.uid, pod_facts(pod))


def node_facts(node: Node) -> NodeFacts:
    """Of a node's object."""
    return NodeFacts(
        uid=node.metadata.uid,
        name=node.metadata.name,
        model=node.metadata.labels.model,
        capacity=max(units(node.status.capacity.gpu or 0), _labelled(node)),
        allocatable=units(node.status.allocatable.gpu or 0),
        ready=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions),
        schedulable=not node.spec.unschedulable,
    )


def _labelled(node: Node) -> int:
    """Whatever somebody writes there: what is no number says nothing."""
    told = node.metadata.labels.gpus
    return int(told) if told.isascii() and told.isdecimal() and len(told) < _DIGITS else 0


def pod_facts(pod: Pod) -> PodFacts | None:
    """Of a pod's object; None for one that has ended, or that holds no GPU and belongs to no Job."""
    if pod.status.phase in _TERMINAL:
        return None
    node = pod.spec.node_name
    job_uid = next((o.uid for o in pod.metadata.owner_references if o.controller and o.kind == "Job"), "")
    gpus = pod.spec.amounts.gpus if node else 0
    stuck = _stuck(pod) if job_uid else None
    if not gpus and stuck is None:
        return None
    leaving = pod.metadata.deletion_timestamp is not None
    return PodFacts(node, gpus, job_uid, stuck, interned(pod.metadata.namespace), leaving)


def _stuck(pod: Pod) -> Reason | None:
    status = pod.status
    if not pod.spec.node_name:
        for condition in status.conditions:
            if condition.type == "PodScheduled" and condition.reason == "Unschedulable":
                return of_scheduler(condition.message)
        return None
    for container in (*status.init_container_statuses, *status.container_statuses):
        waits = container.state.waiting
        if waits is not None and (reason := of_container(waits.reason)) is not None:
            return reason
    return None


class Fleet:
    """All nodes, and the pods on them. A node's allocated GPUs: of pods bound to it that have not ended."""

    def __init__(self, store: Store, site: str) -> None:
        self._store = store
        self._site = site
        self._nodes: dict[str, NodeFacts] = {}
        self._allocated: Counter[str] = Counter()
        self._shown: set[str] = set()

    def put(self, facts: NodeFacts) -> None:
        """A node is there, or has changed."""
        old = self._nodes.get(facts.name)
        if old == facts:
            return
        if old is not None and old.uid != facts.uid:
            self._store.drop(old.uid)
        self._nodes[facts.name] = facts
        self._show(facts)

    def drop(self, name: str) -> None:
        """A node is gone."""
        old = self._nodes.pop(name, None)
        if old is not None:
            self._store.drop(old.uid)

    def names(self) -> set[str]:
        """Of all nodes."""
        return set(self._nodes)

    def hold(self, node: str, gpus: int) -> None:
        """Pods on a node hold so many GPUs more, or fewer."""
        self._allocated[node] += gpus
        if node in self._nodes:
            self._show(self._nodes[node])

    def show(self) -> None:
        """Hand the sums by model to the store."""
        allocatable: Counter[str] = Counter()
        allocated: Counter[str] = Counter()
        for facts in self._nodes.values():
            if facts.capacity or self._allocated[facts.name]:
                allocatable[facts.model] += facts.allocatable
                allocated[facts.model] += self._allocated[facts.name]
        for model in allocatable:
            self._store.set("antenna_gpus_allocatable", (self._site, model), allocatable[model])
            self._store.set("antenna_gpus_allocated", (self._site, model), allocated[model])
        for model in self._shown - set(allocatable):
            self._store.remove("antenna_gpus_allocatable", (self._site, model))
            self._store.remove("antenna_gpus_allocated", (self._site, model))
        self._shown = set(allocatable)

    def _show(self, facts: NodeFacts) -> None:
        node = (self._site, facts.name)
        gpus = (*node, facts.model)
        allocated = self._allocated[facts.name]
        samples: list[tuple[str, tuple[str, ...], float]] = [
            ("antenna_node_ready", node, facts.ready),
            ("antenna_node_schedulable", node, facts.schedulable),
        ]
        if facts.capacity or allocated:
            samples += [
                ("antenna_node_gpus_capacity", gpus, facts.capacity),
                ("antenna_node_gpus_allocatable", gpus, facts.allocatable),
                ("antenna_node_gpus_allocated", gpus, allocated),
            ]
        self._store.put(facts.uid, samples)


class Holders:
    """The partners whose pods hold GPUs: by namespace, whatever queue a pod came by, or none."""

    def __init__(self, store: Store, places: Places, site: str) -> None:
        self._store = store
        self._places = places
        self._site = site
        self._running: Counter[str] = Counter()
        self._shown: set[str] = set()

    def hold(self, namespace: str, gpus: int) -> None:
        """Pods of a namespace hold so many GPUs more, or fewer."""
        self._running[namespace] += gpus

    def show(self) -> None:
        """Hand every partner's sum to the store."""
        running: Counter[str] = Counter()
        for namespace, partner in self._places.partners.items():
            running[partner.tenant] += self._running[namespace]
        for tenant, gpus in running.items():
            self._store.set(RUNNING, (self._site, tenant), gpus)
        for tenant in self._shown - set(running):
            self._store.remove(RUNNING, (self._site, tenant))
        self._shown = set(running)


class Nodes:
    """The stream of nodes, as ``node_facts`` reads them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def replace(self, objects: Iterable[NodeFacts]) -> None:
        """All there are."""
        gone = self._fleet.names()
        for obj in objects:
            gone.discard(obj.name)
            self.apply(obj)
        for name in gone:
            self._fleet.drop(name)

    def apply(self, obj: NodeFacts) -> None:
        """A new or changed one."""
        self._fleet.put(obj)

    def delete(self, obj: NodeFacts) -> None:
        """One that is gone."""
        self._fleet.drop(obj.name)


class Pods:
    """The stream of pods, as ``seen`` reads them. ``stuck`` is told when what keeps a Job's pods changes."""

    def __init__(self, fleet: Fleet, holders: Holders, stuck: Callable[[str, Reason | None], None]) -> None:
        self._fleet = fleet
        self._holders = holders
        self._tell = stuck
        self._pods: dict[str, PodFacts] = {}
        self._stuck: dict[str, dict[str, Reason]] = {}

    def replace(self, objects: Iterable[SeenPod]) -> None:
        """All there are."""
        gone = set(self._pods)
        for obj in objects:
            gone.discard(obj.uid)
            self.apply(obj)
        for uid in gone:
            self._put(uid, None)

    def apply(self, obj: SeenPod) -> None:
        """A new or changed one."""
        self._put(*obj)

    def delete(self, obj: SeenPod) -> None:
        """One that is gone, or has ended."""
        self._put(obj.uid, None)

    def _put(self, uid: str, new: PodFacts | None) -> None:
        old = self._pods.get(uid)
        if old == new:
            return
        if new is None:
            del self._pods[uid]
        else:
            self._pods[uid] = new
        for facts, sign in ((old, -1), (new, 1)):
            if facts is not None and facts.gpus:
                self._fleet.hold(facts.node, sign * facts.gpus)
                # What was told to end has given its quota back already.
                if not facts.leaving:
                    self._holders.hold(facts.namespace, sign * facts.gpus)
        if old is not None and old.stuck is not None:
            self._say(uid, old.job_uid, None)
        if new is not None and new.stuck is not None:
            self._say(uid, new.job_uid, new.stuck)

    def _say(self, uid: str, job_uid: str, reason: Reason | None) -> None:
        """Of several stuck pods of a Job, the one that came first tells."""
        of_job = self._stuck.setdefault(job_uid, {})
        if reason is None:
            of_job.pop(uid, None)
        else:
            of_job[uid] = reason
        if not of_job:
            del self._stuck[job_uid]
        self._tell(job_uid, next(iter(of_job.values()), None))
