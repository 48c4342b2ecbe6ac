"""What the ``Objects`` kind does to a cluster: apply, wait, compare, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.provider.kind import ProviderError, Report
from infra.provider.objects_bundle import (
    BUNDLE_LABEL,
    CUSTOM_RANK,
    MANAGER,
    Identity,
    Object,
    Ref,
    applied_by,
    delete_phases,
    identity,
    in_apply_order,
    rank,
    ref,
    title,
)
from infra.provider.objects_drift import differences
from operators.k8s import Cluster, connect
from operators.k8s_errors import Invalid, KubernetesError, NotFound, Unreachable, patiently

# Seconds. An API server or a webhook that is coming up; pods; finalizers.
READY: Final = 90
AVAILABLE: Final = 300
GONE: Final = 180
POLL: Final = 0.5

COMPARED_AT_ONCE: Final = 4

# Kinds of which nothing is lost when they are made anew because a field of theirs cannot be changed.
_REMADE: Final = {"Job", "RoleBinding", "ClusterRoleBinding"}
_WORKLOADS: Final = {"Deployment", "DaemonSet", "StatefulSet"}


class ClusterUnreachableError(ProviderError):
    """No API server answers at the kubeconfig's address, or there is no kubeconfig."""


@contextmanager
def cluster_at(kubeconfig: str) -> Iterator[Cluster]:
    """The cluster of a kubeconfig; what goes wrong with it is a ProviderError."""
    try:
        cluster = connect(Path(kubeconfig))
        try:
            yield cluster
        finally:
            cluster.close()
    except Unreachable as error:
        raise ClusterUnreachableError(
            f"{error}. Look at `antenna status`; `up` brings the cluster back."
        ) from error
    except KubernetesError as error:
        raise ProviderError(str(error)) from error


def apply_all(cluster: Cluster, objects: Iterable[Object], *, wait: bool, report: Report) -> list[Ref]:
    """Apply in order, and give the refs. Custom resources wait for their CRDs and, with ``wait``, for
    the workloads of the bundle, whose webhooks they may need."""
    ordered = in_apply_order(objects)
    refs: list[Ref] = []
    for number, obj in enumerate(ordered, start=1):
        if rank(obj["kind"]) == CUSTOM_RANK and (not refs or rank(refs[-1]["kind"]) < CUSTOM_RANK):
            _wait_until_served(cluster, refs, wait=wait, report=report)
        report(f"{number}/{len(ordered)} {title(ref(obj))}")
        refs.append(ref(_applied(cluster, obj, report)))
    if not ordered or rank(ordered[-1]["kind"]) < CUSTOM_RANK:
        _wait_until_served(cluster, refs, wait=wait, report=report)
    return refs


def compare_all(cluster: Cluster, objects: list[Object]) -> tuple[list[str], list[Ref]]:
    """(drift lines, refs of what is there). Touches nothing."""
    cluster.discover()
    with ThreadPoolExecutor(COMPARED_AT_ONCE) as pool:
        compared = list(pool.map(lambda obj: _compared(cluster, obj), in_apply_order(objects)))
    return [line for lines, _ in compared for line in lines], [found for _, found in compared if found]


def applied_in(cluster: Cluster, bundle: str, kinds: set[tuple[str, str]] | None = None) -> list[Object]:
    """The live objects that were applied as part of a bundle: of these kinds, or of all.

    The label alone does not tell: the API server copies a Service's labels to its endpoints.
    """
    if kinds is None:
        kinds = {(r.api_version, r.kind) for r in cluster.discover() if {"list", "patch"} <= r.verbs}
    found: dict[str, Object] = {}
    for api_version, kind in sorted(kinds):
        try:
            objects = cluster.list_objects(api_version, kind, labels=f"{BUNDLE_LABEL}={bundle}")
        except NotFound:
            continue
        for obj in objects:
            # A kind of several versions is listed once a version: the one it was applied in is kept.
            part = applied_by(obj, MANAGER)
            if part and part["apiVersion"] == api_version:
                found[obj["metadata"]["uid"]] = obj
    return list(found.values())


def delete_all(cluster: Cluster, refs: Iterable[Ref], report: Report) -> None:
    """Delete and wait until it is gone, custom resources before what serves them."""
    for phase in delete_phases(refs):
        uids: dict[Identity, str] = {}
        for entry in phase:
            report(f"deleting {title(entry)}")
            for attempt in patiently(READY, lambda error: report(str(error))):
                with attempt:
                    uids[identity(entry)] = _deleted(cluster, entry)
        _wait(
            lambda phase=phase, uids=uids: _remaining(cluster, phase, uids),  # type: ignore[misc]
            seconds=GONE,
            report=report,
            failure="not deleted after {seconds} s: {state}. Clear what holds it, then run the same again.",
        )


