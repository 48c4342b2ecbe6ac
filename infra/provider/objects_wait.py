"""What the ``Objects`` kind waits for: definitions served, pods that run, our own kinds Ready, deletions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.provider.kind import ProviderError, Report
from infra.provider.objects_bundle import Object, Ref, title
from operators.kube.client import Cluster
from operators.kube.errors import NotFound

# Seconds: definitions, pods, our own kinds, finalizers; between two looks.
SERVED: Final = 60
AVAILABLE: Final = 300
READY: Final = 120
GONE: Final = 180
POLL: Final = 0.5

_WORKLOADS: Final = {"Deployment", "DaemonSet", "StatefulSet"}
# The kinds of this group say Ready, and Stalled where waiting does not help.
_OWN_GROUP: Final = "antenna.be/"


def until_served(cluster: Cluster, refs: list[Ref], *, wait: bool, report: Report) -> None:
    """Until the definitions among these are served and, with ``wait``, the workloads are available."""
    definitions = [r for r in refs if r["kind"] == "CustomResourceDefinition"]
    workloads = [r for r in refs if wait and r["kind"] in _WORKLOADS]
    if definitions:
        _wait(
            lambda: _first(cluster, definitions, _not_established),
            seconds=SERVED,
            report=report,
            failure="{state} after {seconds} s",
        )
    if workloads:
        _wait(
            lambda: _first(cluster, workloads, _not_available),
            seconds=AVAILABLE,
            report=report,
            failure="{state} after {seconds} s. See its pods' events: kubectl describe pods",
        )


def until_ready(cluster: Cluster, refs: list[Ref], report: Report) -> None:
    """Until those of our own kinds are Ready. Raises ProviderError on one that is refused."""
    if own := [r for r in refs if r["apiVersion"].startswith(_OWN_GROUP)]:
        _wait(
            lambda: _first(cluster, own, _not_ready),
            seconds=READY,
            report=report,
            failure="{state} after {seconds} s. Does the operator run? "
            "kubectl -n antenna-system logs deployment/antenna-operator",
        )


def until_gone(cluster: Cluster, refs: list[Ref], report: Report) -> None:
    """Until the objects of these uids are gone; others may bear their names by now."""
    _wait(
        lambda: _remaining(cluster, refs),
        seconds=GONE,
        report=report,
        failure="not deleted after {seconds} s: {state}. Clear what holds it, then run the same again.",
    )


def _remaining(cluster: Cluster, refs: list[Ref]) -> str:
    """The first object that is still there and why, or ""."""
    for entry in refs:
        if not entry["uid"]:
            continue
        live = cluster.find(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
        if live and live["metadata"]["uid"] == entry["uid"]:
            return f"{title(entry)}: {_holding(live)}"
    return ""


def _holding(live: Object) -> str:
    """What keeps an object that is being deleted: a namespace says it, others have finalizers."""
    said = [
        condition["message"]
        for condition in _conditions(live)
        if condition["status"] == "True" and condition["type"].startswith("Namespace")
    ]
    finalizers = live["metadata"].get("finalizers", ())
    return "; ".join(said) or (f"finalizers {', '.join(finalizers)}" if finalizers else "terminating")


def _first(cluster: Cluster, refs: list[Ref], state: Callable[[Cluster, Object], str]) -> str:
    for entry in refs:
        live = cluster.get(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
        if said := state(cluster, live):
            return said
    return ""


def _not_established(cluster: Cluster, live: Object) -> str:
    """Why a definition's resources cannot be used yet: not accepted, or not in the discovery yet."""
    name, spec = live["metadata"]["name"], live["spec"]
    if not any(c["type"] == "Established" and c["status"] == "True" for c in _conditions(live)):
        return f"{name} is not established"
    version = next(v["name"] for v in spec["versions"] if v["served"])
    try:
        cluster.resource(f"{spec['group']}/{version}", spec["names"]["kind"])
    except NotFound:
        return f"{name} is not served"
    return ""


def _not_available(cluster: Cluster, live: Object) -> str:
    """ "kueue-controller-manager 0/1 available: pod ...: ImagePullBackOff", or "" """
    status = live.get("status", {})
    if live["kind"] == "DaemonSet":
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        available = status.get("numberAvailable", 0)
    else:
        wanted, updated = live["spec"].get("replicas", 1), status.get("updatedReplicas", 0)
        available = status.get("availableReplicas", 0)
    seen = status.get("observedGeneration", 0) >= live["metadata"]["generation"]
    if seen and min(updated, available) >= wanted:
        return ""
    said = f"{live['metadata']['name']} {min(updated, available)}/{wanted} available"
    reason = _pods_trouble(cluster, live)
    return f"{said}: {reason}" if reason else said


def _not_ready(cluster: Cluster, live: Object) -> str:
    """ "Tenant vib is not ready: ...", or "" """
    name = f"{live['kind']} {live['metadata']['name']}"
    said = {
        condition["type"]: condition
        for condition in _conditions(live)
        if condition.get("observedGeneration", 0) >= live["metadata"]["generation"]
    }
    ready, stalled = said.get("Ready"), said.get("Stalled")
    if stalled and stalled["status"] == "True":
        raise ProviderError(f"{name}: {stalled['reason']}: {stalled['message']}")
    if ready is None:
        return f"{name} has not been seen by its controller"
    return "" if ready["status"] == "True" else f"{name} is not ready: {ready['message'] or ready['reason']}"


def _pods_trouble(cluster: Cluster, workload: Object) -> str:
    """Why the first pod that does not run does not run."""
    selector = workload["spec"]["selector"].get("matchLabels", {})
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    for pod in cluster.list_objects("v1", "Pod", workload["metadata"]["namespace"], labels=labels):
        for container in pod.get("status", {}).get("containerStatuses") or ():
            waiting = container.get("state", {}).get("waiting")
            if waiting and waiting.get("reason") != "ContainerCreating":
                detail = f": {waiting['message']}" if waiting.get("message") else ""
                return f"pod {pod['metadata']['name']}: {waiting['reason']}{detail}"
        for condition in _conditions(pod):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"pod {pod['metadata']['name']}: {condition.get('message', condition.get('reason'))}"
    return ""


def _conditions(live: Object) -> list[Object]:
    """The conditions of an object; the server writes none, or null, before a controller has seen it."""
    return live.get("status", {}).get("conditions") or []


def _wait(state: Callable[[], str], *, seconds: float, report: Report, failure: str) -> None:
    """Ask ``state`` until it has nothing left to say; each new thing that it says is reported."""
    last = ""

    def told() -> str:
        nonlocal last
        if (said := state()) and said != last:
            report(f"waiting: {said}")
        last = said
        return said

    try:
        Retrying(retry=retry_if_result(bool), stop=stop_after_delay(seconds), wait=wait_fixed(POLL))(told)
    except RetryError as error:
        said: Any = error.last_attempt.result()
        raise ProviderError(failure.format(state=said, seconds=seconds)) from None
