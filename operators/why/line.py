"""Work in line for quota: what the queue has, what is ahead, who took it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from operators.reasons import Condition, Reason, of_quota
from operators.why import quota, words
from operators.why.explanation import Ahead, Explanation
from operators.why.facts import Facts, Queue, Work
from operators.why.quota import Shortage

_NAMES: Final = 3
_ABSENT: Final = Condition("Unknown")
_MENDED: Final[Mapping[Reason, str]] = {
    Reason.INADMISSIBLE: "Mend that in its template and submit it again.",
    Reason.SUSPENDED: "It queues by itself once whoever holds it lets it go.",
    Reason.GPUS_FRAGMENTED: "Nodes near each other must come free, or submit it again with a wider topology.",
    Reason.BEHIND_OTHERS: "It is looked at again once the pods of the work before it are ready.",
    Reason.QUEUE_MISSING: "Whoever runs the site must mend the queue.",
    Reason.QUEUE_STOPPED: "Whoever runs the site must start the queue again.",
}
"""What helps against what Kueue says."""
_PREEMPTOR: Final = re.compile(r"preemptor path: \S*/(?P<queue>[^/;\s]+)")
# Kueue's reasons: apis/kueue/v1beta2/workload_types.go
_BECAUSE: Final[Mapping[str, str]] = {
    "InCohortReclamation": "{who} took back quota of its own that {queue} had borrowed",
    "InCohortFairSharing": "{who} was due a larger share of what {queue} had borrowed",
    "InCohortReclaimWhileBorrowing": "{who} needed the quota for work of higher priority",
    "InClusterQueue": "work of higher priority in the same queue took its place",
}


@dataclass(frozen=True)
class _Case:
    """A job in line. ``because`` and ``unblock`` are empty where nothing is short."""

    facts: Facts
    work: Work
    queue: Queue
    ahead: Ahead
    since: datetime
    because: str
    unblock: str

    @property
    def lead(self) -> str:
        waited = words.lasted(self.since, self.facts.now)
        return f"{self.facts.job.name} has waited {waited} for {words.asked(self.work.asks)}"

    def says(self, reason: Reason, text: str, unblock: str) -> Explanation:
        return Explanation(reason, text, unblock, self.since, self.ahead)


def in_line(facts: Facts, work: Work, queue: Queue) -> Explanation:
    """Why the job has no quota yet, or never gets any."""
    short = quota.shortages(work.asks, queue, facts.cohort)
    said = work.conditions.get("QuotaReserved", _ABSENT)
    if mismatch := _mismatch(facts, work, queue):
        return mismatch
    if short and short[0].forever and not _comes_free(said):
        return _never(facts, queue, short[0], work.created)
    ahead = _ahead(facts, work, queue)
    case = _Case(
        facts=facts,
        work=work,
        queue=queue,
        ahead=ahead,
        since=work.queued,
        because=_because(facts, queue, short[0], said) if short else "",
        unblock=_unblock(facts, queue, short[0], ahead) if short else "",
    )
    if spoken := _spoken(case, said):
        return spoken
    if work.holds("Evicted"):
        return _evicted(case)
    return _behind(case) if ahead.count else _first(case)


def _comes_free(said: Condition) -> bool:
    """Whether Kueue waits for quota that others hold: what it can never get it calls so."""
    return bool(said.message) and of_quota(said) is Reason.QUOTA_USED_UP


def _spoken(case: _Case, said: Condition) -> Explanation | None:
    """What holds it back but quota, or its turn, in Kueue's own words; None where that is all."""
    evicted = case.work.conditions.get("Evicted", _ABSENT)
    if not said.message or (evicted.status == "True" and said.message == evicted.message):
        return None
    reason = of_quota(said)
    for_others = reason is Reason.BEHIND_OTHERS and said.reason not in ("PendingEvaluation", "")
    if not for_others and reason in (Reason.QUOTA_USED_UP, Reason.BEHIND_OTHERS):
        return None
    unblock = _MENDED.get(reason, "")
    return case.says(reason, f"{case.lead}. Kueue says: {words.clause(said.message)}.", unblock)


def _mismatch(facts: Facts, work: Work, queue: Queue) -> Explanation | None:
    said = work.conditions.get("QuotaReserved", _ABSENT)
    if unknown := quota.uncovered(work.asks, queue):
        return Explanation(
            Reason.FLAVOR_MISMATCH,
            f"{facts.job.name} can never start: it asks for {words.listed(unknown)}, "
            f"and the queue {queue.name} has none.",
            f"Submit it again without {words.listed(unknown)}, or to another queue.",
            work.created,
        )
    if of_quota(said) is Reason.FLAVOR_MISMATCH:
        return Explanation(
            Reason.FLAVOR_MISMATCH,
            f"{facts.job.name} has waited {words.lasted(work.created, facts.now)}: no flavor of "
            f"{queue.name} suits it ({words.clause(said.message)}).",
            "Its node selector and tolerations must suit a flavor of the queue: submit it again with such.",
            work.created,
        )
    return None


def _never(facts: Facts, queue: Queue, short: Shortage, since: datetime) -> Explanation:
    own = queue.quotas[short.flavor, short.resource]
    if facts.cohort is None:
        bound = "its quota, and it is in no cohort to borrow from"
    elif own.borrowing_limit is not None and short.most == own.nominal + own.borrowing_limit:
        borrows = words.plain(short.resource, own.borrowing_limit) if own.borrowing_limit else "nothing"
        bound = f"its quota is {words.plain(short.resource, own.nominal)} and it may borrow {borrows}"
    else:
        bound = f"all that the cohort {facts.cohort.name} has"
    most = words.amount(short.resource, short.most)
    return Explanation(
        Reason.NEVER_FITS,
        f"{facts.job.name} can never start: it asks for {words.amount(short.resource, short.asked)}, "
        f"and the queue {queue.name} could get {most} at most ({bound}).",
        f"Submit it again with at most {most}, or have the quota of {queue.name} raised.",
        since,
    )


