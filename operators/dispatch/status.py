"""What a RemoteJob's status says: built from what is known, written only where it differs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from operators.api.remote_job import LOG_LENGTH, Attempt
from operators.dispatch.decide import Job, Observed, is_over
from operators.dispatch.placement import Place, Refused
from operators.dispatch.workload import Verdict, Work
from operators.queues import BUDGET, CHECKS
from operators.sites.access import RemoteJobRow
from operators.tenancy import Object

Said = tuple[bool | None, str, str]
"""Whether a condition holds, None where that is unknown; its reason; its message."""

_CHECK_REASON: Final = {BUDGET: "Budget"}
_WORD: Final = {"succeeded": "Succeeded", "failed": "Failed", "cancelled": "Cancelled"}


@dataclass(frozen=True)
class Known:
    """All that is known of a job when its status is written."""

    job: Job
    place: Place | None
    """Where Kueue has reserved quota for it."""
    told: Observed
    work: Work | None
    verdicts: Mapping[str, Verdict]
    title: str
    """Of the site that it is at or goes to."""
    trouble: str = ""
    """Why the site cannot be asked now."""


def refused(refusal: Refused, before: Object, generation: int, now: float) -> Object:
    """The status of a job that cannot be carried out."""
    message = str(refusal)
    return {
        "observedGeneration": generation,
        "state": "failed",
        "reason": refusal.reason,
        "message": message[:1024],
        "conditions": conditions(
            before,
            {
                "Accepted": (False, refusal.reason, message),
                "Finished": (True, "Refused", "it was never submitted"),
            },
            generation,
            now,
        ),
    }


def waiting(known: Known, before: Object, generation: int, now: float) -> Object:
    """The status of a job that is not at its site yet, as far as is known."""
    reason, message = _waits_for(known)
    work = known.work
    admitted = bool(work and work.admitted)
    flavor = work.flavor if work else ""
    place = known.place
    return {
        "observedGeneration": generation,
        "state": "pending",
        "reason": reason,
        "message": message[:1024],
        "flavor": flavor,
        "site": place.site if place else "",
        "partition": place.partition if place else "",
        "conditions": conditions(
            before,
            {
                "Accepted": (True, "Accepted", ""),
                "Admitted": (admitted, "Admitted" if admitted else reason, "" if admitted else message),
            },
            generation,
            now,
        ),
    }


def at_site(row: RemoteJobRow, title: str, before: Object, generation: int, now: float) -> Object:
    """The status of a job that its site has told of."""
    over = is_over(row)
    reason = _WORD.get(row.state, "") or row.reason or row.raw_state.title()
    said = {
        "Accepted": (True, "Accepted", ""),
        "Submitted": (True, "Submitted", f"{title} has it as {row.id}"),
    }
    if over:
        said["Finished"] = (True, _WORD[row.state], _ended(row, title))
    return {
        "observedGeneration": generation,
        "state": row.state,
        "reason": reason[:128],
        "message": (_ended(row, title) if over else _goes_on(row, title))[:1024],
        "partition": row.partition or before.get("partition", ""),
        "slurmId": row.id,
        "exitCode": row.exit_code if over else None,
        "signal": row.signal if over else None,
        "submitTime": time(row.submitted),
        "startTime": time(row.started),
        "endTime": time(row.ended),
        "queuePosition": None if over else row.position,
        "startEstimate": None if over else time(row.start_estimate),
        "conditions": conditions(before, said, generation, now),
    }


def rejected(message: str, before: Object, generation: int, now: float) -> Object:
    """The status of a job that its site's scheduler refused for good."""
    said = {"Finished": (True, "Rejected", message)}
    return {
        "observedGeneration": generation,
        "state": "failed",
        "reason": "Rejected",
        "message": message[:1024],
        "conditions": conditions(before, said, generation, now),
    }


def attempted(attempt: Attempt | None) -> Object:
    """The part of the status that the dispatch is remembered by."""
    return {"attempt": attempt.model_dump(mode="json", by_alias=True) if attempt else None}


def log_tail(output: bytes) -> Object:
    """The end of the output, as text that an API object can hold."""
    text = output.decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return {"logTail": shown[-LOG_LENGTH:]}


def change(before: Object, after: Object) -> Object:
    """The merge patch that makes ``before`` say ``after``; empty where it does."""
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    # Absent fields that are to be empty or absent are as they should be.
    return {key: value for key, value in changed.items() if value not in (None, "") or key in before}


def conditions(before: Object, said: Mapping[str, Said], generation: int, now: float) -> list[Object]:
    """Conditions with these of them, by type, renewed; a transition's time is kept while the status stays."""
    old: Iterable[Object] = before.get("conditions") or ()
    by_type = {condition["type"]: condition for condition in old}
    for kind, (holds, reason, message) in said.items():
        status = "Unknown" if holds is None else str(holds)
        kept = by_type.get(kind, {}).get("status") == status
        by_type[kind] = {
            "type": kind,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": by_type[kind]["lastTransitionTime"] if kept else time(int(now)),
            "reason": reason or "Unknown",
            "message": message[:1024],
        }
    return list(by_type.values())


def time(seconds: int | None) -> Any:
    """Seconds since the epoch as Kubernetes writes them."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _waits_for(known: Known) -> tuple[str, str]:  # noqa: PLR0911 (a reason each)
    job, told, work = known.job, known.told, known.work
    if job.attempt is not None:
        return _on_its_way(job.attempt, told, known)
    if work is None:
        return "Queueing", "enters its queue"
    if work.evicted:
        return "Evicted", work.evicted
    if not work.flavor:
        return "Queued", work.waiting or "waits for its turn in the queue"
    for name in CHECKS:
        verdict = known.verdicts.get(name)
        if name not in work.ready and verdict is not None and not verdict.ready:
            return _CHECK_REASON.get(name, "SiteHealth"), verdict.message
    if not work.admitted:
        return "Checked", "passes the admission checks"
    return "Submitting", f"goes to {known.title}" + (f": {known.trouble}" if known.trouble else "")


def _on_its_way(attempt: Attempt, told: Observed, known: Known) -> tuple[str, str]:
    if told.rejection:
        again = f"; it is tried again at {time(int(told.not_before))}" if told.not_before else ""
        return "Rejected", f"{known.title} refuses it: {told.rejection}{again}"
    if told.unsent == attempt.asks:
        return "Submitting", f"goes to {known.title}" + (f": {known.trouble}" if known.trouble else "")
    return (
        "Uncertain",
        f"it is not known whether {known.title} has it; it is looked for before it is submitted again"
        + (f": {known.trouble}" if known.trouble else ""),
    )


def _goes_on(row: RemoteJobRow, title: str) -> str:
    if row.state == "running":
        return f"runs at {title}"
    place = f"; number {row.position} of the partition's queue" if row.position else ""
    return f"waits at {title}: {row.reason or row.raw_state}{place}"


def _ended(row: RemoteJobRow, title: str) -> str:
    code = f" with exit code {row.exit_code}" if row.exit_code is not None else ""
    signal = f", signal {row.signal}" if row.signal else ""
    return f"ended at {title}: {row.raw_state}{code}{signal}"
