"""Kubernetes objects, as the API server sent them, to facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from operators.kube import workload
from operators.kube.objects import Workload
from operators.kube.pod_requests import amounts, pod_requests
from operators.kube.time import instant as _maybe
from operators.queues import QUEUE_LABEL, quantity
from operators.reasons import Condition
from operators.tenancy import TENANT_LABEL
from operators.why.facts import (
    Amounts,
    Check,
    Cohort,
    Job,
    Node,
    Pod,
    Queue,
    Quota,
    Quotas,
    Refusal,
    Taint,
    Toleration,
    Waiting,
    Work,
)

Object = Mapping[str, Any]

JOB_UID_LABEL = "kueue.x-k8s.io/job-uid"
_ENDED = ("Succeeded", "Failed")


def job(found: Object) -> Job:
    """A batch/v1 Job."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    labels = meta.get("labels") or {}
    ended: Object = next((c for c in status.get("conditions") or () if _is_end(c)), {})
    return Job(
        namespace=meta["namespace"],
        name=meta["name"],
        tenant=labels.get(TENANT_LABEL) or meta["namespace"].removeprefix("tenant-"),
        created=_time(meta["creationTimestamp"]),
        pod_asks=pod_requests(spec["template"]["spec"]),
        parallelism=_pods_at_once(spec, status),
        paused=spec.get("parallelism") == 0,
        suspended=bool(spec.get("suspend")),
        queue_label=labels.get(QUEUE_LABEL, ""),
        started=_maybe(status.get("startTime")),
        ready=int(status.get("ready") or 0),
        outcome=ended.get("type", ""),
        outcome_message=ended.get("message", ""),
        ended=_maybe(ended.get("lastTransitionTime")),
    )


def work(found: Object, controllers: Mapping[str, str]) -> Work:
    """A Workload. ``controllers`` are those of the admission checks, by check."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    conditions = status.get("conditions") or ()
    typed = workload.read(found)
    created = _time(meta["creationTimestamp"])
    return Work(
        name=meta["name"],
        queue=spec.get("queueName", ""),
        asks=asks(found),
        place=_place(typed),
        created=created,
        queued=workload.queued_since(typed, workload.conditions(typed)) or created,
        active=spec.get("active", True),
        conditions={
            c["type"]: Condition(c["status"], c.get("reason", ""), c.get("message", "")) for c in conditions
        },
        changed={c["type"]: _time(c["lastTransitionTime"]) for c in conditions},
        checks=tuple(
            Check(
                name=c["name"],
                state=c["state"],
                message=c.get("message", ""),
                controller=controllers.get(c["name"], ""),
                since=_maybe(c.get("lastTransitionTime")),
            )
            for c in status.get("admissionChecks") or ()
        ),
        retry_at=_maybe((status.get("requeueState") or {}).get("requeueAt")),
    )


def waits(found: Object) -> bool:
    """Whether a Workload queues for quota."""
    return workload.in_line(workload.read(found))


def waiting(found: Object) -> Waiting:
    """Another Workload of the same queue."""
    meta = found["metadata"]
    owner = next((o["name"] for o in meta.get("ownerReferences") or ()), meta["name"])
    return Waiting(meta["namespace"], owner, asks(found), _place(workload.read(found)))


def asks(found: Object) -> Amounts:
    """What a Workload asks its queue for: of pods that gave their quota back it does no longer."""
    total: dict[str, Decimal] = {}
    reclaimed = {p["name"]: int(p["count"]) for p in (found.get("status") or {}).get("reclaimablePods") or ()}
    for podset in found["spec"]["podSets"]:
        count = max(0, int(podset.get("count", 1)) - reclaimed.get(podset.get("name", "main"), 0))
        for resource, amount in pod_requests(podset["template"]["spec"]).items():
            total[resource] = total.get(resource, Decimal(0)) + amount * count
    return total


def pod(found: Object) -> Pod:
    """A pod of the job."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    scheduled: Object = next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {})
    in_vain = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    stuck, message, image = _stuck(status)
    return Pod(
        name=meta["name"],
        asks=pod_requests(spec),
        phase=status.get("phase", ""),
        node=spec.get("nodeName", ""),
        selector=spec.get("nodeSelector") or {},
        tolerations=tuple(
            Toleration(
                t.get("key", ""), t.get("value", ""), t.get("effect", ""), t.get("operator") == "Exists"
            )
            for t in spec.get("tolerations") or ()
        ),
        unschedulable=scheduled.get("message", "") or "Unschedulable" if in_vain else "",
        stuck=stuck,
        stuck_message=message,
        image=image,
        since=_maybe(scheduled.get("lastTransitionTime")) or _time(meta["creationTimestamp"]),
    )


