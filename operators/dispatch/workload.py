"""The Kueue Workload of a RemoteJob: how it is made, what Kueue says of it, what is told to Kueue. Pure.

Fields as Kueue has them: https://kueue.sigs.k8s.io/docs/reference/kueue.v1beta2/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB, REMOTE_JOB_LABEL
from operators.dispatch.placement import Place
from operators.queues import API_VERSION as KUEUE
from operators.queues import CHECKS, FLAVOR_LABEL, REMOTE, REMOTE_CORE, REMOTE_GPU, REMOTE_RESOURCES
from operators.tenancy import Object

JOB_LABEL: Final = REMOTE_JOB_LABEL
WORKLOAD: Final = "Workload"
_POD_SET: Final = "main"


@dataclass(frozen=True)
class Verdict:
    """What an admission check says of a Workload."""

    ready: bool
    message: str


@dataclass(frozen=True)
class Work:
    """A Workload as far as its RemoteJob is concerned."""

    name: str
    candidates: tuple[str, ...]
    """The flavors that it may go to."""
    flavor: str = ""
    """The one that Kueue has reserved."""
    admitted: bool = False
    evicted: str = ""
    """Why it must not run (any more); empty while it may."""
    started: bool = False
    """Kueue was told so: it waits for no pods of it."""
    finished: bool = False
    waiting: str = ""
    """Why it has no quota yet, in Kueue's words."""
    ready: frozenset[str] = frozenset()
    """The checks that are Ready."""
    inactive: bool = False
    """Somebody has deactivated it: Kueue leaves it alone until it is active again."""


def workload(job: Object, queue: str, places: Iterable[Place]) -> Object:
    """The Workload of a job that may go to these places. All ask for the same."""
    wanted = tuple(places)
    metadata, one = job["metadata"], wanted[0]
    return {
        "apiVersion": KUEUE,
        "kind": WORKLOAD,
        "metadata": {
            "name": workload_name(job),
            "namespace": metadata["namespace"],
            "labels": {JOB_LABEL: metadata["uid"]},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": REMOTE_JOB,
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {
            "queueName": queue,
            "podSets": [
                {"name": _POD_SET, "count": one.nodes, "template": {"spec": _pod(one, wanted)}},
            ],
        },
    }


def workload_name(job: Object) -> str:
    """Its name: another one for a RemoteJob that is made anew under the same name."""
    return f"remotejob-{job['metadata']['name']}-{job['metadata']['uid'][:8]}"


def read(found: Object) -> Work:
    """A Workload as the API server sent it."""
    spec, status = found["spec"], found.get("status") or {}
    said = {condition["type"]: condition for condition in status.get("conditions") or ()}
    true = {kind for kind, condition in said.items() if condition["status"] == "True"}
    assignments = (status.get("admission") or {}).get("podSetAssignments") or ()
    given: Object = (assignments[0].get("flavors") or {}) if assignments else {}
    flavors = [given[name] for name in REMOTE_RESOURCES if name in given]
    inactive = not spec.get("active", True)
    evicted = said["Evicted"].get("message", "") or "evicted" if "Evicted" in true else ""
    reserved = "QuotaReserved" in true
    return Work(
        name=found["metadata"]["name"],
        candidates=_candidates(spec),
        flavor=next(iter(flavors), "") if reserved else "",
        admitted="Admitted" in true and not evicted and not inactive,
        evicted="deactivated" if inactive else evicted,
        started="PodsReady" in true,
        finished="Finished" in true,
        waiting="" if reserved else said.get("QuotaReserved", {}).get("message", ""),
        ready=frozenset(
            check["name"] for check in status.get("admissionChecks") or () if check["state"] == "Ready"
        ),
        inactive=inactive,
    )


def judged(found: Object, verdicts: Mapping[str, Verdict], now: str) -> Object | None:
    """The patch of its status that tells Kueue these verdicts; None where it knows them.

    A check that is Ready stays so: what was let go is not called back. Carries the version that it was
    made from, for the list is written whole.
    """
    before = (found.get("status") or {}).get("admissionChecks") or ()
    after = [_judged(check, verdicts.get(check["name"]), now) for check in before]
    if list(before) == after:
        return None
    return _versioned(found, {"status": {"admissionChecks": after}})


def started(found: Object, now: str) -> Object:
    """The patch that has Kueue not wait for its pods, of which there are none.

    Kueue calls back what is admitted and not ready after half an hour (waitForPodsReady, on by default): a
    job may wait longer than that in its site's queue.
    """
    return _said(found, "PodsReady", "Started", "it is its site that decides when it runs", now)


def finished(found: Object, succeeded: bool, message: str, now: str) -> Object:
    """The patch that tells Kueue the end of it: its quota is free again."""
    return _said(found, "Finished", "Succeeded" if succeeded else "Failed", message, now)


def _said(found: Object, kind: str, reason: str, message: str, now: str) -> Object:
    conditions = [c for c in (found.get("status") or {}).get("conditions") or () if c["type"] != kind]
    said = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
        "observedGeneration": found["metadata"].get("generation", 0),
    }
    return _versioned(found, {"status": {"conditions": [*conditions, said]}})


def _pod(one: Place, places: tuple[Place, ...]) -> Object:
    """A pod that never is: Kueue reads from it what is asked for and where it may be had."""
    asked = {REMOTE_GPU: str(one.gpus_per_node)}
    if not one.gpus_per_node:
        asked = {REMOTE_CORE: str(one.cores_per_node or 1)}
    flavors = [place.flavor for place in places]
    selects = {"key": FLAVOR_LABEL, "operator": "In", "values": flavors}
    return {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "job",
                "image": "antenna.be/remote-job",
                # Named, so that the namespace's defaults are not added to it.
                "resources": {"requests": {"cpu": "0", "memory": "0", **asked}},
            }
        ],
        "tolerations": [{"key": REMOTE, "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [selects]}]
                }
            }
        },
    }


def _candidates(spec: Object) -> tuple[str, ...]:
    affinity: Any = spec["podSets"][0]["template"]["spec"].get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    for term in (required or {}).get("nodeSelectorTerms") or ():
        for expression in term.get("matchExpressions") or ():
            if expression["key"] == FLAVOR_LABEL:
                return tuple(expression["values"])
    return ()


def _judged(check: Object, verdict: Verdict | None, now: str) -> Object:
    if check["name"] not in CHECKS or verdict is None or check["state"] == "Ready":
        return check
    state = "Ready" if verdict.ready else "Pending"
    if (state, verdict.message) == (check["state"], check.get("message", "")):
        return check
    since = now if state != check["state"] else check.get("lastTransitionTime", now)
    return {**check, "state": state, "message": verdict.message, "lastTransitionTime": since}


def _versioned(found: Object, patch: Object) -> Object:
    return {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, **patch}