def _applied(cluster: Cluster, obj: Object, report: Report) -> Object:
    name = title(ref(obj))
    try:
        for attempt in patiently(READY, lambda error: report(f"{name}: waiting: {error}")):
            with attempt:
                kind = cluster.resource(obj["apiVersion"], obj["kind"])
                if kind.namespaced and not obj["metadata"].get("namespace"):
                    raise ProviderError(f"{name} names no namespace: give it metadata.namespace")
                return cluster.apply(obj, manager=MANAGER)
    except Invalid as error:
        if not _immutable(error):
            raise ProviderError(_refusal(name, error)) from error
        if obj["kind"] not in _REMADE:
            raise ProviderError(
                f"{_refusal(name, error)}. It cannot be changed in place: "
                f"delete it (kubectl delete {_kubectl(ref(obj))}), then run up again."
            ) from error
        report(f"{name}: made anew, for it cannot be changed in place")
        delete_all(cluster, [ref(obj)], report)
        return cluster.apply(obj, manager=MANAGER)
    except Unreachable:
        raise
    except KubernetesError as error:
        raise ProviderError(_refusal(name, error)) from error
    raise AssertionError("patiently either returns or raises")


def _compared(cluster: Cluster, obj: Object) -> tuple[list[str], Ref | None]:
    name = title(ref(obj))
    entry = ref(obj)
    live = cluster.find(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
    if live is None:
        return [f"{name}: missing"], None
    try:
        wanted = cluster.apply(obj, manager=MANAGER, dry_run=True)
    except Unreachable:
        raise
    except KubernetesError as error:
        return [f"{name}: cannot be compared: {_causes(error)}"], ref(live)
    return [f"{name}: {line}" for line in differences(live, wanted)], ref(live)


def _deleted(cluster: Cluster, entry: Ref) -> str:
    """The uid of what was deleted; "" when there was nothing to delete."""
    try:
        return cluster.delete(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
    except NotFound:
        return ""


def _remaining(cluster: Cluster, refs: list[Ref], uids: dict[Identity, str]) -> str:
    """The first object that is still there and why, or ""."""
    for entry in refs:
        uid = uids[identity(entry)]
        live = uid and cluster.find(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
        if live and live["metadata"]["uid"] == uid:
            return f"{title(entry)}: {_holding(live)}"
    return ""


def _holding(live: Object) -> str:
    """What keeps an object that is being deleted: a namespace says it, others have finalizers."""
    said = [
        condition["message"]
        for condition in live.get("status", {}).get("conditions", ())
        if condition["status"] == "True" and condition["type"].startswith("Namespace")
    ]
    finalizers = live["metadata"].get("finalizers", ())
    return "; ".join(said) or (f"finalizers {', '.join(finalizers)}" if finalizers else "still there")


def _wait_until_served(cluster: Cluster, refs: list[Ref], *, wait: bool, report: Report) -> None:
    definitions = [r for r in refs if r["kind"] == "CustomResourceDefinition"]
    workloads = [r for r in refs if wait and r["kind"] in _WORKLOADS]
    if definitions:
        _wait(
            lambda: _first(cluster, definitions, _not_established),
            seconds=READY,
            report=report,
            failure="{state} after {seconds} s",
        )
        cluster.discover()
    if workloads:
        _wait(
            lambda: _first(cluster, workloads, _not_available),
            seconds=AVAILABLE,
            report=report,
            failure="{state} after {seconds} s. See its pods' events: kubectl describe pods",
        )


def _first(cluster: Cluster, refs: list[Ref], state: Callable[[Cluster, Object], str]) -> str:
    for entry in refs:
        live = cluster.get(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
        if said := state(cluster, live):
            return said
    return ""


def _not_established(_: Cluster, live: Object) -> str:
    conditions = live.get("status", {}).get("conditions", ())
    established = any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
    return "" if established else f"{live['metadata']['name']} is not established"


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


def _pods_trouble(cluster: Cluster, workload: Object) -> str:
    """Why the first pod that does not run does not run."""
    selector = workload["spec"]["selector"].get("matchLabels", {})
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    for pod in cluster.list_objects("v1", "Pod", workload["metadata"]["namespace"], labels=labels):
        status = pod.get("status", {})
        for container in status.get("containerStatuses", ()):
            waiting = container.get("state", {}).get("waiting")
            if waiting and waiting.get("reason") != "ContainerCreating":
                detail = f": {waiting['message']}" if waiting.get("message") else ""
                return f"pod {pod['metadata']['name']}: {waiting['reason']}{detail}"
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"pod {pod['metadata']['name']}: {condition.get('message', condition.get('reason'))}"
    return ""


def _wait(state: Callable[[], str], *, seconds: float, report: Report, failure: str) -> None:
    """Ask ``state`` until it has nothing left to say; each thing that it says is reported."""

    def told() -> str:
        if said := state():
            report(f"waiting: {said}")
        return said

    try:
        Retrying(retry=retry_if_result(bool), stop=stop_after_delay(seconds), wait=wait_fixed(POLL))(told)
    except RetryError as error:
        said: Any = error.last_attempt.result()
        raise ProviderError(failure.format(state=said, seconds=seconds)) from None


def _immutable(error: Invalid) -> bool:
    return "immutable" in str(error) or "cannot change roleRef" in str(error)


def _refusal(name: str, error: KubernetesError) -> str:
    return f"{name} was refused: {_causes(error)}"


def _causes(error: KubernetesError) -> str:
    causes: tuple[str, ...] = getattr(error, "causes", ())
    return "; ".join(causes) or str(error)


def _kubectl(entry: Ref) -> str:
    namespace = f" -n {entry['namespace']}" if entry["namespace"] else ""
    return f"{entry['kind'].lower()} {entry['name']}{namespace}"
