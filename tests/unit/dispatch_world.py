"""A simulated site, cluster and dispatcher: what is decided is done, and every step may be the last."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from operators.api.remote_job import Attempt
from operators.dispatch import observe
from operators.dispatch.decide import (
    NAME_PREFIX,
    Action,
    Ask,
    Bounds,
    CallOff,
    End,
    Fail,
    Hold,
    Intend,
    Job,
    LetGo,
    Note,
    Observed,
    Rest,
    Send,
    Stop,
    decide,
    is_over,
)
from operators.dispatch.observe import CalledOff, Intended, Sending
from operators.dispatch.placement import Place
from operators.dispatch.tasks import (
    Cancelled,
    Failed,
    Found,
    NotSent,
    OfJob,
    Refusal,
    Seen,
    Submitted,
)
from operators.sites.access import RemoteJobRow

PLACE = Place("lumi", "small-g", "project_465000001", "gpu-hours", False, 1, 1, None, None)
BOUNDS = Bounds()
MIN_JOB_AGE = 300


class Killed(Exception):  # noqa: N818 (what happened)
    """The dispatcher's process is gone, here."""


@dataclass
class SimulatedSite:
    """A scheduler that loses answers, is late with them, or is not there.

    A submission on its way is accepted late or never, but never after the window; ended jobs leave the
    queue after a while and stay in accounting.
    """

    chance: random.Random
    faults: float = 0.3
    now: float = 1_000_000.0
    jobs: dict[int, RemoteJobRow] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    on_the_way: list[tuple[float, str]] = field(default_factory=list)
    next_id: int = 100
    down_until: float = 0
    accounting_down_until: float = 0
    backlog: float = 0
    """Seconds that it is behind at most when it answers again."""
    accounted: dict[int, float] = field(default_factory=dict)
    """When the accounting is told of each."""
    rejecting: bool = False
    skew: float = 0

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        # A controller that hung takes up what lies in its socket, a moment after it answers again.
        if self.now < self.down_until:
            arrives = self.down_until + self.chance.uniform(0, 20)
            self.on_the_way = [(max(due, arrives), name) for due, name in self.on_the_way]
        for due, name in [one for one in self.on_the_way if one[0] <= self.now]:
            self.on_the_way.remove((due, name))
            self._accept(name)
        for id, at in list(self.ends.items()):
            row = self.jobs[id]
            if at <= self.now and not is_over(row):
                self.jobs[id] = replace(row, state="succeeded", ended=int(at), exit_code=0)
                self._account(id)
        if self.chance.random() < 0.02:
            self.down_until = max(self.down_until, self.now + self.chance.uniform(5, 300))
        if self.chance.random() < 0.0005:
            self.lose_accounting(self.chance.uniform(60, 900))
        if self.chance.random() < 0.05:
            self.next_id = 100  # a counter's reset

    def submit(self, attempt: Attempt, before: float) -> int | str:
        """The id, or "uncertain", "unreachable" or "rejected"."""
        if self.now < self.down_until:
            return "unreachable"
        if self.rejecting:
            return "rejected"
        if self.chance.random() >= self.faults:
            return self._accept(attempt.name)
        match self.chance.choice(("lost", "nothing", "late", "unreachable", "garbled")):
            case "unreachable":
                return "unreachable"
            case "late":
                self.on_the_way.append((self.chance.uniform(self.now, before), attempt.name))
            case "lost" | "garbled":
                self._accept(attempt.name)
        return "uncertain"

    def find(self, name: str, since: int) -> list[RemoteJobRow] | None:
        away = max(self.down_until, self.accounting_down_until)
        if self.now < away or self.chance.random() < self.faults / 2:
            return None
        return [
            row
            for row in self.jobs.values()
            if row.name == name and row.submitted >= since and self._tells_of(row)
        ]

    def look(self, name: str) -> list[RemoteJobRow] | None:
        """What waits or runs; the accounting is not asked."""
        if self.now < self.down_until or self.chance.random() < self.faults / 2:
            return None
        return [row for row in self.jobs.values() if row.name == name and not is_over(row)]

    def cancel(self, row: RemoteJobRow) -> bool:
        """Whether it is known to have been done."""
        if self.now < self.down_until:
            return False
        there = self.jobs.get(row.id)
        if there and there.submitted == row.submitted and not is_over(there):
            self.jobs[row.id] = replace(there, state="cancelled", ended=int(self.now))
            self._account(row.id)
        return self.chance.random() >= self.faults / 2

    def named(self, name: str) -> list[RemoteJobRow]:
        return [row for row in self.jobs.values() if row.name == name]

    def lose_accounting(self, seconds: float) -> None:
        """It is away for so long, and then behind for as long at most."""
        self.accounting_down_until, self.backlog = self.now + seconds, min(seconds, 600)

    def _account(self, id: int) -> None:
        """The accounting is told of an end some time after it is there."""
        away = self.now < self.accounting_down_until
        told = self.accounting_down_until + self.backlog if away else self.now + 5
        self.accounted[id] = self.chance.uniform(max(self.now, self.accounting_down_until), told)

    def _tells_of(self, row: RemoteJobRow) -> bool:
        """Whether the queue remembers it or the accounting knows of it."""
        remembered = not is_over(row) or self.now < (row.ended or 0) + MIN_JOB_AGE
        return remembered or self.now >= self.accounted[row.id]

    def _accept(self, name: str) -> int:
        while self.next_id in self.jobs:
            self.next_id += 1
        id = self.next_id
        self.jobs[id] = RemoteJobRow(
            *(id, name, name, "p", "small-g", "u", "running", "RUNNING", int(self.now + self.skew))
        )
        self.ends[id] = self.now + self.chance.uniform(1, 600)
        return id


