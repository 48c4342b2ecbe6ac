"""What a login's worker is asked to do, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from operators.api.remote_job import Attempt
from operators.dispatch.checks import Health
from operators.sites.access import Lasting, RemoteJobRow, Submission


@dataclass(frozen=True)
class Find:
    """Find the login's jobs of the attempt's name; ``urgent``: it is to be submitted next, and in time."""

    uid: str
    attempt: Attempt
    login: str
    urgent: bool = False


@dataclass(frozen=True)
class Submit:
    """Submit the attempt's job, if ``still`` says so at the last moment."""

    uid: str
    attempt: Attempt
    submission: Submission
    still: Callable[[], bool]


@dataclass(frozen=True)
class Cancel:
    """Cancel a job."""

    uid: str
    row: RemoteJobRow


@dataclass(frozen=True)
class ReadLog:
    """Read the end of a job's output."""

    uid: str
    row: RemoteJobRow
    directory: str


Task = Find | Submit | Cancel | ReadLog


@dataclass(frozen=True)
class Found:
    """The answer to Find; ``asked`` is when the question was put."""

    uid: str
    rows: tuple[RemoteJobRow, ...]
    asked: float


@dataclass(frozen=True)
class Submitted:
    """It was accepted under this id."""

    uid: str
    attempt: Attempt
    id: int


@dataclass(frozen=True)
class NotSent:
    """It was certainly not sent; ``why`` is for users, ``seconds`` until it is worth another try."""

    uid: str
    attempt: Attempt
    why: str
    seconds: float = 5


@dataclass(frozen=True)
class Refusal:
    """The scheduler answered and did not take it; ``lasting`` says what that is about.

    ``seconds`` until it may be worth another try.
    """

    uid: str
    attempt: Attempt
    why: str
    lasting: Lasting = Lasting.FOR_GOOD
    seconds: float = 60


@dataclass(frozen=True)
class Failed:
    """A task failed, and for a submission: it is not known whether it took effect."""

    uid: str
    why: str
    seconds: float = 15
    asked: bool = True
    """False where the site was not asked at all."""


@dataclass(frozen=True)
class Cancelled:
    """A job was asked to end."""

    uid: str
    at: float


@dataclass(frozen=True)
class Log:
    """The end of a job's output; empty where it could not be read."""

    uid: str
    output: bytes


@dataclass(frozen=True)
class Seen:
    """A look at all jobs of the site told of these, of a job's name."""

    uid: str
    rows: tuple[RemoteJobRow, ...]
    asked: float


@dataclass(frozen=True)
class Looked:
    """A look at all jobs of the site: what waits and runs, or what has ended. Of one that is not in it
    it tells nothing.
    """

    site: str
    rows: tuple[RemoteJobRow, ...]
    asked: float


@dataclass(frozen=True)
class Answering:
    """How the site answers a login has changed; of its reader's: how it answers at all."""

    site: str
    health: Health
    tenant: str = ""


OfJob = Found | Seen | Submitted | NotSent | Refusal | Failed | Cancelled | Log
"""What happened to one job."""

Result = OfJob | Looked | Answering


def rank(task: Task) -> int:
    """What may wait comes last: a submission is begun soon after its intention, or not at all."""
    match task:
        case Submit():
            return 0
        case Find(urgent=True) | Cancel():
            return 1
        case _:
            return 2
