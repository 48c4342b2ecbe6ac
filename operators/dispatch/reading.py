"""RemoteJobs as the API server sent them, in the terms of the dispatch. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from operators.api.names import REMOTE_JOB_FINALIZER
from operators.api.remote_job import Attempt, RemoteJobSpec
from operators.dispatch.decide import Job
from operators.dispatch.placement import Place, seconds
from operators.dispatch.workload import Work
from operators.sites.access import RemoteJobRow, Submission
from operators.tenancy import Object

FINALIZER: Final = REMOTE_JOB_FINALIZER


def job_of(obj: Object, may: tuple[Place, ...], work: Work | None) -> Job:
    """What is decided on, of a RemoteJob and its Workload."""
    attempt = attempt_of(obj)
    return Job(
        uid=obj["metadata"]["uid"],
        deleting=deleting(obj),
        held=FINALIZER in obj["metadata"].get("finalizers", ()),
        over=is_over(obj),
        attempt=attempt,
        place=_at(attempt, work) if attempt else (place_of(may, work) if work and work.admitted else None),
    )


def _at(attempt: Attempt, work: Work | None) -> Place | None:
    """The place of a job that is on its way or there: it stays until Kueue calls it back.

    A Workload that is gone or not admitted again yet calls nothing back: it is made anew for that place.
    """
    if work is not None and work.evicted:
        return None
    return Place(attempt.site, attempt.partition, attempt.project, "", False, 1, 0, None, None)


def place_of(may: tuple[Place, ...], work: Work | None) -> Place | None:
    """The place that Kueue has reserved quota for."""
    return next((place for place in may if work and place.flavor == work.flavor), None)


def submission_of(obj: Object, spec: RemoteJobSpec, attempt: Attempt, place: Place) -> Submission:
    """What is handed to the site for it."""
    return Submission(
        name=attempt.name,
        comment=f"antenna {obj['metadata']['namespace']}/{obj['metadata']['name']}",
        project=attempt.project,
        partition=attempt.partition,
        nodes=place.nodes,
        seconds=seconds(spec.time_limit),
        script=spec.script,
        gpus_per_node=place.gpus_per_node,
        # A partition of whole nodes gives all of them: nothing of a part is asked for.
        cores_per_task=0 if place.whole_nodes else (place.cores_per_node or 0),
        memory_mib_per_node=0 if place.whole_nodes else (place.memory_gib_per_node or 0) * 1024,
        directory=spec.directory or "",
        login=attempt.login,
        inputs=spec.input,
        outputs=spec.output,
    )


def status_of(obj: Object) -> Object:
    """Its status; empty while there is none."""
    found: Object = obj.get("status") or {}
    return found


def attempt_of(obj: Object) -> Attempt | None:
    """The submission that was decided on."""
    found: Any = status_of(obj).get("attempt")
    return Attempt.model_validate(found) if found else None


def rows_of(attempt: Attempt, rows: Iterable[RemoteJobRow], reader: str) -> tuple[RemoteJobRow, ...]:
    """Those that can be the attempt's: its login's, of its project, in its partition.

    Anybody at a site can give a job any name. The one that the site took is told by its id, wherever somebody
    there has moved it since. ``reader`` had submitted what names no login.
    """
    login, there = attempt.login or reader, (attempt.project, attempt.partition)
    mine = (row for row in rows if row.user == login)
    return tuple(row for row in mine if row.id == attempt.id or (row.project, row.partition) == there)


def where(attempt: Attempt) -> tuple[str, str]:
    """Site and partition of an attempt."""
    return attempt.site, attempt.partition


def is_over(obj: Object) -> bool:
    """Whether its end is in its status."""
    return _finished(obj) is not None


def ended(obj: Object) -> float:
    """When its end was written, in seconds since the epoch. Raises ValueError for one that is not over."""
    finished = _finished(obj)
    if finished is None:
        raise ValueError(f"{title_of(obj)} is not over")
    return datetime.fromisoformat(finished["lastTransitionTime"]).timestamp()


def _finished(obj: Object) -> Object | None:
    said: Iterable[Object] = status_of(obj).get("conditions") or ()
    return next((c for c in said if c["type"] == "Finished" and c["status"] == "True"), None)


def deleting(obj: Object) -> bool:
    """Whether it is to go."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def tenant_of(obj: Object) -> str:
    """The partner that its namespace is, if it is one's."""
    return str(obj["metadata"]["namespace"]).removeprefix("tenant-")


def title_of(obj: Object) -> str:
    """For the log."""
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
