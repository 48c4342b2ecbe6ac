"""Ends that an accounting is told of late: after it was away it answers before it has caught up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from operators.catalog import FAMILIES
from operators.dispatch.catching_up import CatchingUp
from operators.dispatch.site_worker import OVERLAP, SiteWorker
from operators.exposition.store import Store
from operators.ledger.remote import RemoteLedger
from operators.sites.access import RemoteJobRow, SiteError
from operators.usage.accounts import RemoteAccounts
from operators.usage.remote import RemoteUsage
from tests.cluster.remote_world import Scheduler
from tests.unit.remote_sites import LUMI
from tests.unit.test_collectors_remote import ALLOCATIONS, HOUR, PAYERS, START, job

REMEMBERED = 300
"""slurmctld's MinJobAge."""


class Slurm(Scheduler):
    """A scheduler that forgets what has ended, and an accounting that is away, or behind.

    Times are seconds after START.
    """

    def __init__(self) -> None:
        super().__init__(LUMI)
        self.now = 0
        self.away: frozenset[str] = frozenset()
        self.told_at: dict[int, float] = {}
        """When the accounting was told of an end; it is at once of those that are not here."""

    def queue(self) -> Sequence[RemoteJobRow]:
        self._answers("queue")
        return [
            one if one.ended and one.ended <= self._clock else replace(one, state="running", ended=None)
            for one in self.rows
            if one.submitted <= self._clock and (one.ended or 0) > self._clock - REMEMBERED
        ]

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        self._answers("accounting")
        return [
            one
            for one in self.rows
            if since <= (one.ended or 0) <= self._clock and self.told_at.get(one.id, 0) <= self.now
        ]

    @property
    def _clock(self) -> int:
        return START + self.now

    def _answers(self, source: str) -> None:
        if source in self.away:
            raise SiteError(f"{source} is away")


