"""What is done next about a RemoteJob that may go, is on its way, or is at its site. Pure.

Exactly once, whatever is cut where. The site cannot be asked to take a job only if it has none of that
name, so the order of things does it:

1. The intention to submit is written into the status *before* the site is asked: a stable name, and when.
2. The site is asked for jobs of that name; one that is there is adopted.
3. Only then is the job submitted, and only by the process that wrote the intention itself: it alone knows
   that nothing was sent for it.
4. Whoever finds an intention of which it does not know that (another process, the same after an unclear
   answer) looks for the job until the answer can be trusted, and only then writes the intention anew.

When can "there is no such job" be trusted? A submission is accepted by the site before the window after
its intention has passed, or never (``Bounds.window``): it is begun in the window's first part only, and the
site itself refuses one that reaches it ``Bounds.sending`` after that.
An accepted job shows in squeue from then on, and for MinJobAge (300 s by Slurm's default, what the stand-ins
and both sites have or exceed) after its end, when accounting has it. So an empty answer to a question that
was put later than window + margin for clocks means that there is none, if the controller has worked all
along: one that hung may yet take what lay in its socket. So the answers of the last margin must all have
come, and all have been empty.

Later than that the queue has forgotten a job that ended at once, and the accounting alone can tell of it. One
that was away answers again before it has been told what ended meanwhile: so where the question comes later
than ``Bounds.remembered`` after the intention, no silence may have ended in the ``Bounds.behind`` before it.

A job is never ended by an empty or a failed answer: only by a row that says how it ended. What its scheduler
refuses is tried again after a while, and not for ever: ``Bounds.rejections``, ``Bounds.patience``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from operators.api.remote_job import Attempt
from operators.dispatch.catching_up import SILENCES
from operators.dispatch.placement import Place
from operators.sites.access import RemoteJobRow

NAME_PREFIX: Final = "antenna-"
_OVER: Final = ("succeeded", "failed", "cancelled")
# The site has it from before only where its clock is that far behind ours.
_CLOCKS: Final = 3600


@dataclass(frozen=True)
class Bounds:
    """Times, in seconds."""

    window: int = 90
    """After its intention no submission is accepted any more."""
    sending: int = 45
    """How long a submission that has begun may take to be accepted: the site refuses a later one."""
    margin: int = 60
    """How far clocks may differ, and how long an accepted job may take to show."""
    again: float = 15
    """Between two questions for a job that may be there, and between two requests to cancel one."""
    stale: float = 180
    """After so long without an answer about a job it is asked for by its name."""
    rejections: int = 3
    """Refusals for good after which the job has failed: what is new at the site may be known there soon."""
    patience: float = 7 * 86400
    """After its first intention a job has failed that its scheduler refuses, for whatever reason."""
    remembered: float = 300
    """For so long after its end a scheduler tells of a job by itself (Slurm's MinJobAge)."""
    behind: float = 900
    """So long after a silence an accounting can be behind its scheduler."""

    @property
    def silence(self) -> float:
        """So long without an answer is one.

        Whatever was there at all in a shorter time is told of after it by the scheduler itself; and some of
        which nobody takes notice fit into ``behind``.
        """
        return min(self.behind / SILENCES, self.remembered - self.margin)

    @property
    def settled(self) -> int:
        """After an intention an empty answer means that nothing was submitted for it."""
        return self.window + self.margin


@dataclass(frozen=True)
class Job:
    """A RemoteJob as its object has it: what outlives every process."""

    uid: str
    deleting: bool = False
    held: bool = False
    """Our finalizer is on it."""
    over: bool = False
    """Its end is in its status."""
    attempt: Attempt | None = None
    place: Place | None = None
    """Where it may go now: Kueue has admitted it there."""

    @property
    def wanted(self) -> bool:
        """Whether it is to be, or to stay, at the site."""
        return not self.deleting and self.place is not None


@dataclass(frozen=True)
class Answer:
    """Jobs of the attempt's name that the site told of; ``asked`` is when the question was put."""

    rows: tuple[RemoteJobRow, ...]
    asked: float
    since: float
    """When the first of the answers in a row was asked for that all came, and told the same: none."""

    def after(self, before: Answer | None) -> Answer:
        """This answer as the next one after ``before``, with no failure between them."""
        if before is None or self.rows or before.rows:
            return self
        return replace(self, since=before.since)


@dataclass(frozen=True)
class Observed:
    """What this process knows of a job besides; it forgets it when it ends."""

    unsent: int = 0
    """``asks`` of the intention that it wrote itself and has sent nothing for; 0: there is none."""
    answer: Answer | None = None
    steady: float = 0
    """Since when the job's own questions have been answered without a silence of the site."""
    heard: float | None = None
    """When the last of them that was answered was put."""
    since: float = 0
    """When it began to look at all jobs of the sites: the first look tells of most."""
    stopped: float = 0
    """When it last asked for the job's cancellation."""
    rejections: int = 0
    """Refusals for good."""
    refusals: int = 0
    """All of them."""
    rejection: str = ""
    """The scheduler's last refusal."""
    not_before: float = 0
    """The site is not asked for the job's sake sooner."""


@dataclass(frozen=True)
class Rest:
    """Nothing to do before ``until``, or before something happens where it is None."""

    until: float | None = None


@dataclass(frozen=True)
class Hold:
    """Put the finalizer on: from now on the object stays until the site has nothing of it."""


@dataclass(frozen=True)
class LetGo:
    """Take the finalizer off."""


@dataclass(frozen=True)
class Intend:
    """Write the intention to submit, and know from then on that nothing was sent for it."""

    attempt: Attempt


@dataclass(frozen=True)
class CallOff:
    """Take the intention back: the site certainly has nothing of it."""


@dataclass(frozen=True)
class Ask:
    """Find the jobs of that name."""

    attempt: Attempt


@dataclass(frozen=True)
class Send:
    """Submit, once. From the moment that this begins it is no longer known that nothing was sent."""

    attempt: Attempt


@dataclass(frozen=True)
class Note:
    """Write what the site tells: from here on this row's job is the attempt's."""

    row: RemoteJobRow


@dataclass(frozen=True)
class End:
    """Write the end that the row tells of."""

    row: RemoteJobRow


@dataclass(frozen=True)
class Fail:
    """Write that the site does not take it."""

    message: str


@dataclass(frozen=True)
class Stop:
    """Cancel this job at the site."""

    row: RemoteJobRow


Action = Rest | Hold | LetGo | Intend | CallOff | Ask | Send | Note | End | Fail | Stop


def decide(job: Job, told: Observed, now: float, bounds: Bounds) -> Action:
    """The next thing to do; ``now`` in seconds since the epoch."""
    action = _decide(job, told, now, bounds)
    if isinstance(action, Intend | Ask | Send | Stop | End) and told.not_before > now:
        return Rest(told.not_before)
    return action


def _decide(job: Job, told: Observed, now: float, bounds: Bounds) -> Action:
    if job.over or (job.attempt is None and job.deleting):
        return LetGo() if job.held else Rest()
    if job.attempt is None:
        if not job.wanted or job.place is None:
            return Rest()
        return Intend(first(job.uid, job.place, now)) if job.held else Hold()
    if job.attempt.id is None:
        return _find_out(job, job.attempt, told, now, bounds)
    return _follow(job, job.attempt, told, now, bounds)


def first(uid: str, place: Place, now: float) -> Attempt:
    """The first intention to submit a job to a place."""
    return Attempt(
        number=1,
        name=f"{NAME_PREFIX}{uid}",
        since=max(0, int(now) - _CLOCKS),
        asked=int(now),
        site=place.site,
        partition=place.partition,
        project=place.project,
    )


def in_time(attempt: Attempt, now: float, bounds: Bounds) -> bool:
    """Whether a submission may still begin for the intention."""
    return now <= attempt.asked + bounds.window - bounds.sending


def is_over(row: RemoteJobRow) -> bool:
    """Whether a job has ended."""
    return row.state in _OVER


def _find_out(  # noqa: PLR0911 (a step each)
    job: Job, attempt: Attempt, told: Observed, now: float, bounds: Bounds
) -> Action:
    """Submit it, or find out whether it was."""
    answer = told.answer
    if rows := _named(attempt, answer):
        return Note(rows[0])
    if told.unsent == attempt.asks:
        if not job.wanted:
            return CallOff()
        if _given_up(attempt, told, now, bounds):
            return Fail(told.rejection)
        if answer is None or answer.asked < attempt.asked:
            return Ask(attempt)
        if not in_time(attempt, now, bounds):
            return Intend(_again(attempt, now))
        return Send(attempt)
    if answer is not None and _certain(answer, attempt, told.steady, bounds):
        if not job.wanted:
            return CallOff()
        if _given_up(attempt, told, now, bounds):
            return Fail(told.rejection)
        return Intend(_again(attempt, now))
    due = answer.asked + bounds.again if answer else now
    return Ask(attempt) if due <= now else Rest(due)


def _given_up(attempt: Attempt, told: Observed, now: float, bounds: Bounds) -> bool:
    """Whether it was refused for good, or for so long."""
    tried_for = now - (attempt.since + _CLOCKS)
    return told.rejections >= bounds.rejections or bool(told.rejection and tried_for >= bounds.patience)


def _certain(answer: Answer, attempt: Attempt, steady: float, bounds: Bounds) -> bool:
    """Whether "there is none" can be trusted."""
    late = answer.asked >= attempt.asked + bounds.settled
    remembered = answer.asked <= attempt.asked + bounds.remembered - bounds.margin
    told = remembered or answer.asked >= steady + bounds.behind
    return late and told and answer.asked >= answer.since + bounds.margin


def _follow(job: Job, attempt: Attempt, told: Observed, now: float, bounds: Bounds) -> Action:
    """Follow a job that the site has, to its end."""
    rows = _named(attempt, told.answer)
    row = next((one for one in reversed(rows) if one.id == attempt.id), None)
    may_stop = told.stopped + bounds.again <= now
    # None of ours can be there twice; should one be, by whatever way, it goes.
    stray = next((one for one in rows if one.id != attempt.id and not is_over(one)), None)
    if stray is not None and may_stop:
        return Stop(stray)
    if row is not None and is_over(row):
        return End(row)
    asked = told.answer.asked if told.answer else told.since
    if not job.wanted:
        # Stopped, and looked at again before it is stopped again.
        if row is not None and asked > told.stopped and may_stop:
            return Stop(row)
        due = max(asked, told.stopped) + bounds.again
        return Ask(attempt) if due <= now else Rest(due)
    if row is None or asked + bounds.stale <= now:
        due = asked + bounds.again
        return Ask(attempt) if due <= now else Rest(due)
    return Note(row)


def _again(attempt: Attempt, now: float) -> Attempt:
    return attempt.model_copy(update={"asked": int(now), "asks": attempt.asks + 1})


def _named(attempt: Attempt, answer: Answer | None) -> list[RemoteJobRow]:
    """The rows that are of this attempt, by name and time, the first submitted first.

    Of an adopted job also the site's id and stamp: a requeued job keeps its id and is stamped anew.
    """
    rows = [
        row
        for row in (answer.rows if answer else ())
        if row.name == attempt.name
        and row.submitted >= attempt.since
        and not (row.id == attempt.id and row.submitted < (attempt.submitted or 0))
    ]
    return sorted(rows, key=lambda row: (row.submitted, row.id))
