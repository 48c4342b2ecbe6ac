"""Whose a namespace and a queue are, by what the cluster itself says.

A partner's objects carry its name as a label that only the platform can write; nothing that a user
writes on a Job decides what it is counted under.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from operators.exposition.store import Store
from operators.kube.objects import LocalQueue, Namespace, Tenant

K = TypeVar("K")
V = TypeVar("V")


class Partner(NamedTuple):
    """A partner; all empty for what is nobody's."""

    tenant: str = ""
    ecosystem: str = ""
    sector: str = ""
    """The first of its sectors."""
    title: str = ""


NOBODY = Partner()


class Places:
    """Where work goes by its namespace and LocalQueue, and whose it is.

    ``moved`` is set when an answer changes: what was counted by the old ones is to be counted anew.
    """

    def __init__(self) -> None:
        self.moved = False
        self.partners: dict[str, Partner] = {}
        """By namespace."""
        self.cluster_queues: dict[tuple[str, str], str] = {}
        """By (namespace, LocalQueue)."""
        self.owners: dict[str, str] = {}
        """Tenants by ClusterQueue."""

    def partner(self, namespace: str) -> Partner:
        """Whose the namespace is."""
        return self.partners.get(namespace, NOBODY)

    def queue(self, namespace: str, local_queue: str) -> str:
        """The ClusterQueue behind a LocalQueue; empty where there is no such LocalQueue."""
        return self.cluster_queues.get((namespace, local_queue), "")

    def owner(self, queue: str) -> str:
        """Whose the ClusterQueue is."""
        return self.owners.get(queue, "")

    def put(self, where: dict[K, V], key: K, value: V | None) -> None:
        """Set one entry of one of the maps; None takes it away."""
        if where.get(key) == value:
            return
        if value is None:
            del where[key]
        else:
            where[key] = value
        self.moved = True

    def put_all(self, where: dict[K, V], entries: dict[K, V]) -> None:
        """Set one of the maps."""
        if where != entries:
            where.clear()
            where.update(entries)
            self.moved = True


class Namespaces:
    """Namespaces: whose they are."""

    def __init__(self, places: Places, arrived: Callable[[], None]) -> None:
        self._places = places
        self._arrived = arrived

    def replace(self, objects: Iterable[Namespace]) -> None:
        """All there are."""
        partners = {o.metadata.name: p for o in objects if (p := partner(o)) != NOBODY}
        self._places.put_all(self._places.partners, partners)
        self._arrived()

    def apply(self, obj: Namespace) -> None:
        """A new or changed one."""
        whose = partner(obj)
        self._places.put(self._places.partners, obj.metadata.name, None if whose == NOBODY else whose)

    def delete(self, obj: Namespace) -> None:
        """One that is gone."""
        self._places.put(self._places.partners, obj.metadata.name, None)


class LocalQueues:
    """LocalQueues: which ClusterQueue is behind each."""

    def __init__(self, places: Places, arrived: Callable[[], None]) -> None:
        self._places = places
        self._arrived = arrived

    def replace(self, objects: Iterable[LocalQueue]) -> None:
        """All there are."""
        queues = {(o.metadata.namespace, o.metadata.name): o.spec.cluster_queue for o in objects}
        self._places.put_all(self._places.cluster_queues, queues)
        self._arrived()

    def apply(self, obj: LocalQueue) -> None:
        """A new or changed one."""
        key = (obj.metadata.namespace, obj.metadata.name)
        self._places.put(self._places.cluster_queues, key, obj.spec.cluster_queue)

    def delete(self, obj: LocalQueue) -> None:
        """One that is gone."""
        key = (obj.metadata.namespace, obj.metadata.name)
        self._places.put(self._places.cluster_queues, key, None)


class Tenants:
    """Tenants: who the partners are, and whether their objects are as they should be."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shown: dict[str, tuple[str, ...]] = {}

    def replace(self, objects: Iterable[Tenant]) -> None:
        """All there are."""
        gone = set(self._shown)
        for obj in objects:
            gone.discard(obj.metadata.name)
            self.apply(obj)
        for name in gone:
            self._drop(name)

    def apply(self, obj: Tenant) -> None:
        """A new or changed one."""
        name, spec = obj.metadata.name, obj.spec
        labels = (name, spec.ecosystem, next(iter(spec.sectors), ""), spec.title)
        if self._shown.get(name) != labels:
            self._drop(name)
            self._shown[name] = labels
            self._store.set("antenna_tenant_info", labels, 1)
        ready = any(c.type == "Ready" and c.status == "True" for c in obj.status.conditions)
        self._store.set("antenna_tenant_ready", (name,), ready)

    def delete(self, obj: Tenant) -> None:
        """One that is gone."""
        self._drop(obj.metadata.name)

    def _drop(self, name: str) -> None:
        labels = self._shown.pop(name, None)
        if labels is not None:
            self._store.remove("antenna_tenant_info", labels)
            self._store.remove("antenna_tenant_ready", (name,))


def partner(namespace: Namespace) -> Partner:
    """Whose a namespace is, by the labels and annotations that every partner's namespace has."""
    labels, annotations = namespace.metadata.labels, namespace.metadata.annotations
    if not labels.tenant:
        return NOBODY
    sector = annotations.sectors.split(",")[0].strip()
    return Partner(labels.tenant, labels.ecosystem, sector, annotations.title)