class World:
    """The operator beside that Slurm, with a ledger in a file; killed and started again at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slurm = Slurm()
        self.writable = True
        self.start()

    def start(self) -> None:
        self.ledger = RemoteLedger(self.path)
        write = self.ledger.write

        def checked(*args, **kwargs) -> None:
            if not self.writable:
                raise OperationalError("", {}, Exception("full"))
            write(*args, **kwargs)

        self.ledger.write = checked  # type: ignore[method-assign]
        usage = RemoteUsage(Store(FAMILIES), self.ledger, clock=lambda: self.slurm._clock)
        usage.configure((LUMI,), ALLOCATIONS, PAYERS)
        accounts = RemoteAccounts(usage)
        self.worker = SiteWorker(
            "lumi", self.slurm, lambda _: None, accounts=accounts, every=60, clock=lambda: self.slurm._clock
        )

    def kill(self) -> None:
        self.ledger.close()

    def runs(self, id: int, since: int, until: int, told_at: float = 0) -> None:
        """A job runs from then till then, and the accounting is told so."""
        state = job(id, "succeeded", submitted=START + since, started=since, ended=until)
        self.slurm.rows.append(state)
        self.slurm.told_at[id] = told_at

    def looks(self, until: float, each: Callable[[], None] = lambda: None) -> None:
        """Each minute, until then."""
        while self.slurm.now < until:
            self.slurm.now += 60
            each()
            self.worker._look()

    def all_are_in(self) -> bool:
        """Every job is in the ledger with its end, once, and with what it used."""
        held = sum(one.resources.gpus * (one.ended - one.started) for one in self.slurm.rows)  # type: ignore[operator]
        totals = self.ledger.totals()
        ended = sum(totals.finished.values())
        used = sum(totals.gpu_seconds.values())
        return self.ledger.open("lumi") == [] and (ended, used) == (len(self.slurm.rows), held)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path / "ledger.sqlite")
    yield one
    one.kill()


AWAY = 2 * HOUR
"""For so long the accounting is away, from START + HOUR on: longer than a look reaches back."""
BACK = HOUR + AWAY


def test_a_job_between_two_looks_while_the_accounting_is_away_is_counted_however_late_it_is_told(
    world: World,
) -> None:
    world.looks(HOUR)
    world.slurm.away = frozenset({"accounting"})
    world.runs(1, HOUR + 605, HOUR + 635, told_at=BACK + 2 * HOUR)
    world.looks(BACK)
    world.slurm.away = frozenset()
    world.looks(BACK + 2 * HOUR - 60)
    (one,) = world.ledger.open("lumi")
    assert (one.started, one.seen) == (START + HOUR + 605, START + HOUR + 635), "until its end it held them"
    world.looks(BACK + 2 * HOUR)
    assert world.all_are_in()


@pytest.mark.parametrize("away", ["accounting", "queue", "accounting queue"])
def test_what_nobody_saw_is_found_when_those_that_were_away_have_caught_up(world: World, away: str) -> None:
    world.looks(HOUR)
    world.kill()
    # It was submitted, it ran and it was forgotten while nobody looked.
    world.runs(1, HOUR + 605, HOUR + 635, told_at=BACK + OVERLAP - 120)
    world.slurm.now = HOUR + 1200
    world.start()
    world.slurm.away = frozenset(away.split())
    world.looks(BACK)
    world.slurm.away = frozenset()
    world.looks(BACK + OVERLAP)
    assert world.all_are_in()


def test_what_the_queue_told_while_the_ledger_was_full_is_not_forgotten(world: World) -> None:
    world.looks(HOUR)
    world.writable = False
    # An accounting that answers all along, and is an hour behind.
    world.runs(1, HOUR + 65, HOUR + 95, told_at=2 * HOUR)
    world.looks(HOUR + 1200)
    world.writable = True
    world.looks(2 * HOUR + 120)
    assert world.all_are_in()


def test_no_single_answer_of_the_accounting_is_all_that_tells_of_a_time(world: World) -> None:
    world.looks(HOUR)
    world.writable = False
    world.runs(1, HOUR + 65, HOUR + 95)
    world.looks(HOUR + 1200)
    world.kill()
    world.start()
    world.looks(HOUR + 2400)
    # Its own database fails slurmdbd, and it tells of no job and no error.
    world.slurm.rows, rows = [], world.slurm.rows
    world.writable = True
    world.looks(HOUR + 2460)
    world.slurm.rows = rows
    world.looks(HOUR + 2520)
    assert world.all_are_in()


def test_one_that_is_running_when_the_ledger_fails_and_ends_before_it_is_mended_is_told_once(
    world: World,
) -> None:
    world.runs(1, HOUR - 600, HOUR + 610)
    world.looks(HOUR)
    world.writable = False
    world.looks(HOUR + 1200)
    world.writable = True
    world.looks(HOUR + 1260)
    assert world.all_are_in()


def test_an_accounting_that_answers_is_read_on_and_not_from_the_beginning(world: World) -> None:
    asked: list[int] = []
    ended = world.slurm.ended

    def remembered(since: int) -> Sequence[RemoteJobRow]:
        asked.append(since - START)
        return ended(since)

    world.slurm.ended = remembered  # type: ignore[method-assign]
    world.looks(HOUR)
    assert asked[-1] == HOUR - 60 - OVERLAP
    world.runs(1, HOUR, HOUR + 30)
    world.looks(HOUR + 240)
    assert asked[-1] == HOUR + 180 - OVERLAP, "what has ended and is told of holds nothing back"


def test_a_source_that_was_silent_for_a_moment_is_not_away() -> None:
    one = CatchingUp(900, frozenset({"queue", "accounting"}))
    for at in range(0, 901, 300):
        one.answered("queue", at)
        one.answered("accounting", at)
        assert one.over(at) == (at == 900)


def test_there_is_something_to_catch_up_with_after_a_start_a_silence_and_while_one_is_silent() -> None:
    one = CatchingUp(900, frozenset({"queue", "accounting"}))
    for at in range(0, 2001, 100):
        one.answered("accounting", at)
    assert not one.over(2000), "the queue has never answered"
    for at in range(2000, 3001, 100):
        one.answered("accounting", at)
        one.answered("queue", at)
    assert not one.over(2899)
    assert one.over(2900)
    assert one.over(3300)
    assert not one.over(3301), "neither has answered for too long"
    one.answered("accounting", 3301)
    one.answered("queue", 3301)
    assert not one.over(3301 + 899)