def nodes(found: Iterable[Object], pods: Iterable[Object]) -> tuple[Node, ...]:
    """The nodes by name, with what the pods on them hold."""
    used: dict[str, dict[str, Decimal]] = {}
    for one in pods:
        if one["spec"].get("nodeName") and (one.get("status") or {}).get("phase") not in _ENDED:
            held = used.setdefault(one["spec"]["nodeName"], {})
            for resource, amount in {**pod_requests(one["spec"]), "pods": Decimal(1)}.items():
                held[resource] = held.get(resource, Decimal(0)) + amount
    rows = []
    for node in found:
        name, spec, status = node["metadata"]["name"], node.get("spec") or {}, node.get("status") or {}
        ready = {c["type"]: c["status"] for c in status.get("conditions") or ()}.get("Ready")
        rows.append(
            Node(
                name=name,
                allocatable=amounts(status.get("allocatable")),
                used=used.get(name, {}),
                labels=node["metadata"].get("labels") or {},
                taints=tuple(
                    Taint(t["key"], t.get("value", ""), t["effect"]) for t in spec.get("taints") or ()
                ),
                cordoned=bool(spec.get("unschedulable")),
                ready=ready == "True",
            )
        )
    return tuple(sorted(rows, key=lambda n: n.name))


def queue(found: Object) -> Queue:
    """A ClusterQueue with what it has given out, as its status says."""
    spec, status = found["spec"], found.get("status") or {}
    reserved = {
        (flavor["name"], r["name"]): quantity(r.get("total") or 0)
        for flavor in status.get("flavorsReservation") or ()
        for r in flavor.get("resources") or ()
    }
    active: Object = next((c for c in status.get("conditions") or () if c["type"] == "Active"), {})
    return Queue(
        name=found["metadata"]["name"],
        cohort=spec.get("cohortName", ""),
        quotas=_quotas(spec, reserved),
        groups=tuple(
            tuple(flavor["name"] for flavor in group["flavors"]) for group in spec.get("resourceGroups") or ()
        ),
        active=active.get("status") == "True",
        problem=active.get("message", ""),
        held=(spec.get("stopPolicy") or "None") != "None",
        strict=spec.get("queueingStrategy") == "StrictFIFO",
        pending=int(status.get("pendingWorkloads") or 0),
        running=int(status.get("reservingWorkloads") or 0),
    )


def cohort(name: str, queues: Iterable[Queue], objects: Iterable[Object]) -> Cohort:
    """The root of the tree that the cohort of that name is in.

    There may be no Cohort object: then nothing is in the pool, and it has no parent.
    """
    specs = {one["metadata"]["name"]: one.get("spec") or {} for one in objects}
    above = [name]
    # Kueue admits nothing where cohorts name each other in a circle, and says so itself.
    while (parent := specs.get(above[-1], {}).get("parentName")) and parent not in above:
        above.append(parent)
    return _tree(above[-1], tuple(queues), specs, ())


def _tree(
    name: str, queues: tuple[Queue, ...], specs: Mapping[str, Object], above: tuple[str, ...]
) -> Cohort:
    path = (*above, name)
    children = sorted(c for c, spec in specs.items() if spec.get("parentName") == name and c not in path)
    return Cohort(
        name,
        tuple(q for q in queues if q.cohort == name),
        _quotas(specs.get(name, {}), {}),
        tuple(_tree(child, queues, specs, path) for child in children),
    )


def refusal(events: Iterable[Object]) -> Refusal | None:
    """The last event of a Job that says why its pod could not be made."""
    refused = [e for e in events if e.get("reason") == "FailedCreate"]
    if not refused:
        return None
    last = max(refused, key=lambda e: _last(e) or "")
    first = min(
        (t for e in refused if (t := _maybe(e.get("firstTimestamp") or e.get("eventTime")))), default=None
    )
    return Refusal(last.get("message", ""), first)


def _place(found: Workload) -> workload.Place:
    place = workload.place(found, workload.conditions(found))
    if place is None:
        raise ValueError(f"the Workload {found.metadata.name} has no creationTimestamp")
    return place


def _last(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _quotas(spec: Object, reserved: Mapping[tuple[str, str], Decimal]) -> Quotas:
    found = {}
    for group in spec.get("resourceGroups") or ():
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                key = (flavor["name"], resource["name"])
                borrowing, lending = resource.get("borrowingLimit"), resource.get("lendingLimit")
                found[key] = Quota(
                    nominal=quantity(resource.get("nominalQuota") or 0),
                    borrowing_limit=None if borrowing is None else quantity(borrowing),
                    lending_limit=None if lending is None else quantity(lending),
                    reserved=reserved.get(key, Decimal(0)),
                )
    return found


def _stuck(status: Object) -> tuple[str, str, str]:
    """(why a container does not start, what is said of it, its image)."""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waits_for = (container.get("state") or {}).get("waiting") or {}
        if waits_for.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return waits_for["reason"], waits_for.get("message", ""), container.get("image", "")
    return "", "", ""


def _is_end(condition: Object) -> bool:
    return condition["type"] in ("Complete", "Failed") and condition["status"] == "True"


def _pods_at_once(spec: Object, status: Object) -> int:
    """How many pods it should have now: none more than are left to succeed."""
    most = int(spec.get("parallelism", 1))
    completions = spec.get("completions")
    return most if completions is None else min(most, int(completions) - int(status.get("succeeded") or 0))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
