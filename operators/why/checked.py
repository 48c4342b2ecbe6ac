"""Work that an admission check, its owner or Kueue for good holds back."""

from __future__ import annotations

from operators.reasons import Condition, Reason
from operators.why import words
from operators.why.explanation import Explanation
from operators.why.facts import Check, Facts, Work


def held_back(facts: Facts, work: Work) -> Explanation:
    """Its Workload is set inactive: by its owner, or by Kueue for good."""
    evicted = work.conditions.get("Evicted", Condition("Unknown"))
    since = work.changed.get("Evicted")
    waited = words.lasted(since or work.created, facts.now)
    job = facts.job
    if "AdmissionCheck" in evicted.reason:
        # "The workload is deactivated due to AdmissionCheck in Rejected state: "budget" (no budget is left)"
        _, _, verdict = evicted.message.partition("state: ")
        return Explanation(
            Reason.ADMISSION_CHECK_REJECTED,
            f"{job.name} was rejected {waited} ago by an admission check: "
            f"{words.clause(verdict or evicted.message)}.",
            "It does not start by itself any more: mend what the check asks for and submit the job again.",
            since,
        )
    by_kueue = evicted.reason.startswith("DeactivatedDueTo") and evicted.status == "True"
    cause = f"Kueue: {words.clause(evicted.message)}" if by_kueue else "its owner (spec.active is false)"
    return Explanation(
        Reason.SUSPENDED,
        f"{job.name} has been held back for {waited} by {cause}.",
        f"kubectl -n {job.namespace} patch workload {work.name} --type merge "
        """-p '{"spec":{"active":true}}' lets it queue again.""",
        since or work.created,
    )


def unchecked(facts: Facts, work: Work) -> Explanation:
    """It has quota; its admission checks have not all said yes."""
    open_ = [c for c in work.checks if c.state != "Ready"]
    rank = ("Rejected", "Retry", "Pending")
    first = min(open_, key=lambda c: rank.index(c.state) if c.state in rank else 3, default=Check("", ""))
    since = first.since or work.changed.get("QuotaReserved")
    waited = words.lasted(since, facts.now)
    said = f": {words.clause(first.message)}" if first.message else ""
    job = facts.job
    if not open_:
        return Explanation(Reason.STARTING, f"{job.name} has its quota and starts now.", since=since)
    if first.state in ("Rejected", "Retry"):
        word = "rejected it" if first.state == "Rejected" else "sent it back to try again"
        reason = (
            Reason.ADMISSION_CHECK_REJECTED if first.state == "Rejected" else Reason.ADMISSION_CHECK_PENDING
        )
        return Explanation(
            reason,
            f"{job.name} had its quota, but the admission check {first.name} {word}{said}.",
            since=since,
        )
    more = f" and {len(open_) - 1} more" if len(open_) > 1 else ""
    by = f" ({first.controller})" if first.controller else ""
    return Explanation(
        Reason.ADMISSION_CHECK_PENDING,
        f"{job.name} has its quota and has waited {waited} for the admission check {first.name}{more}{said}.",
        f"The controller of {first.name}{by} must answer.",
        since,
    )
