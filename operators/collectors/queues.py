"""Queues: their quota, and what Workloads ask of it and hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from operators.collectors.gauges import Gauges
from operators.collectors.jobs import STATES
from operators.collectors.tenants import Places
from operators.collectors.workloads import WorkloadFacts
from operators.objects import NOTHING, Amounts, ClusterQueue, milli, units
from operators.queues import GPU

RESOURCES: Final = ("gpus", "cpu_cores", "memory_bytes")
"""As families name them, in the order of ``Amounts``."""

_REQUESTED: Final = tuple(f"antenna_queue_{resource}_requested" for resource in RESOURCES)
_RESERVED: Final = tuple(f"antenna_queue_{resource}_reserved" for resource in RESOURCES)
_QUOTA: Final = tuple(f"antenna_queue_{resource}_quota" for resource in RESOURCES)
_BORROWED: Final = tuple(f"antenna_queue_{resource}_borrowed" for resource in RESOURCES)

Quotas = dict[str, Amounts]
"""flavor -> nominal quota."""


def quotas(queue: ClusterQueue) -> Quotas:
    """The nominal quotas of a ClusterQueue."""
    found: Quotas = {}
    for group in queue.spec.resource_groups:
        for flavor in group.flavors:
            given = {r.name: r.nominal_quota for r in flavor.resources}
            if not given.keys() & {GPU, "cpu", "memory"}:
                continue  # of a remote site: its figures are its own
            found[flavor.name] = Amounts(
                units(given.get(GPU, 0)), milli(given.get("cpu", 0)), units(given.get("memory", 0))
            )
    return found


def wanted(workload: WorkloadFacts) -> Amounts:
    """What it asks of its queue: nothing once it has ended, or while it is switched off without quota."""
    if workload.finished or not (workload.active or workload.held):
        return NOTHING
    return workload.wanted


class Usage:
    """The figures of queues by resource and flavor, from Workloads and quotas.

    ``requested``: of Workloads that are pending or hold quota. ``reserved``: quota that is held.
    ``borrowed``: max(0, reserved - nominal), by flavor.
    """

    def __init__(self, gauges: Gauges, places: Places, site: str) -> None:
        self._gauges = gauges
        self._places = places
        self._site = site
        self._quotas: dict[str, Quotas] = {}

    def count(self, workload: WorkloadFacts, sign: int) -> None:
        """Count a Workload in (1) or out (-1)."""
        # Quota that it holds tells its queue; what waits is where its LocalQueue leads.
        queue = workload.cluster_queue or self._places.queue(workload.namespace, workload.queue_name)
        key = self._key(queue)
        add = self._gauges.add
        for family, amount in zip(_REQUESTED, wanted(workload), strict=True):
            if amount:
                add(family, key, sign * amount)
        for flavor, amounts in workload.held:
            labels = (*key, flavor)
            for family, amount in zip(_RESERVED, amounts, strict=True):
                if amount:
                    add(family, labels, sign * amount)
            self._borrow(queue, flavor)

    def set_quotas(self, queue: str, given: Quotas) -> None:
        """The quotas of a queue; none for a queue that is gone."""
        for flavor in {*self._quotas.get(queue, {}), *given}:
            self._quota(queue, flavor, given.get(flavor, NOTHING))
        self._quotas[queue] = given
        for flavor in given:
            self._borrow(queue, flavor)

    def recount(self) -> None:
        """Show every queue's quota and states, after the gauges were cleared."""
        for queue, given in self._quotas.items():
            self.set_quotas(queue, given)

    def _quota(self, queue: str, flavor: str, amounts: Amounts) -> None:
        key = self._key(queue)
        for state in STATES:
            self._gauges.add("antenna_queue_jobs", (*key, state), 0)
        for family in _REQUESTED:
            self._gauges.add(family, key, 0)
        for family, reserved, amount in zip(_QUOTA, _RESERVED, amounts, strict=True):
            self._gauges.put(family, (*key, flavor), amount)
            self._gauges.add(reserved, (*key, flavor), 0)

    def _borrow(self, queue: str, flavor: str) -> None:
        labels = (*self._key(queue), flavor)
        own = self._quotas.get(queue, {}).get(flavor, NOTHING)
        for family, reserved, amount in zip(_BORROWED, _RESERVED, own, strict=True):
            self._gauges.put(family, labels, max(0, self._gauges.value(reserved, labels) - amount))

    def _key(self, queue: str) -> tuple[str, str, str]:
        return self._site, queue, self._places.owner(queue)


class ClusterQueues:
    """ClusterQueues: whose they are, and their quotas."""

    def __init__(self, gauges: Gauges, places: Places, usage: Usage, arrived: Callable[[], None]) -> None:
        self._gauges = gauges
        self._places = places
        self._usage = usage
        self._arrived = arrived
        self._known: set[str] = set()

    def replace(self, objects: Iterable[ClusterQueue]) -> None:
        """All there are."""
        gone = set(self._known)
        for obj in objects:
            gone.discard(obj.metadata.name)
            self.apply(obj)
        for name in gone:
            self._drop(name)
        self._arrived()

    def apply(self, obj: ClusterQueue) -> None:
        """A new or changed one."""
        name = obj.metadata.name
        self._known.add(name)
        self._gauges.keep(self._known)
        self._places.put(self._places.owners, name, obj.metadata.labels.tenant)
        self._usage.set_quotas(name, quotas(obj))

    def delete(self, obj: ClusterQueue) -> None:
        """One that is gone."""
        self._drop(obj.metadata.name)

    def _drop(self, name: str) -> None:
        self._known.discard(name)
        self._gauges.keep(self._known)
        self._usage.set_quotas(name, {})
        self._places.put(self._places.owners, name, None)
