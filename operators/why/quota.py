"""What a queue may take now, and at most: Kueue's arithmetic over one level of cohort.

Source: pkg/cache/scheduler/resource_node.go of Kueue v0.19 (available, potentialAvailable).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from operators.why.facts import Amounts, Cohort, Queue, Quota

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
    total, used = _shared(flavor, resource, cohort)
    return max(_NONE, total - used)


def total(flavor: str, resource: str, cohort: Cohort) -> Decimal:
    """All quota of the cohort, whoever's it is."""
    key = (flavor, resource)
    own = cohort.pool.get(key, _ABSENT).nominal
    return own + sum((q.quotas.get(key, _ABSENT).nominal for q in cohort.queues), _NONE)


def _short(asks: Amounts, flavor: str, queue: Queue, cohort: Cohort | None) -> Iterator[Shortage]:
    for resource, asked in asks.items():
        quota = queue.quotas.get((flavor, resource), _ABSENT)
        available, most = _limits(quota, flavor, resource, cohort)
        if asked > available:
            yield Shortage(flavor, resource, asked, available, most)


def _closeness(short: list[Shortage]) -> tuple[bool, int]:
    return any(s.forever for s in short), len(short)


def _limits(quota: Quota, flavor: str, resource: str, cohort: Cohort | None) -> tuple[Decimal, Decimal]:
    """(what the queue may take now, what it could ever take)."""
    if cohort is None:
        return quota.nominal - quota.reserved, quota.nominal
    own = _guaranteed(quota)
    shared, used = _shared(flavor, resource, cohort)
    from_cohort = shared - used
    most = own + shared
    if quota.borrowing_limit is not None:
        in_cohort = quota.nominal - own
        used_there = max(_NONE, quota.reserved - own)
        from_cohort = min(in_cohort - used_there + quota.borrowing_limit, from_cohort)
        most = min(most, quota.nominal + quota.borrowing_limit)
    return max(_NONE, own - quota.reserved) + from_cohort, most


def _shared(flavor: str, resource: str, cohort: Cohort) -> tuple[Decimal, Decimal]:
    """(what the cohort's queues put into the common pot with what is in it, what of it is taken)."""
    key = (flavor, resource)
    quotas = [queue.quotas.get(key, _ABSENT) for queue in cohort.queues]
    pot = cohort.pool.get(key, _ABSENT).nominal + sum((q.nominal - _guaranteed(q) for q in quotas), _NONE)
    return pot, sum((max(_NONE, q.reserved - _guaranteed(q)) for q in quotas), _NONE)


def _guaranteed(quota: Quota) -> Decimal:
    """What it never lends."""
    return _NONE if quota.lending_limit is None else max(_NONE, quota.nominal - quota.lending_limit)
