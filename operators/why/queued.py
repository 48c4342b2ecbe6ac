"""Work that has no quota: without a queue, before a stopped one, too large for any node, or in line."""

from __future__ import annotations

import difflib

from operators.reasons import Condition, Reason, of_quota
from operators.why import placement, words
from operators.why.explanation import Explanation
from operators.why.facts import Facts, Queue, Work
from operators.why.line import in_line


def explain(facts: Facts, work: Work) -> Explanation:
    """What no waiting helps against comes first."""
    missing = _missing(facts, work)
    if missing or facts.queue is None:
        return missing or _without_cluster_queue(facts, work)
    return (
        _stopped(facts, work, facts.queue) or too_large_for_a_node(facts) or in_line(facts, work, facts.queue)
    )


def _missing(facts: Facts, work: Work) -> Explanation | None:
    job, there = facts.job, list(facts.local_queues)
    lead = f"{job.name} has waited {words.lasted(work.created, facts.now)}: "
    if work.queue not in there:
        near = difflib.get_close_matches(work.queue, there, 1) or there[:1]
        unblock = (
            f"Delete it and submit it again with the label kueue.x-k8s.io/queue-name={near[0]}."
            if near
            else f"Whoever runs the site must give {job.namespace} a LocalQueue."
        )
        only = f", only {words.listed(there)}" if there else ""
        text = f"{lead}there is no queue {work.queue!r} in {job.namespace}{only}."
        return Explanation(Reason.QUEUE_MISSING, text, unblock, work.created)
    said = work.conditions.get("QuotaReserved", Condition("Unknown"))
    if "namespace" in said.message and of_quota(said) is Reason.QUEUE_MISSING:
        return Explanation(
            Reason.QUEUE_MISSING,
            f"{lead}{facts.queue_name} takes no work of the namespace {job.namespace}.",
            f"Whoever runs the site must let the ClusterQueue {facts.queue_name} select {job.namespace}.",
            work.created,
        )
    return None


def _without_cluster_queue(facts: Facts, work: Work) -> Explanation:
    waited = words.lasted(work.created, facts.now)
    return Explanation(
        Reason.QUEUE_MISSING,
        f"{facts.job.name} has waited {waited}: its queue {work.queue} leads to the ClusterQueue "
        f"{facts.queue_name}, which is not there.",
        f"Whoever runs the site must make the ClusterQueue {facts.queue_name}.",
        work.created,
    )


def _stopped(facts: Facts, work: Work, queue: Queue) -> Explanation | None:
    if queue.active and not facts.local_queue_held:
        return None
    if facts.local_queue_held:
        what = f"its queue {work.queue} is held"
        unblock = _lift(f"-n {facts.job.namespace} patch localqueue {work.queue}")
    elif queue.held:
        what = f"the queue {queue.name} is held and admits no work"
        unblock = _lift(f"patch clusterqueue {queue.name}")
    else:
        # "Can't admit new workloads: references missing ResourceFlavor(s): h100."
        cause = queue.problem.partition("workloads: ")[2] or queue.problem or "is not known to Kueue yet"
        what = f"the queue {queue.name} is not active, it {words.clause(cause)}"
        unblock = f"Whoever runs the site must mend the ClusterQueue {queue.name}."
    text = f"{facts.job.name} has waited {words.lasted(work.created, facts.now)}: {what}."
    return Explanation(Reason.QUEUE_STOPPED, text, unblock, work.created)


def _lift(command: str) -> str:
    patch = """'{"spec":{"stopPolicy":"None"}}'"""
    return f"Whoever runs the site lifts that: `kubectl {command} --type merge -p {patch}`."


def too_large_for_a_node(facts: Facts) -> Explanation | None:
    """Where one pod of it is larger than every node."""
    for resource, amount in facts.job.pod_asks.items():
        most = placement.largest(resource, facts.nodes)
        if most and amount > most:
            return Explanation(
                Reason.NEVER_FITS,
                f"{facts.job.name} can never start: one pod of it asks for {words.amount(resource, amount)}, "
                f"and the largest node has {words.plain(resource, most)}.",
                f"Submit it again with at most {words.amount(resource, most)} a pod, and more pods.",
                facts.job.created,
            )
    return None
