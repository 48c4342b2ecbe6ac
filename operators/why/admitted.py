"""Work that has its quota: whether its pods are made, find a node, get their image and run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from operators.queues import GPU
from operators.reasons import Reason, of_refusal, of_scheduler
from operators.why import words
from operators.why.explanation import Explanation
from operators.why.facts import Facts, Node, Pod, Refusal
from operators.why.placement import Placement, place

# "exceeded quota: object-counts, requested: pods=1, used: pods=200, limited: pods=200"
_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<most>\S+)"
)
# 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "x" must ...), ...'
_VIOLATES: Final = re.compile(r'violates PodSecurity "(?P<level>\w+):[^"]*": (?P<what>.*)', re.DOTALL)
_IN_BRACKETS: Final = re.compile(r" \([^()]*\)")
_OF_IMAGES: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_NAMED: Final = 4


def explain(facts: Facts) -> Explanation:
    """Pods that cannot be made come first, then those without a node, then those that cannot start."""
    lost = [p for p in facts.pods if p.unschedulable]
    stuck = [p for p in facts.pods if p.stuck and p.phase == "Pending"]
    if facts.refusal and len(facts.pods) < facts.job.parallelism:
        return _refused(facts, facts.refusal)
    if lost:
        return _unplaced(facts, lost)
    if stuck:
        return _stuck(facts, stuck)
    if facts.job.ready or any(p.phase == "Running" for p in facts.pods):
        return _running(facts)
    return _starting(facts)


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
    wants = words.asked(pod.asks)
    if roomy := where.roomy(pod):
        free = [f"{c.node.name} {c.why}{_room(c.node)}" for c in roomy]
        cordoned = [c.node.name for c in roomy if c.why == "is cordoned"]
        unblock = (
            f"`kubectl uncordon {cordoned[0]}`" if cordoned else f"A node that takes it: {roomy[0].node.name}"
        )
        does = (
            "lets it start" if cordoned else "must be Ready, and its taints tolerated and its labels selected"
        )
        return Reason.NODES_CLOSED, words.listed(free), f"{unblock} {does}, or another node must come free."
    if not where.open and where.closed:
        why = [f"{c.node.name} {c.why}" for c in where.closed]
        return Reason.NODES_CLOSED, words.listed(why), "One of these nodes must take it."
    if not where.short:
        cause = words.clause(pod.unschedulable.partition(" preemption:")[0])
        return of_scheduler(pod.unschedulable), f"the scheduler says {cause}", ""
    asked, free_, things = pod.asks[where.short], where.free, words.noun(where.short)
    among = words.count(len(where.open), "node")
    if free_ >= asked and len(where.open) > 1:
        parts = [f"{words.plain(where.short, n.free(where.short))} on {n.name}" for n in _with_some(where)]
        most = max(n.free(where.short) for n in where.open)
        lacking = words.amount(where.short, asked - most)
        return (
            Reason.GPUS_FRAGMENTED if where.short == GPU else Reason.NODES_FULL,
            f"a pod needs {wants} on one node, and the {words.plain(where.short, free_)} free {things} "
            f"are {words.listed(parts, _NAMED)}",
            f"{lacking} more must come free on one of these nodes, or it asks for at most "
            f"{words.amount(where.short, most)} a pod.",
        )
    free_text = words.plain(where.short, free_) if free_ else "none"
    all_ = words.plain(where.short, where.allocatable)
    return (
        Reason.NODES_FULL,
        f"a pod needs {words.amount(where.short, asked)}, and of the {all_} {things} of {among} "
        f"{free_text} {'are' if free_ > 1 else 'is'} free",
        f"{words.amount(where.short, asked - max(n.free(where.short) for n in where.open))} "
        "more must come free on one node: pods there must end.",
    )


def _stuck(facts: Facts, stuck: Sequence[Pod]) -> Explanation:
    pod = stuck[0]
    of_image = pod.stuck in _OF_IMAGES
    waited = words.lasted(pod.since, facts.now)
    said = f": {words.clause(pod.stuck_message)}" if pod.stuck_message else ""
    what = f"get the image {pod.image}" if of_image else "start its container"
    where = pod.node or "its node"
    text = f"{facts.job.name} has waited {waited} on {where}, which cannot {what} ({pod.stuck}{said})."
    unblock = (
        f"The image {pod.image} must be there under that name and tag, and the node must reach its registry."
        if of_image
        else f"`kubectl -n {facts.job.namespace} describe pod {pod.name}` tells more; mend its template."
    )
    reason = Reason.IMAGE_UNAVAILABLE if of_image else Reason.CONTAINER_BROKEN
    return Explanation(reason, text, unblock, pod.since)


def _with_some(where: Placement) -> list[Node]:
    return sorted((n for n in where.open if n.free(where.short) > 0), key=lambda n: -n.free(where.short))


def _room(node: Node) -> str:
    free = node.free(GPU)
    return f" ({words.amount(GPU, free)} free)" if node.allocatable.get(GPU) else ""
