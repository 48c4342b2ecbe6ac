"""How the operator is judged, the same for `doctor`, `status` and the end of `up`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from infra.cli.checks.facts import Operator
from infra.cli.checks.verdict import Verdict
from infra.cli.views.kube import Object, condition
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.alerts import WATCH_STALE_SECONDS
from operators.kube.time import instant
from operators.manifests import NAME, NAMESPACE

CUT: Final = 160  # characters of a message that are shown

_KUBECTL: Final = f"kubectl -n {NAMESPACE}"
_RUNBOOK: Final = f"{RUNBOOKS}/AntennaOperatorDown.md"
_LOOK: Final = f"{_KUBECTL} logs deployment/{NAME} --tail=20; {_RUNBOOK}"
_RESTART: Final = f"{_KUBECTL} rollout restart deployment {NAME}; {_RUNBOOK}"


def judge(found: Operator, up: str) -> Verdict:  # noqa: PLR0911 (a verdict each)
    """One line with its fix. ``up`` is the command that brings the site to what its file says."""
    if not found.deployed:
        return Verdict("fail", "it is not deployed", f"{up} --refresh")
    if found.wanted == 0:
        cause = "scaled to 0: figures stand still, alerts made from them are silent, no remote job moves"
        return Verdict("fail", cause, f"{_KUBECTL} scale deployment {NAME} --replicas=1")
    if not found.ready:
        why = found.state or (
            f"still waiting for {', '.join(found.unlisted)}" if found.unlisted else "its pod is not ready yet"
        )
        return Verdict("fail", f"not ready: {why}{_last(found)}", _LOOK)
    if found.silent:
        return Verdict("fail", f"does not say how old its figures are: {found.silent}", _RESTART)
    if found.age > WATCH_STALE_SECONDS:
        cause = f"its figures of {found.stalest} are {found.age:.0f} s old{_last(found)}"
        return Verdict("fail", cause, _RESTART)
    if found.errors:
        return Verdict("warn", f"ready{_last(found)}", _LOOK)
    return Verdict("ok", f"ready; its figures are at most {found.age:.0f} s old")


def unasked(lease: Object | None, now: datetime) -> str:
    """Why nobody asks the remote sites; empty while somebody does.

    Whoever asks them holds a Lease (https://kubernetes.io/docs/concepts/architecture/leases/) and renews it
    every 10 s; it is void when it was not renewed for its duration.
    """
    spec = (lease or {}).get("spec") or {}
    renewed = instant(spec.get("renewTime"))
    lasts = timedelta(seconds=float(spec.get("leaseDurationSeconds") or 0))
    if spec.get("holderIdentity") and renewed and now <= renewed + lasts:
        return ""
    return "not asked: the operator does not run"


def pod_state(pod: Object) -> str:
    """Why a pod is not ready, from what its kubelet says."""
    status = pod.get("status", {})
    for one in status.get("containerStatuses") or ():
        state = one.get("state") or {}
        waiting, before = state.get("waiting") or {}, (one.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason"):
            ended = f", it ended with {before['exitCode']} before" if "exitCode" in before else ""
            told = f" ({waiting['message'][:CUT]})" if waiting.get("message") else ""
            return f"{waiting['reason']}{told}{ended}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or "it has no node")
    return (
        "its pod has just begun" if status.get("phase") == "Running" else f"its pod is {status.get('phase')}"
    )


def errors(lines: Iterable[str]) -> list[str]:
    """The messages of the lines of a log, in JSON, that tell of an error."""
    found = []
    for line in lines:
        try:
            told = json.loads(line)
            if told["level"] in ("error", "critical"):
                found.append(f"{told['logger']}: {told['message']}")
        except (ValueError, KeyError, TypeError):
            continue  # a line that something else has written, or one that is cut
    return found


def _last(found: Operator) -> str:
    if not found.errors:
        return ""
    count = "1 error" if found.errors == 1 else f"{found.errors} errors"
    return f"; {count} in its log within a minute, the last: {found.error}"