@dataclass
class Dispatcher:
    """What the loop does, with a cut possible before and after each effect; knows what ``observe`` says."""

    site: SimulatedSite
    job: Job
    cut: Callable[[str], None]
    told: Observed = field(default_factory=Observed)
    outcome: str = ""
    gone: bool = False
    seen: list[str] = field(default_factory=list)

    def step(self) -> None:
        action = decide(self.job, self.told, self.site.now, BOUNDS)
        name = type(action).__name__
        self.seen.append(name)
        self.cut(f"before {name}")
        self._carry_out(action)
        self.cut(f"after {name}")

    def look(self) -> None:
        """At the whole queue, as is done now and then."""
        asked = self.site.now
        rows = self.site.look(f"{NAME_PREFIX}{self.job.uid}")
        if rows is not None and self.job.attempt is not None:
            self._happened(Seen(self.job.uid, tuple(rows), asked))

    def die(self) -> None:
        self.told = Observed(since=self.site.now)

    def _happened(self, what: OfJob | Intended | Sending | CalledOff) -> None:
        self.told = observe.after(self.told, what, self.site.now, BOUNDS.silence)

    def _carry_out(self, action: Action) -> None:
        job = self.job
        match action:
            case Hold():
                self.job = replace(job, held=True)
            case LetGo():
                self.job, self.gone = replace(job, held=False), job.deleting
            case Intend(attempt):
                self.job = replace(job, attempt=attempt)
                self.cut("after the intention")
                self._happened(Intended(attempt.asks))
            case CallOff():
                self.job = replace(job, attempt=None)
                self._happened(CalledOff())
            case Note(row):
                update = {"id": row.id, "submitted": row.submitted}
                assert job.attempt is not None
                self.job = replace(job, attempt=job.attempt.model_copy(update=update))
            case End(row):
                self.job, self.outcome = replace(job, over=True), row.state
            case Fail():
                self.job, self.outcome = replace(job, over=True), "failed"
            case Rest():
                pass
            case Ask() | Send() | Stop():
                self._happened(self._asked(action))

    def _asked(self, action: Ask | Send | Stop) -> OfJob:
        """What comes of what the site is asked; from a worker, so that nothing else is known before it."""
        job, site = self.job, self.site
        if site.chance.random() < site.faults / 3 and not isinstance(action, Send):
            return Failed(job.uid, "it is asked again in a moment", 7, asked=False)
        match action:
            case Ask(attempt):
                asked = site.now
                rows = site.find(attempt.name, attempt.since)
                if rows is None:
                    return Failed(job.uid, "it does not answer")
                return Found(job.uid, tuple(rows), asked)
            case Stop(row):
                return (
                    Cancelled(job.uid, site.now) if site.cancel(row) else Failed(job.uid, "it is not known")
                )
            case Send(attempt):
                return self._sent(attempt)

    def _sent(self, attempt: Attempt) -> OfJob:
        self._happened(Sending())
        result = self.site.submit(attempt, attempt.asked + BOUNDS.window)
        self.cut("after sbatch")
        match result:
            case "unreachable":
                return NotSent(self.job.uid, attempt, "no route")
            case "rejected":
                return Refusal(self.job.uid, attempt, "bad account")
            case int():
                self.job = replace(self.job, attempt=attempt.model_copy(update={"id": result}))
                return Submitted(self.job.uid, attempt, result)
        return Failed(self.job.uid, "it is not known")
