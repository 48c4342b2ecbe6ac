"""Why a RemoteJob waits, from what its status says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from operators.reasons import Reason
from operators.why.explanation import Explanation

Object = Mapping[str, Any]

_ASKING: Final = "The operator goes on by itself; `kubectl get remotesites` shows how the sites answer."
# status.reason of a pending job -> what it is called everywhere, and what would unblock it.
_WAITS: Final[Mapping[str, tuple[Reason, str]]] = {
    "Queueing": (Reason.BEHIND_OTHERS, ""),
    "Queued": (Reason.QUOTA_USED_UP, "It goes when work before it in the queue has ended."),
    "Budget": (
        Reason.ADMISSION_CHECK_PENDING,
        "It goes by itself once the budget pays for it; `antenna budget` shows what is left.",
    ),
    "SiteHealth": (
        Reason.ADMISSION_CHECK_PENDING,
        "It goes by itself once the site answers; with site: any it would go elsewhere.",
    ),
    "Evicted": (Reason.EVICTED, "It queues again by itself unless its Workload was deactivated."),
    "Checked": (Reason.STARTING, ""),
    "Submitting": (Reason.STARTING, ""),
    "Submitted": (Reason.STARTING, ""),
    "Uncertain": (Reason.STARTING, _ASKING),
    "Rejected": (
        Reason.ADMISSION_CHECK_PENDING,
        "It is tried again by itself; what is refused for good fails soon, all else after a week.",
    ),
}


def explain_remote(job: Object) -> Explanation:
    """The explanation of a RemoteJob."""
    status = job.get("status") or {}
    name, state = job["metadata"]["name"], status.get("state", "pending")
    message = status.get("message", "")
    if not status:
        return Explanation(Reason.UNKNOWN, f"{name} has not been seen yet.", "Does the operator run?")
    since = _since(status, {"running": "Submitted", "pending": "Admitted"}.get(state, "Finished"))
    if state == "running":
        return Explanation(Reason.RUNNING, f"{name} {message}, as job {status.get('slurmId')}.", "", since)
    if state != "pending":
        why = "was refused" if status.get("slurmId") is None else state
        return Explanation(Reason.FINISHED, f"{name} {why}: {message}.", "", since)
    if status.get("slurmId") is not None and status.get("reason") not in _WAITS:
        # In the site's own queue: its word for it, and its guess when it starts.
        estimate = status.get("startEstimate")
        starts = f"The site means to start it at {estimate}." if estimate else ""
        return Explanation(Reason.BEHIND_OTHERS, f"{name} {message}.", starts, since)
    reason, unblock = _WAITS.get(status.get("reason", ""), (Reason.UNKNOWN, ""))
    return Explanation(reason, f"{name} waits: {message}.", unblock, since)


def _since(status: Object, kind: str) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == kind:
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None
