"""What the ``Objects`` kind does to a cluster: apply, compare, find, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.provider.kind import ProviderError, Report
from infra.provider.objects_bundle import (
    BUNDLE_LABEL,
    CUSTOM_RANK,
    MANAGER,
    Object,
    Ref,
    applied_by,
    delete_phases,
    in_apply_order,
    rank,
    ref,
    title,
)
from infra.provider.objects_drift import differences
from infra.provider.objects_wait import until_gone, until_ready, until_served
from operators.kube.client import Cluster, connect
from operators.kube.errors import (
    Conflict,
    Invalid,
    KubernetesError,
    NotFound,
    Unreachable,
    patiently,
    while_busy,
)

BUSY: Final = 120  # seconds that a server may be too busy to compare an object
_LOOKS: Final = 5
READY: Final = 90  # seconds that an API server or a webhook may take to come up
COMPARED_AT_ONCE: Final = 4

# Kinds of which nothing is lost when they are made anew because a field of theirs cannot be changed.
_REMADE: Final = {"Job", "RoleBinding", "ClusterRoleBinding"}


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
    the workloads of the bundle, whose webhooks they may need; our own kinds are then waited for too."""
    ordered = in_apply_order(objects)
    refs: list[Ref] = []
    for number, obj in enumerate(ordered, start=1):
        if rank(obj["kind"]) == CUSTOM_RANK and (not refs or rank(refs[-1]["kind"]) < CUSTOM_RANK):
            until_served(cluster, refs, wait=wait, report=report)
        report(f"{number}/{len(ordered)} {title(ref(obj))}")
        refs.append(ref(_applied(cluster, obj, report)))
    if not ordered or rank(ordered[-1]["kind"]) < CUSTOM_RANK:
        until_served(cluster, refs, wait=wait, report=report)
    if wait:
        until_ready(cluster, refs, report)
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


def handed_over(cluster: Cluster, entry: Ref, refs: Iterable[Ref]) -> bool:
    """Whether an object is controlled by one of ``refs`` now: then it is not the bundle's to delete."""
    live = cluster.find(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
    owners = live["metadata"].get("ownerReferences", ()) if live else ()
    uids = {other["uid"] for other in refs}
    return any(owner.get("controller") and owner["uid"] in uids for owner in owners)


def delete_all(cluster: Cluster, refs: Iterable[Ref], report: Report) -> None:
    """Delete and wait until it is gone, custom resources before what serves them."""
    for phase in delete_phases(refs):
        leaving: list[Ref] = []
        for entry in phase:
            report(f"deleting {title(entry)}")
            for attempt in patiently(READY, lambda error: report(str(error))):
                with attempt:
                    leaving.append({**entry, "uid": _deleted(cluster, entry)})
        until_gone(cluster, leaving, report)


def _applied(cluster: Cluster, obj: Object, report: Report) -> Object:
    name = title(ref(obj))
    try:
        # A Conflict is a lost race: with force, no other manager's field can be one.
        for attempt in patiently(READY, lambda error: report(f"{name}: waiting: {error}"), Conflict):
            with attempt:
                kind = cluster.resource(obj["apiVersion"], obj["kind"])
                if kind.namespaced and not obj["metadata"].get("namespace"):
                    raise ProviderError(f"{name} names no namespace: give it metadata.namespace")
                live = cluster.apply(obj, manager=MANAGER)
                if "deletionTimestamp" not in live["metadata"]:
                    return live
                # Somebody has just deleted it: what is applied to it now would go with it.
                until_gone(cluster, [ref(live)], report)
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
    """What differs, and what was found; a difference that comes of a write meanwhile is none."""
    name = title(ref(obj))
    entry = ref(obj)
    place = entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"]
    live = cluster.find(*place)
    for _ in range(_LOOKS):
        if live is None:
            return [f"{name}: missing"], None
        try:
            # A server that is busy is no drift.
            wanted = while_busy(BUSY)(cluster.apply, obj, manager=MANAGER, dry_run=True)
        except Unreachable:
            raise
        except KubernetesError as error:
            return [f"{name}: cannot be compared: {_causes(error)}"], ref(live)
        if not (lines := differences(live, wanted)):
            break
        # Between the two looks its other owners may have written: a Lease is renewed every few seconds.
        before, live = live, cluster.find(*place)
        if live and live["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]:
            break
    return [f"{name}: {line}" for line in lines], live and ref(live)


def _deleted(cluster: Cluster, entry: Ref) -> str:
    """The uid of what was deleted; "" when there was nothing to delete."""
    try:
        return cluster.delete(entry["apiVersion"], entry["kind"], entry["name"], entry["namespace"])
    except NotFound:
        return ""


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
