"""Work that has its quota: whether its pods are made, find a node, get their image and run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from operators.queues import GPU
from operators.reasons import Reason, of_container, of_refusal, of_scheduler
from operators.why import words
from operators.why.explanation import Explanation
from operators.why.facts import Facts, Node, Pod, Refusal
from operators.why.placement import Closed, Placement, place
from operators.why.queued import too_large_for_a_node

# "exceeded quota: object-counts, requested: pods=1, used: pods=200, limited: pods=200"
_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<most>\S+)"
)
# 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "x" must ...), ...'
_VIOLATES: Final = re.compile(r'violates PodSecurity "(?P<level>\w+):[^"]*": (?P<what>.*)', re.DOTALL)
_IN_BRACKETS: Final = re.compile(r" \([^()]*\)")
_NAMED: Final = 4


def explain(facts: Facts) -> Explanation:
    """Pods that cannot be made come first, then those without a node, then those that cannot start.

    A container that ends again and again is one that cannot start, though its pod is Running.
    """
    if facts.job.paused and not facts.pods:
        return _paused(facts)
    lost = [p for p in facts.pods if p.unschedulable]
    stuck = [p for p in facts.pods if p.stuck and (p.phase == "Pending" or not facts.job.ready)]
    if facts.refusal and len(facts.pods) < facts.job.parallelism:
        return _refused(facts, facts.refusal)
    if lost:
        return too_large_for_a_node(facts) or _unplaced(facts, lost)
    if stuck:
        return _stuck(facts, stuck)
    if facts.job.ready or any(p.phase == "Running" for p in facts.pods):
        return _running(facts)
    return _starting(facts)


def _paused(facts: Facts) -> Explanation:
    job = facts.job
    return Explanation(
        Reason.SUSPENDED,
        f"{job.name} has its quota and wants no pod: its parallelism is 0.",
        f"`kubectl -n {job.namespace} patch job {job.name} --type merge "
        """-p '{"spec":{"parallelism":1}}'` lets it run.""",
        job.started or job.created,
    )


def _running(facts: Facts) -> Explanation:
    job = facts.job
    running = [p for p in facts.pods if p.phase == "Running"]
    gpus = sum((p.asks.get(GPU, Decimal(0)) for p in running), Decimal(0))
    nodes = sorted({p.node for p in running if p.node})
    with_ = f" with {words.amount(GPU, gpus)}" if gpus else ""
    on = f" on {words.listed(nodes)}" if nodes else ""
    text = f"{job.name} has been running for {words.lasted(job.started, facts.now)}{with_}{on}."
    return Explanation(Reason.RUNNING, text, since=job.started)


def _starting(facts: Facts) -> Explanation:
    job = facts.job
    since = (facts.work.changed.get("Admitted") if facts.work else None) or job.started or job.created
    made = words.count(len(facts.pods), "pod") if facts.pods else "no pod"
    text = f"{job.name} was admitted {words.lasted(since, facts.now)} ago and is starting: {made} of "
    return Explanation(
        Reason.STARTING,
        f"{text}{job.parallelism} {'is' if len(facts.pods) <= 1 else 'are'} made, none runs yet.",
        "",
        since,
    )


def _refused(facts: Facts, refusal: Refusal) -> Explanation:
    job, reason = facts.job, of_refusal(refusal.message)
    waited = words.lasted(refusal.since, facts.now)
    lead = f"{job.name} has its quota, but has had no pod for {waited}: "
    again = "and submit the job again."
    if reason is Reason.QUOTA_OF_NAMESPACE and (found := _EXCEEDED.search(refusal.message)):
        what, _, asked = found["asked"].partition("=")
        used, most = found["used"].rpartition("=")[2], found["most"].rpartition("=")[2]
        text = (
            f"{lead}the ResourceQuota {found['name']} of {job.namespace} allows {most} {what}, "
            f"{used} {'is' if used == '1' else 'are'} in use and {asked} more asked for."
        )
        unblock = (
            f"Delete {what} of {job.namespace} that are not needed, or have its ResourceQuota "
            f"{found['name']} raised; the pod is tried again by itself."
        )
        return Explanation(reason, text, unblock, refusal.since)
    if reason is Reason.POD_SECURITY and (violated := _VIOLATES.search(refusal.message)):
        fields = _IN_BRACKETS.sub("", violated["what"])
        text = (
            f"{lead}Pod Security ({violated['level']}) of {job.namespace} refuses it: {words.clause(fields)}."
        )
        return Explanation(
            reason, text, f"Set these fields in the pod's securityContext {again}", refusal.since
        )
    message = refusal.message.partition("Error creating: ")[2] or refusal.message
    text = f"{lead}the API server refuses it: {words.clause(message)}."
    return Explanation(reason, text, f"Mend that in the pod's template {again}", refusal.since)


def _unplaced(facts: Facts, lost: Sequence[Pod]) -> Explanation:
    pod = lost[0]
    where = place(pod, facts.nodes)
    reason, cause, unblock = _no_node(pod, where)
    which = "its pod" if facts.job.parallelism == 1 else f"{len(lost)} of its {facts.job.parallelism} pods"
    have = "have" if len(lost) > 1 else "has"
    quota = "has its quota, but" if facts.work else "names no queue, and"
    waited = words.lasted(pod.since, facts.now)
    text = f"{facts.job.name} {quota} {which} {have} found no node for {waited}: {cause}."
    return Explanation(reason, text, unblock, pod.since)


def _no_node(pod: Pod, where: Placement) -> tuple[Reason, str, str]:
    """(reason, what is wrong, what would unblock it)."""
    if not where.open and not where.closed:
        labels = words.listed([f"{key}={value}" for key, value in pod.selector.items()])
        if not labels:
            return Reason.NODES_CLOSED, "the cluster has no node", "A node must join."
        return (
            Reason.NODES_CLOSED,
            f"no node has the labels that it asks for ({labels})",
            "A node with these labels must join, or submit it again with another node selector.",
        )
    if roomy := where.roomy(pod):
        return Reason.NODES_CLOSED, words.listed([_closed(c) for c in roomy]), _opening(roomy)
    if not where.open:
        return Reason.NODES_CLOSED, words.listed([_closed(c) for c in where.closed]), _opening(where.closed)
    if not where.short:
        cause = words.clause(pod.unschedulable.partition(" preemption:")[0])
        return of_scheduler(pod.unschedulable), f"the scheduler says {cause}", ""
    return _no_room(where.short, pod.asks[where.short], where)


def _no_room(resource: str, asked: Decimal, where: Placement) -> tuple[Reason, str, str]:
    things, lacking = words.noun(resource), words.amount(resource, asked - where.most)
    among = words.count(len(where.owners), "node")
    if not where.owners:
        return (
            Reason.NODES_CLOSED,
            f"no node that would take it has {things}",
            f"A node with {words.amount(resource, asked)} must join, or its device plugin must come back.",
        )
    if where.free >= asked:
        parts = [f"{words.plain(resource, n.free(resource))} on {n.name}" for n in _with_some(where)]
        return (
            Reason.GPUS_FRAGMENTED if resource == GPU else Reason.NODES_FULL,
            f"a pod needs {words.amount(resource, asked)} on one node, and the "
            f"{words.plain(resource, where.free)} free {things} are {words.listed(parts, _NAMED)}",
            f"{lacking} more must come free on one of these nodes, or submit it again with at most "
            f"{words.amount(resource, where.most)} a pod.",
        )
    free = words.plain(resource, where.free) if where.free else "none"
    return (
        Reason.NODES_FULL,
        f"a pod needs {words.amount(resource, asked)}, and of the "
        f"{words.plain(resource, where.allocatable)} {things} of {among} {free} "
        f"{'are' if where.free > 1 else 'is'} free",
        f"{lacking} more must come free on one node: pods there must end.",
    )


def _opening(closed: Sequence[Closed]) -> str:
    cordoned = [c.node.name for c in closed if c.why == "is cordoned"]
    if cordoned:
        return f"`kubectl uncordon {cordoned[0]}` lets pods in again; or another node must come free."
    name = closed[0].node.name
    if closed[0].why == "is not ready":
        return f"{name} must be Ready again: `antenna doctor` says what is wrong."
    return f"The pod must tolerate the taint of {name}, or another node must come free."


def _closed(closed: Closed) -> str:
    node = closed.node
    room = f" ({words.amount(GPU, node.free(GPU))} free)" if node.allocatable.get(GPU) else ""
    return f"{node.name} {closed.why}{room}"


def _stuck(facts: Facts, stuck: Sequence[Pod]) -> Explanation:
    pod = stuck[0]
    reason = of_container(pod.stuck) or Reason.CONTAINER_BROKEN
    of_image = reason is Reason.IMAGE_UNAVAILABLE
    waited = words.lasted(pod.since, facts.now)
    said = f": {words.clause(pod.stuck_message)}" if pod.stuck_message else ""
    what = f"get the image {pod.image}" if of_image else "start its container"
    where = pod.node or "its node"
    if pod.stuck == "CrashLoopBackOff":
        text = (
            f"{facts.job.name} has been on {where} for {waited}, where its container ends again and again "
            f"({pod.stuck}{said})."
        )
        tells = f"logs {pod.name} --previous"
    else:
        text = f"{facts.job.name} has waited {waited} on {where}, which cannot {what} ({pod.stuck}{said})."
        tells = f"describe pod {pod.name}"
    unblock = (
        f"The image {pod.image} must be there under that name and tag, and the node must reach its registry."
        if of_image
        else f"`kubectl -n {facts.job.namespace} {tells}` tells more; mend its template."
    )
    return Explanation(reason, text, unblock, pod.since)


def _with_some(where: Placement) -> list[Node]:
    return sorted((n for n in where.open if n.free(where.short) > 0), key=lambda n: -n.free(where.short))
