"""From the facts to the sentence: how far the job has come decides who is asked."""

from __future__ import annotations

from dataclasses import replace

from operators.reasons import Reason
from operators.why import admitted, checked, queued, words
from operators.why.explanation import Explanation
from operators.why.facts import Facts, Job


def explain(facts: Facts) -> Explanation:
    """Why the job waits; for one that runs or has ended, that it does."""
    job, work = facts.job, facts.work
    if job.outcome:
        return _ended(facts, job)
    if work is None:
        return _unqueued(facts, job)
    if not work.active:
        return checked.held_back(facts, work)
    if not work.holds("QuotaReserved"):
        return queued.explain(facts, work)
    if not work.holds("Admitted"):
        return checked.unchecked(facts, work)
    return admitted.explain(facts)


def _ended(facts: Facts, job: Job) -> Explanation:
    ran = (
        f" after running for {words.duration((job.ended - job.started).total_seconds())}"
        if job.ended and job.started
        else ""
    )
    word = "finished" if job.outcome == "Complete" else "failed"
    cause = (
        f": {words.clause(job.outcome_message)}" if job.outcome == "Failed" and job.outcome_message else ""
    )
    ago = f" {words.lasted(job.ended, facts.now)} ago" if job.ended else ""
    unblock = f"`kubectl -n {job.namespace} logs job/{job.name}` shows why." if word == "failed" else ""
    return Explanation(Reason.FINISHED, f"{job.name} {word}{ago}{ran}{cause}.", unblock, job.ended)


def _unqueued(facts: Facts, job: Job) -> Explanation:
    waited = words.lasted(job.created, facts.now)
    if job.suspended and not job.queue_label:
        doors = facts.local_queues
        unblock = (
            f"Delete it and submit it again with the label kueue.x-k8s.io/queue-name={doors[0]}."
            if doors
            else f"Whoever runs the site must give {job.namespace} a LocalQueue."
        )
        return Explanation(
            Reason.QUEUE_MISSING,
            f"{job.name} has been suspended for {waited} and names no queue, so that nothing starts it.",
            unblock,
            job.created,
        )
    if job.suspended:
        return Explanation(
            Reason.UNKNOWN,
            f"{job.name} has waited {waited} for Kueue to take it into the queue {job.queue_label}.",
            "If this lasts longer than a minute, Kueue does not work: `antenna doctor` says why.",
            job.created,
        )
    beside = admitted.explain(facts)
    return replace(beside, text=f"{beside.text[:-1]} (it runs beside the queues: it names none).")
