"""The admission checks ``budget`` and ``site-health``: what they let go, and what users read if not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from operators.dispatch.placement import Place
from operators.dispatch.workload import Verdict
from operators.queues import BUDGET, SITE_HEALTH
from operators.sites.access import Resources
from operators.sites.model import Partition


class Budgets(Protocol):
    """What partners have left of what remote sites granted them."""

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        """Granted and not yet used, in ``unit``; None while that is not known."""


Cost = Callable[[Partition, Resources, int], Fraction]
"""The cost of so much for so many seconds in a partition, in the unit that it bills in."""


@dataclass(frozen=True)
class Health:
    """Whether a site can be sent work."""

    answers: bool
    message: str
    """Fit for users."""


UNKNOWN = Health(False, "has not been asked yet")


def estimate(place: Place, partition: Partition, seconds: int, cost: Cost) -> Fraction:
    """What the job costs at most: all that it asks for, for all of its time limit."""
    cores = place.cores_per_node or partition.cores_per_node or 0
    if not place.whole_nodes:
        cores = place.cores_per_node or 1
    asked = Resources(
        nodes=place.nodes,
        cores=place.nodes * cores,
        gpus=place.nodes * place.gpus_per_node,
        memory_mib=place.nodes * (place.memory_gib_per_node or 0) * 1024,
    )
    return cost(partition, asked, seconds)


def budget(
    place: Place, title: str, costs: Fraction, remaining: Fraction | None, reserved: Fraction
) -> Verdict:
    """Whether what is left, less what running work may still use, pays for a job at most."""
    where = f"{place.project} at {title}"
    if remaining is None:
        return Verdict(False, f"the budget of {where} is not known yet")
    left = remaining - reserved
    if costs <= left:
        return Verdict(True, f"costs at most {shown(costs)} {place.unit} of {shown(left)} left")
    kept = f" ({shown(reserved)} more are reserved by work that was let go)" if reserved else ""
    return Verdict(
        False,
        f"costs up to {shown(costs)} {place.unit}, and {where} has {shown(max(left, Fraction(0)))} left{kept}; "
        "a shorter timeLimit or fewer nodes cost less",
    )


def site_health(title: str, health: Health) -> Verdict:
    """Whether the site answers."""
    return Verdict(health.answers, f"{title} {health.message}")


def verdicts(money: Verdict, health: Verdict) -> Mapping[str, Verdict]:
    """Both, by the checks' names."""
    return {BUDGET: money, SITE_HEALTH: health}


def shown(amount: Fraction) -> str:
    """An amount for people, to two decimals: 12, 0.5, 1.33."""
    return f"{float(amount):,.2f}".rstrip("0").rstrip(".")
