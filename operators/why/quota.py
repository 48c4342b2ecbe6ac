"""What a queue may take now, and at most: Kueue's arithmetic over a tree of cohorts.

Source: pkg/cache/scheduler/resource_node.go of Kueue v0.19 (available, potentialAvailable).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from operators.why.facts import Amounts, Cohort, Queue, Quota

_Key = tuple[str, str]
"""(flavor, resource)."""
_NONE = Decimal(0)
_ABSENT = Quota(_NONE)


@dataclass(frozen=True)
class Shortage:
    """A resource of which a queue cannot give enough on one flavor."""

    flavor: str
    resource: str
    asked: Decimal
    available: Decimal
    """What the queue may take now: unused quota and what it may borrow. Below 0 where others hold its own."""
    most: Decimal
    """What it could get if nobody else ran anything."""

    @property
    def forever(self) -> bool:
        """Whether no waiting helps."""
        return self.asked > self.most

    @property
    def lacking(self) -> Decimal:
        """How much must come free."""
        return self.asked - self.available


def shortages(asks: Amounts, queue: Queue, cohort: Cohort | None) -> list[Shortage]:
    """What stands between the work and its quota; empty when it fits now.

    Of each resource group the flavor that comes closest: one that can ever fit before one that cannot,
    then the one that lacks resources in the fewest ways, then Kueue's order.
    """
    found: list[Shortage] = []
    for group in queue.groups:
        covered = {resource for flavor, resource in queue.quotas if flavor in group}
        wanted = {r: amount for r, amount in asks.items() if r in covered and amount}
        tries = [list(_short(wanted, flavor, queue, cohort)) for flavor in group]
        if tries:
            closest = min(tries, key=_closeness)
            found += closest
    return sorted(found, key=lambda s: (not s.forever, s.resource != "nvidia.com/gpu", s.resource))


def uncovered(asks: Amounts, queue: Queue) -> list[str]:
    """Resources that the work asks for and that the queue knows nothing of."""
    covered = {resource for _, resource in queue.quotas}
    return sorted(r for r, amount in asks.items() if amount and r not in covered)


def idle(flavor: str, resource: str, cohort: Cohort) -> Decimal:
    """What nobody of the cohort uses now, as far as its owners lend it."""
    total, used = _subtree(cohort, (flavor, resource))
    return max(_NONE, total - used)


def total(flavor: str, resource: str, cohort: Cohort) -> Decimal:
    """All quota of the cohort, whoever's it is."""
    key = (flavor, resource)
    own = cohort.pool.get(key, _ABSENT).nominal
    below = sum((total(flavor, resource, child) for child in cohort.children), _NONE)
    return own + below + sum((q.quotas.get(key, _ABSENT).nominal for q in cohort.queues), _NONE)


def _short(asks: Amounts, flavor: str, queue: Queue, cohort: Cohort | None) -> Iterator[Shortage]:
    for resource, asked in asks.items():
        available, most = _limits(queue, (flavor, resource), cohort)
        if asked > available:
            yield Shortage(flavor, resource, asked, available, most)


def _closeness(short: list[Shortage]) -> tuple[bool, int]:
    return any(s.forever for s in short), len(short)


def _limits(queue: Queue, key: _Key, cohort: Cohort | None) -> tuple[Decimal, Decimal]:
    """(what the queue may take now, what it could ever take)."""
    quota = queue.quotas.get(key, _ABSENT)
    above = None if cohort is None else _of_path(_path(queue.cohort, cohort), key)
    return _bounded(quota, quota.nominal, quota.reserved, above)


def _of_path(path: tuple[Cohort, ...], key: _Key) -> tuple[Decimal, Decimal]:
    """The same of the last cohort of a path from the root."""
    *above, cohort = path
    subtree, used = _subtree(cohort, key)
    from_above = _of_path(tuple(above), key) if above else None
    return _bounded(cohort.pool.get(key, _ABSENT), subtree, used, from_above)


def _bounded(
    quota: Quota, subtree: Decimal, used: Decimal, above: tuple[Decimal, Decimal] | None
) -> tuple[Decimal, Decimal]:
    """(available, potentialAvailable) of a node with this subtree quota and usage, and its parent's."""
    if above is None:
        return subtree - used, subtree
    local = _local(quota, subtree)
    available, most = above[0], local + above[1]
    if quota.borrowing_limit is not None:
        stored, used_there = subtree - local, max(_NONE, used - local)
        available = min(stored - used_there + quota.borrowing_limit, available)
        most = min(subtree + quota.borrowing_limit, most)
    return max(_NONE, local - used) + available, most


def _subtree(cohort: Cohort, key: _Key) -> tuple[Decimal, Decimal]:
    """(what the cohort has and its children lend it, what of it is taken)."""
    parts = [(q, q.nominal, q.reserved) for q in (queue.quotas.get(key, _ABSENT) for queue in cohort.queues)]
    parts += [(child.pool.get(key, _ABSENT), *_subtree(child, key)) for child in cohort.children]
    subtree, used = cohort.pool.get(key, _ABSENT).nominal, _NONE
    for quota, has, taken in parts:
        local = _local(quota, has)
        subtree, used = subtree + has - local, used + max(_NONE, taken - local)
    return subtree, used


def _path(name: str, cohort: Cohort) -> tuple[Cohort, ...]:
    """The cohorts from this one down to that of the name; this one alone where it is not below it."""
    for child in cohort.children:
        if name in (below := tuple(c.name for c in _path(name, child))):
            return (cohort, *_path(name, child)[: below.index(name) + 1])
    return (cohort,)


def _local(quota: Quota, subtree: Decimal) -> Decimal:
    """What a node never lends."""
    return _NONE if quota.lending_limit is None else max(_NONE, subtree - quota.lending_limit)
