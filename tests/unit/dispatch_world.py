"""A simulated site, cluster and dispatcher: what is decided is done, and every step may be the last."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from operators.api.remote_job import Attempt
from operators.dispatch.decide import (
    Answer,
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
    Rest,
    Send,
    Stop,
    Told,
    decide,
    is_over,
)
from operators.dispatch.placement import Place
from operators.sites.access import RemoteJobRow

PLACE = Place("lumi", "small-g", "project_465000001", "gpu-hours", False, 1, 1, None, None)
BOUNDS = Bounds()


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
        if self.chance.random() < 0.02:
            self.down_until = self.now + self.chance.uniform(5, 300)
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
        if self.now < self.down_until or self.chance.random() < self.faults / 2:
            return None
        return [row for row in self.jobs.values() if row.name == name and row.submitted >= since]

    def cancel(self, row: RemoteJobRow) -> None:
        if self.now < self.down_until or self.chance.random() < self.faults / 2:
            return
        there = self.jobs.get(row.id)
        if there and there.submitted == row.submitted and not is_over(there):
            self.jobs[row.id] = replace(there, state="cancelled", ended=int(self.now))

    def named(self, name: str) -> list[RemoteJobRow]:
        return [row for row in self.jobs.values() if row.name == name]

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
    """What the loop does, with a cut possible before and after every effect."""

    site: SimulatedSite
    job: Job
    cut: Callable[[str], None]
    told: Told = field(default_factory=Told)
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

    def die(self) -> None:
        self.told = Told()

    def _carry_out(self, action: object) -> None:  # noqa: PLR0912 (a case an action)
        job, site = self.job, self.site
        match action:
            case Hold():
                self.job = replace(job, held=True)
            case LetGo():
                self.job, self.gone = replace(job, held=False), job.deleting
            case Intend(attempt):
                self.job = replace(job, attempt=attempt)
                self.cut("after the intention")
                self.told = replace(self.told, unsent=attempt.asks)
            case CallOff():
                self.job, self.told = replace(job, attempt=None), Told()
            case Ask(attempt):
                asked = site.now
                rows = site.find(attempt.name, attempt.since)
                if rows is not None:
                    answer = Answer(tuple(rows), asked, asked).after(self.told.answer)
                    self.told = replace(self.told, answer=answer)
                elif self.told.answer and not self.told.answer.rows:
                    self.told = replace(self.told, answer=None)
            case Send(attempt):
                self.told = replace(self.told, unsent=0)
                result = site.submit(attempt, attempt.asked + BOUNDS.window)
                self.cut("after sbatch")
                self._sent(attempt, result)
            case Note(row):
                update = {"id": row.id, "submitted": row.submitted}
                assert job.attempt is not None
                self.job = replace(job, attempt=job.attempt.model_copy(update=update))
            case End(row):
                self.job, self.outcome = replace(job, over=True), row.state
            case Fail():
                self.job, self.outcome = replace(job, over=True), "failed"
            case Stop(row):
                self.told = replace(self.told, stopped=site.now)
                site.cancel(row)
            case Rest():
                pass

    def _sent(self, attempt: Attempt, result: int | str) -> None:
        if isinstance(result, int):
            self.job = replace(self.job, attempt=attempt.model_copy(update={"id": result}))
        elif result == "unreachable":
            self.told = replace(self.told, unsent=attempt.asks)
        elif result == "rejected":
            self.told = replace(self.told, rejections=self.told.rejections + 1, rejection="bad account")