def _first(case: _Case) -> Explanation:
    if case.because:
        return case.says(Reason.QUOTA_USED_UP, f"{case.lead}: {case.because}.", case.unblock)
    return case.says(
        Reason.BEHIND_OTHERS,
        f"{case.lead}: there is quota for it, and it is Kueue's next choice.",
        "It starts at Kueue's next round; if this lasts, `antenna doctor` says what is wrong.",
    )


def _behind(case: _Case) -> Explanation:
    jobs = words.count(case.ahead.count, "job")
    asks = f"which {'asks' if case.ahead.count == 1 else 'ask'} for {words.asked(case.ahead.asks)}"
    because = f": {case.because}" if case.because else ""
    return case.says(
        Reason.BEHIND_OTHERS,
        f"{case.lead} behind {jobs} of the queue {case.queue.name}, {asks}{because}.",
        case.unblock or "Kueue looks at them in that order; there is quota for this job now.",
    )


def _evicted(case: _Case) -> Explanation:
    facts, work = case.facts, case.work
    evicted, preempted = (work.conditions.get(k, _ABSENT) for k in ("Evicted", "Preempted"))
    if evicted.reason == "Preempted":
        found = _PREEMPTOR.search(evicted.message)
        template = _BECAUSE.get(preempted.reason, "{who} had a better right to the quota")
        cause = template.format(who=found["queue"] if found else "another queue", queue=case.queue.name)
        reason, word = Reason.PREEMPTED, "preempted"
    else:
        cause, reason, word = words.clause(evicted.message), Reason.EVICTED, "put back into the queue"
    behind = f" behind {words.count(case.ahead.count, 'job')}" if case.ahead.count else ""
    rest, unblock = f": {case.because}" if case.because else "", case.unblock
    if work.retry_at and work.retry_at > facts.now:
        later = words.duration((work.retry_at - facts.now).total_seconds())
        rest, unblock = f" after a pause of {later} more", "It queues again by itself then."
    return case.says(
        reason,
        f"{facts.job.name} was {word} {words.lasted(case.since, facts.now)} ago, because {cause}, "
        f"and waits again for {words.asked(work.asks)}{behind}{rest}.",
        unblock,
    )


def _because(facts: Facts, queue: Queue, short: Shortage, said: Condition) -> str:
    """Why there is no quota now: what the queue has of its own, and why it cannot borrow the rest."""
    if short.forever:
        return f"Kueue says {words.clause(said.message)}"
    own = queue.quotas[short.flavor, short.resource]
    things = words.noun(short.resource)
    if own.nominal:
        used = words.plain(short.resource, own.reserved)
        has = f"{queue.name} uses {used} of its quota of {words.amount(short.resource, own.nominal)}"
    else:
        has = f"{queue.name} has no {things} of its own"
    if facts.cohort is None:
        return f"{has}, and is in no cohort to borrow from"
    if own.reserved + short.asked <= own.nominal:
        return f"{has}, but others have borrowed the rest, which Kueue takes back for it"
    if own.borrowing_limit is not None and own.reserved + short.asked > own.nominal + own.borrowing_limit:
        limit = words.plain(short.resource, own.borrowing_limit)
        return f"{has} and may borrow {limit + ' at most' if own.borrowing_limit else 'nothing'}"
    idle = quota.idle(short.flavor, short.resource, facts.cohort)
    total = words.plain(short.resource, quota.total(short.flavor, short.resource, facts.cohort))
    left = f"only {words.plain(short.resource, idle)}" if idle else "none"
    return f"{has}, and {left} of the {total} of all partners {'are' if idle > 1 else 'is'} idle"


def _unblock(facts: Facts, queue: Queue, short: Shortage, ahead: Ahead) -> str:
    own = queue.quotas[short.flavor, short.resource]
    may_borrow = facts.cohort is not None and own.borrowing_limit != 0
    whose = []
    if queue.running:
        whose.append(words.count(queue.running, "running job") + f" of {queue.name}")
    if may_borrow:
        whose.append("jobs of other partners")
    lacking = words.amount(short.resource, short.lacking)
    rivals = sum(q.pending for q in facts.cohort.everybody if q.name != queue.name) if facts.cohort else 0
    also = f"; {words.count(rivals, 'waiting job')} of other partners may want them too" if rivals else ""
    return (
        f"{'After those ahead of it, it' if ahead.count else 'It'} starts when {lacking} "
        f"{'is' if short.lacking == 1 else 'are'} given back{' by ' + ' or '.join(whose) if whose else ''}"
        f"{also if may_borrow else ''}."
    )


def _ahead(facts: Facts, work: Work, queue: Queue) -> Ahead:
    """What Kueue considers first. In a queue that is not strict, what can never start holds nobody up."""
    first = sorted((w for w in facts.waiting if w.place < work.place), key=lambda w: w.place)
    if not queue.strict:
        shapes = {frozenset(w.asks.items()) for w in first}
        hopeless = {
            shape
            for shape in shapes
            if any(short.forever for short in quota.shortages(dict(shape), queue, facts.cohort))
        }
        first = [w for w in first if frozenset(w.asks.items()) not in hopeless]
    asks: dict[str, Decimal] = {}
    for other in first:
        for resource, amount in other.asks.items():
            asks[resource] = asks.get(resource, Decimal(0)) + amount
    own = [w.job for w in first if w.namespace == facts.job.namespace]
    return Ahead(len(first), tuple(own[:_NAMES]), len(first) - len(own), asks)
