"""Queues: their quota, and what Workloads ask of it and hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from operators.collectors.gauges import Gauges
from operators.collectors.jobs import STATES
from operators.collectors.tenants import Places
from operators.collectors.workloads import WorkloadFacts
from operators.kube.objects import NOTHING, Amounts, ClusterQueue, milli, units
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


class QueueFacts(NamedTuple):
    """The few facts that are kept of a ClusterQueue."""

    name: str
    tenant: str
    quotas: Quotas


def queue_facts(queue: ClusterQueue) -> QueueFacts:
    """Of a ClusterQueue's object. Raises ValueError on a quota that is no quantity."""
    return QueueFacts(queue.metadata.name, queue.metadata.labels.tenant, quotas(queue))


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
        self._sums: dict[tuple[str, str], Amounts] = {}
        """Reserved by (queue, flavor); requested by (queue, no flavor)."""
        self._unsettled: set[tuple[str, str]] = set()
        """Those that the gauges are behind of."""

    def change(self, old: WorkloadFacts | None, new: WorkloadFacts | None) -> None:
        """Count a Workload as it is now in place of what it was; None where there is, or was, none."""
        before, after = self._shares(old), self._shares(new)
        for share in before:
            if share not in after:
                self._add(*share, -1)
        for share in after:
            if share not in before:
                self._add(*share, 1)

    def set_quotas(self, queue: str, given: Quotas) -> None:
        """The quotas of a queue; none for a queue that is gone."""
        for flavor in {*self._quotas.get(queue, {}), *given}:
            self._quota(queue, flavor, given.get(flavor, NOTHING))
        self._quotas[queue] = given

    def recount(self) -> None:
        """Show every queue's quota and states, after the gauges were cleared; no Workload is counted."""
        self._sums.clear()
        self._unsettled.clear()
        for queue, given in self._quotas.items():
            self.set_quotas(queue, given)

    def settle(self) -> None:
        """Hand what changed to the gauges."""
        for queue, flavor in self._unsettled:
            sums = self._sums.get((queue, flavor), NOTHING)
            if flavor:
                own = self._quotas.get(queue, {}).get(flavor, NOTHING)
                more = [max(0, amount - nominal) for amount, nominal in zip(sums, own, strict=True)]
                self._put(_RESERVED, queue, sums, flavor)
                self._put(_BORROWED, queue, more, flavor)
            else:
                self._put(_REQUESTED, queue, sums)
        self._unsettled.clear()

    def _shares(self, workload: WorkloadFacts | None) -> list[tuple[str, str, Amounts]]:
        """(queue, flavor, amounts) that a Workload adds; without a flavor, what it asks for."""
        if workload is None:
            return []
        # Quota that it holds tells its queue; what waits is where its LocalQueue leads.
        queue = workload.cluster_queue or self._places.queue(workload.namespace, workload.queue_name)
        if not queue:
            return []  # it names a queue that is not there: no queue has figures of it
        held = [(queue, flavor, amounts) for flavor, amounts in workload.held]
        return [(queue, "", wanted(workload)), *held]

    def _add(self, queue: str, flavor: str, amounts: Amounts, sign: int) -> None:
        key = queue, flavor
        self._sums[key] = self._sums.get(key, NOTHING).plus(amounts.times(sign))
        self._unsettled.add(key)

    def _quota(self, queue: str, flavor: str, amounts: Amounts) -> None:
        for state in STATES:
            self._gauges.add("antenna_queue_jobs", (*self._key(queue), state), 0)
        self._put(_QUOTA, queue, amounts, flavor)
        self._unsettled |= {(queue, ""), (queue, flavor)}

    def _put(self, families: Sequence[str], queue: str, amounts: Iterable[int], *flavor: str) -> None:
        labels = (*self._key(queue), *flavor)
        for family, amount in zip(families, amounts, strict=True):
            self._gauges.put(family, labels, amount)

    def _key(self, queue: str) -> tuple[str, str, str]:
        return self._site, queue, self._places.owner(queue)


class ClusterQueues:
    """The stream of ClusterQueues, as ``queue_facts`` reads them: whose they are, and their quotas."""

    def __init__(self, gauges: Gauges, places: Places, usage: Usage, arrived: Callable[[], None]) -> None:
        self._gauges = gauges
        self._places = places
        self._usage = usage
        self._arrived = arrived
        self._known: set[str] = set()

    def replace(self, objects: Iterable[QueueFacts]) -> None:
        """All there are."""
        gone = set(self._known)
        for obj in objects:
            gone.discard(obj.name)
            self.apply(obj)
        for name in gone:
            self._drop(name)
        self._arrived()

    def apply(self, obj: QueueFacts) -> None:
        """A new or changed one."""
        self._known.add(obj.name)
        self._gauges.keep(self._known)
        self._places.put(self._places.owners, obj.name, obj.tenant)
        self._usage.set_quotas(obj.name, obj.quotas)

    def delete(self, obj: QueueFacts) -> None:
        """One that is gone."""
        self._drop(obj.name)

    def _drop(self, name: str) -> None:
        self._known.discard(name)
        self._gauges.keep(self._known)
        self._usage.set_quotas(name, {})
        self._places.put(self._places.owners, name, None)
