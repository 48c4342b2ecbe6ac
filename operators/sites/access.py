"""Access to a remote site's scheduler: one interface, whatever carries it (Slurm over SSH now).

Every method may raise ``SiteError``. Times are seconds since the epoch, in whole seconds, as the site's
scheduler stamps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

State = Literal["pending", "running", "succeeded", "failed", "cancelled"]
"""As on every label ``state``. Slurm's TIMEOUT, NODE_FAIL, OUT_OF_MEMORY, ... are ``failed``."""


class SiteError(Exception):
    """The site could not be asked, or did not answer as it should. The message is fit for users."""


class Unreachable(SiteError):  # noqa: N818 (what happened, not that something did)
    """No connection; nothing was asked, nothing was done."""


class Lasting(Enum):
    """What a scheduler's refusal is about, and so how long it holds."""

    FOR_GOOD = "for good"
    """This job: it is not taken as it is."""
    FOR_NOW = "for now"
    """What else its login has there, or how much the scheduler has to do: it passes by itself."""
    OF_THE_SITE = "of the site"
    """The partition: it takes no job of anybody's until somebody at the site opens it."""
    UNCLEAR = "unclear"
    """It is not known: the words are not. The job may have been taken."""


class Rejected(SiteError):  # noqa: N818
    """The scheduler answered and refused: the request has certainly had no effect.

    ``seconds`` until it may be worth another try.
    """

    def __init__(self, message: str, lasting: Lasting = Lasting.FOR_GOOD, seconds: float = 60) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.seconds = seconds


class Uncertain(SiteError):  # noqa: N818
    """It is not known whether the request took effect: find out before it is made again."""


class Unclear(Uncertain):
    """So too, but the scheduler has answered, in words that are not known: it works."""


class Held(SiteError):  # noqa: N818
    """Not asked: the floor on polling or the circuit breaker stands before it. ``seconds`` until it may."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Silent(Held):
    """Not asked since it did not answer: not connected to again yet, or the circuit breaker is open."""


@dataclass(frozen=True)
class Resources:
    """What a job has been given (Slurm's AllocTRES), or asks for while it waits (ReqTRES)."""

    nodes: int = 0
    cores: int = 0
    gpus: int = 0
    memory_mib: int = 0

    def times(self, count: int) -> Resources:
        """Of so many alike."""
        held = (self.nodes, self.cores, self.gpus, self.memory_mib)
        return Resources(*(amount * count for amount in held))


@dataclass(frozen=True)
class Submission:
    """A batch job to be submitted. All fields were validated before; the script's text is not trusted."""

    name: str
    """The stable job name: by it the job is found again."""
    comment: str
    """For people who look at the site's queue: ``RemoteJobRow.comment`` decides nothing."""
    project: str
    partition: str
    nodes: int
    seconds: int
    """Time limit."""
    script: str
    gpus_per_node: int = 0
    cores_per_task: int = 0
    tasks_per_node: int = 1
    memory_mib_per_node: int = 0
    """0: the partition's default."""
    directory: str = ""
    """Where it runs and its output lies; empty: a folder of the job's own below the login's home."""
    login: str = ""
    """Who submits it: nothing is submitted as anybody else."""
    inputs: tuple[str, ...] = ()
    """Paths that the script is not started without; a relative one begins at the login's home."""
    outputs: tuple[str, ...] = ()
    """Paths that must be there when it has ended well: the job has failed otherwise."""


@dataclass(frozen=True)
class RemoteJobRow:
    """A job as squeue or sacct tells of it."""

    id: int
    name: str
    comment: str
    """May be empty: Slurm's accounting has it only of a job that has ended, and only where the site says so
    (``AccountingStoreFlags=job_comment``)."""
    project: str
    partition: str
    """Of a job that waits for any of several: all of them, separated by commas, as it was submitted."""
    user: str
    state: State
    raw_state: str
    """The scheduler's own word: COMPLETED, TIMEOUT, ..."""
    submitted: int
    started: int | None = None
    ended: int | None = None
    """The accounting's may have one though the job is not over by ``state``: this run of it is, which was put
    back into the queue, or resized."""
    resources: Resources = Resources()
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    """Why it waits, in the scheduler's word: Priority, Resources, QOSMaxJobsPerUserLimit, ..."""
    start_estimate: int | None = None
    position: int | None = None
    """Place among the pending jobs of its partition, 1 is next; None where it does not wait."""
    limit: int | None = None
    """The job's own time limit in seconds; None where it has none but its partition's."""
    tasks: int = 1
    """Of an array that waits: jobs that are yet to become of it, each with these resources and this limit."""

    suspended: int = 0
    """Seconds since its start in which it did not run, by the scheduler's word: nothing is billed then."""

    @property
    def held_since(self) -> int | None:
        """When it would have started to have run for as long without a break."""
        return None if self.started is None else self.started + self.suspended

    @property
    def demand(self) -> Resources:
        """What all of its tasks hold or ask for."""
        return self.resources if self.tasks == 1 else self.resources.times(self.tasks)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Where it may run, the one that was named first in front."""
        return tuple(self.partition.split(","))


@dataclass(frozen=True)
class NodeRow:
    """Nodes of a partition in one state (idle, mixed, allocated, down, drained, ...)."""

    partition: str
    state: str
    nodes: int


@dataclass(frozen=True)
class Granted:
    """A project's own figures, as the site's tool tells them, in its unit."""

    project: str
    unit: str
    granted: float
    used: float
    as_of: int | None = None
    """When the site refreshed them, where it says so."""


class SiteAccess(Protocol):
    """One remote site's scheduler, as one login there: a partner's, or the reader's.

    Safe to be called from several threads; calls are queued, not merged.
    """

    def serve(self, projects: Sequence[str]) -> None:
        """From now on for these projects; over the same connection."""

    def submit(self, job: Submission) -> int:
        """Submit once; the scheduler's id. Raises Rejected (no effect), Uncertain (perhaps), Unreachable.

        Never tries again by itself.
        """

    def cancel(self, job: RemoteJobRow) -> None:
        """Cancel exactly this job (its id and submit time both match), or find it over already."""

    def check(self) -> None:
        """Show that the login is let in; the scheduler is asked nothing."""

    def find(self, name: str, since: int, login: str) -> Sequence[RemoteJobRow]:
        """All jobs of the name that ``login`` submitted at or after ``since``, in any state, oldest first.

        Asks the queue and the accounting both: a job between the two is never missed.
        """

    def queue(self) -> Sequence[RemoteJobRow]:
        """All jobs of our projects that wait or run. Raises rather than answer with a part.

        For a while also those that have ended: their ends are told here before the accounting tells them.
        """

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        """Runs of jobs of our projects that ended at or after ``since``, from accounting."""

    def nodes(self) -> Sequence[NodeRow]:
        """Node states of the partitions."""

    def granted(self, project: str) -> Granted:
        """The project's budget as the site itself states it."""

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        """The last ``most`` bytes of the job's output; empty where there is none yet."""

    def close(self) -> None:
        """End the connection."""
