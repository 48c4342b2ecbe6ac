"""The admission checks ``budget`` and ``site-health``: what they let go, and what users read if not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from fractions import Fraction

from operators.api.remote_site import Maintenance
from operators.dispatch.placement import Place
from operators.dispatch.workload import Verdict
from operators.queues import BUDGET, SITE_HEALTH
from operators.sites.model import Partition
from operators.usage import billing, budgets


@dataclass(frozen=True)
class Health:
    """Whether a site can be sent work."""

    answers: bool
    message: str
    """Fit for users."""


UNKNOWN = Health(False, "has not been asked yet")


def estimate(place: Place, partition: Partition, seconds: int) -> Fraction:
    """What the job costs at most, in the partition's unit: what it asks for, up to its time limit."""
    return billing.estimate(
        partition,
        nodes=place.nodes,
        seconds=seconds,
        gpus_per_node=place.gpus_per_node,
        cores=place.nodes * (place.cores_per_node or 0),
        memory_mib=place.nodes * (place.memory_gib_per_node or 0) * 1024,
    )


def budget(
    place: Place,
    title: str,
    costs: Fraction,
    *,
    remaining: Fraction | None,
    reserved: Fraction,
    overdraws: bool = False,
    trouble: str = "",
) -> Verdict:
    """Whether what is left, less what running work may still use, pays for a job at most.

    ``overdraws``: what the site lets a project overdraw is in it. ``trouble``: why nobody can say what is
    left; then nothing is let go.
    """
    where = f"{place.project} at {title}"
    if trouble:
        return Verdict(False, f"nothing can be charged to {where}: {trouble}")
    if remaining is None:
        return Verdict(False, f"the budget of {where} is not known yet")
    left = remaining - reserved
    debt = ", with what may be overdrawn" if overdraws else ""
    if costs <= left:
        shown = budgets.shown(left)
        return Verdict(True, f"costs at most {budgets.shown(costs)} {place.unit} of {shown} left{debt}")
    rest = budgets.shown(max(left, Fraction(0)))
    kept = f" ({budgets.shown(reserved)} more are reserved by work that was let go)" if reserved else ""
    return Verdict(
        False,
        f"costs up to {budgets.shown(costs)} {place.unit}, and {where} has {rest} left{debt}{kept}; "
        "a shorter timeLimit or fewer nodes cost less",
    )


def site_health(title: str, health: Health, maintenance: Maintenance | None, now: float) -> Verdict:
    """Whether the site answers, and nobody has announced that it is worked on at ``now``."""
    if maintenance is not None and now < maintenance.until.timestamp():
        until = f"{maintenance.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return Verdict(False, f"{title} is in maintenance until {until}: {maintenance.because}")
    return Verdict(health.answers, f"{title} {health.message}")


def verdicts(money: Verdict, health: Verdict) -> Mapping[str, Verdict]:
    """Both, by the checks' names."""
    return {BUDGET: money, SITE_HEALTH: health}
