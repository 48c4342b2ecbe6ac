"""What is decided about a remote job: a table of situations, and thousands of lives with cuts everywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from operators.api.remote_job import Attempt
from operators.dispatch import observe
from operators.dispatch.decide import (
    Action,
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
    Observed,
    Rest,
    Send,
    Stop,
    decide,
    first,
)
from operators.dispatch.observe import CalledOff, Intended, Sending
from operators.dispatch.tasks import Cancelled, Failed, Found, NotSent, Refusal, Seen
from operators.sites.access import RemoteJobRow, State
from tests.unit import dispatch_world
from tests.unit.dispatch_world import PLACE, Dispatcher, Killed, SimulatedSite

BOUNDS = Bounds(window=90, margin=60, again=15, stale=180, rejections=3)
T = 1_000_000
ATTEMPT = first("u1", PLACE, T)
AGAIN = ATTEMPT.model_copy(update={"asked": T + 200, "asks": 2})
KNOWN = ATTEMPT.model_copy(update={"id": 7, "submitted": T + 5})
HELD = Job("u1", held=True, place=PLACE)
CALLED_OFF = replace(HELD, place=None)
DELETED = replace(HELD, deleting=True)


def row(
    state: State = "running", id: int = 7, name: str = "antenna-u1", submitted: int = T + 5
) -> RemoteJobRow:
    return RemoteJobRow(id, name, name, "p", "small-g", "u", state, state.upper(), submitted)


def answer(*rows: RemoteJobRow, at: float = T + 1, since: float = T) -> Answer:
    return Answer(rows, at, since)


def at(job: Job, attempt: Attempt) -> Job:
    return replace(job, attempt=attempt)


SITUATIONS: list[tuple[str, Job, Observed, float, Action]] = [
    (
        "a process that has begun lets the first look at the site tell of it",
        at(HELD, KNOWN),
        Observed(since=T + 100),
        T + 101,
        Rest(T + 115),
    ),
    ("and asks for it by name if it did not", at(HELD, KNOWN), Observed(since=T + 100), T + 115, Ask(KNOWN)),
    ("not admitted", CALLED_OFF, Observed(), T, Rest()),
    ("admitted", replace(HELD, held=False), Observed(), T, Hold()),
    ("held", HELD, Observed(), T, Intend(ATTEMPT)),
    ("intended here", at(HELD, ATTEMPT), Observed(unsent=1), T + 1, Ask(ATTEMPT)),
    (
        "an answer from before the intention counts for nothing",
        at(HELD, ATTEMPT),
        Observed(unsent=1, answer=answer(at=T - 1)),
        T + 1,
        Ask(ATTEMPT),
    ),
    ("none there", at(HELD, ATTEMPT), Observed(unsent=1, answer=answer()), T + 2, Send(ATTEMPT)),
    ("there already", at(HELD, ATTEMPT), Observed(unsent=1, answer=answer(row())), T + 2, Note(row())),
    (
        "there already, and its comment is not in the accounting yet",
        at(HELD, ATTEMPT),
        Observed(unsent=1, answer=answer(replace(row(), comment=""))),
        T + 2,
        Note(replace(row(), comment="")),
    ),
    (
        "the site could not be asked for long: the site would not take it any more",
        at(HELD, ATTEMPT),
        Observed(unsent=1, answer=answer(at=T + 198)),
        T + 200,
        Intend(AGAIN),
    ),
    ("intended by another process", at(HELD, ATTEMPT), Observed(), T + 1, Ask(ATTEMPT)),
    ("not there yet", at(HELD, ATTEMPT), Observed(answer=answer(at=T + 10)), T + 11, Rest(T + 25)),
    ("not there yet, ask again", at(HELD, ATTEMPT), Observed(answer=answer(at=T + 10)), T + 25, Ask(ATTEMPT)),
    (
        "asked too early to be trusted",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 149)),
        T + 200,
        Ask(ATTEMPT),
    ),
    ("certainly not there", at(HELD, ATTEMPT), Observed(answer=answer(at=T + 150)), T + 200, Intend(AGAIN)),
    (
        "empty, but only since a moment: it may take up what lay in its socket",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 190, since=T + 150)),
        T + 205,
        Ask(ATTEMPT),
    ),
    ("there after all", at(HELD, ATTEMPT), Observed(answer=answer(row(), at=T + 149)), T + 200, Note(row())),
    (
        "ended before it was looked at",
        at(HELD, ATTEMPT),
        Observed(answer=answer(row("failed"))),
        T + 2,
        Note(row("failed")),
    ),
    (
        "another's job of that id",
        at(HELD, ATTEMPT),
        Observed(unsent=1, answer=answer(row(name="other"))),
        T + 2,
        Send(ATTEMPT),
    ),
    (
        "the queue has forgotten what ended at once, and the accounting may be behind",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 500, since=T + 400), steady=T + 400),
        T + 505,
        Rest(T + 515),
    ),
    (
        "and it may be so long",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 1299, since=T + 1000), steady=T + 400),
        T + 1314,
        Ask(ATTEMPT),
    ),
    (
        "and is not any more",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 1300, since=T + 1000), steady=T + 400),
        T + 1301,
        Intend(ATTEMPT.model_copy(update={"asked": T + 1301, "asks": 2})),
    ),
    (
        "refused for now",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 150), refusals=1, rejection="full", not_before=T + 400),
        T + 200,
        Rest(T + 400),
    ),
    (
        "refused for now, and tried again",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 150), refusals=9, rejection="full", not_before=T + 200),
        T + 200,
        Intend(AGAIN),
    ),
    (
        "refused for now, for a week",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 150), refusals=9, rejection="full"),
        T + 7 * 86400,
        Fail("full"),
    ),
    (
        "not refused, and not there for a week",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 150)),
        T + 7 * 86400,
        Intend(ATTEMPT.model_copy(update={"asked": T + 7 * 86400, "asks": 2})),
    ),
    (
        "refused, not yet certain",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 2), rejections=3),
        T + 3,
        Rest(T + 17),
    ),
    (
        "refused too often",
        at(HELD, ATTEMPT),
        Observed(answer=answer(at=T + 150), rejections=3, rejection="no"),
        T + 151,
        Fail("no"),
    ),
    (
        "refused too often, for certain",
        at(HELD, ATTEMPT),
        Observed(unsent=1, rejections=3, rejection="no", not_before=T + 60),
        T + 3,
        Fail("no"),
    ),
    (
        "refused for certain, and looked for again before it is sent again",
        at(HELD, ATTEMPT),
        Observed(unsent=1, rejections=1, rejection="no", not_before=T + 20),
        T + 20,
        Ask(ATTEMPT),
    ),
    ("deleted before it went", replace(DELETED, held=True), Observed(), T, LetGo()),
    ("deleted, nothing sent", at(DELETED, ATTEMPT), Observed(unsent=1), T, CallOff()),
    ("deleted, perhaps sent", at(DELETED, ATTEMPT), Observed(), T, Ask(ATTEMPT)),
    (
        "deleted, certainly not sent",
        at(DELETED, ATTEMPT),
        Observed(answer=answer(at=T + 150)),
        T + 151,
        CallOff(),
    ),
    ("deleted, and there", at(DELETED, ATTEMPT), Observed(answer=answer(row())), T + 2, Note(row())),
    ("deleted while it runs", at(DELETED, KNOWN), Observed(answer=answer(row())), T + 2, Stop(row())),
    (
        "deleted and cancelled: look",
        at(DELETED, KNOWN),
        Observed(answer=answer(row()), stopped=T + 2),
        T + 17,
        Ask(KNOWN),
    ),
    (
        "deleted and cancelled: wait",
        at(DELETED, KNOWN),
        Observed(answer=answer(row()), stopped=T + 2),
        T + 3,
        Rest(T + 17),
    ),
    (
        "deleted, still there",
        at(DELETED, KNOWN),
        Observed(answer=answer(row(), at=T + 17), stopped=T + 2),
        T + 18,
        Stop(row()),
    ),
    (
        "deleted, cancelled",
        at(DELETED, KNOWN),
        Observed(answer=answer(row("cancelled"))),
        T + 2,
        End(row("cancelled")),
    ),
    ("evicted while it runs", at(CALLED_OFF, KNOWN), Observed(answer=answer(row())), T + 2, Stop(row())),
    ("runs", at(HELD, KNOWN), Observed(answer=answer(row())), T + 2, Note(row())),
    ("ended", at(HELD, KNOWN), Observed(answer=answer(row("succeeded"))), T + 2, End(row("succeeded"))),
    ("not seen since the start", at(HELD, KNOWN), Observed(), T, Ask(KNOWN)),
    ("seen long ago", at(HELD, KNOWN), Observed(answer=answer(row())), T + 181, Ask(KNOWN)),
    (
        "in no answer: it has not ended for that",
        at(HELD, KNOWN),
        Observed(answer=answer()),
        T + 2,
        Rest(T + 16),
    ),
    ("in no answer: asked again", at(HELD, KNOWN), Observed(answer=answer()), T + 16, Ask(KNOWN)),
    (
        "another of the same id, from before a counter's reset",
        at(HELD, KNOWN),
        Observed(answer=answer(row("failed", submitted=T + 4))),
        T + 2,
        Rest(T + 16),
    ),
    (
        "requeued by the site: stamped anew",
        at(HELD, KNOWN),
        Observed(answer=answer(row(submitted=T + 99))),
        T + 2,
        Note(row(submitted=T + 99)),
    ),
    (
        "doubled by whatever way",
        at(HELD, KNOWN),
        Observed(answer=answer(row(), row(id=8))),
        T + 2,
        Stop(row(id=8)),
    ),
    ("over, still held", replace(at(HELD, KNOWN), over=True), Observed(), T, LetGo()),
    ("over", replace(at(HELD, KNOWN), over=True, held=False), Observed(), T, Rest()),
]


@pytest.mark.parametrize(
    ("job", "told", "now", "action"), [s[1:] for s in SITUATIONS], ids=[s[0] for s in SITUATIONS]
)
def test_each_situation_has_its_next_step(job: Job, told: Observed, now: float, action: Action) -> None:
    assert decide(job, told, now, BOUNDS) == action


def live(
    seed: int, *, deletes: bool, kills: float, where: str = "", away: tuple[int, ...] = (1, 1, 2, 4, 60)
) -> tuple[Dispatcher, SimulatedSite]:
    """One job's whole life: ``where`` its process may be killed, and how often 15 s it is ``away`` then."""
    chance = random.Random(seed)  # noqa: S311 (a repeatable life)
    site = SimulatedSite(chance, skew=chance.uniform(-30, 30))
    cuts = 0

    def cut(at: str) -> None:
        nonlocal cuts
        if where in at and cuts < 12 and chance.random() < kills:
            cuts += 1
            raise Killed

    one = Dispatcher(site, Job(f"u{seed}", place=PLACE), cut)
    delete_at = site.now + chance.uniform(0, 400) if deletes else None
    for _ in range(20_000):
        if delete_at and site.now >= delete_at:
            one.job = replace(one.job, deleting=True)
            one.gone = not one.job.held
        try:
            one.step()
        except Killed:
            one.die()
            # Until it is started again. The queue may have forgotten then what the accounting, which was away
            # too, is yet to be told.
            pieces = chance.choice(away)
            if pieces == 60:
                site.lose_accounting(chance.uniform(300, 900))
            for _ in range(pieces):
                site.pass_time(chance.uniform(0, 30))
        site.pass_time(chance.choice((0, 0, 0.1, 1, 5, 20)))
        if chance.random() < 0.2:
            one.look()
        if one.gone or (one.job.over and not one.job.held and not deletes):
            break
    else:
        raise AssertionError(f"seed {seed}: no end; last steps {one.seen[-10:]}")
    for _ in range(60):
        site.pass_time(10)  # what is still on its way arrives now
    return one, site


def is_right(seed: int, *, deletes: bool = False, sent: bool = False) -> bool:
    """Whether a life ended as it should; ``sent``: its process is killed for long as it has sent the job."""
    of: dict[str, Any] = {"kills": 0.7, "where": "after sbatch", "away": (60,)} if sent else {"kills": 0.15}
    one, site = live(seed, deletes=deletes, **of)
    found = site.named(f"antenna-u{seed}")
    if deletes:
        return len(found) <= 1 and all(job.ended for job in found) and one.gone
    return len(found) == 1 and one.outcome == "succeeded"


@pytest.mark.parametrize("part", range(4))
def test_no_job_is_lost_or_doubled_whatever_is_cut_where(part: int) -> None:
    """1,200 lives: every step may be the process's last, every answer may be lost, late or missing."""
    for seed in range(part * 300, part * 300 + 300):
        assert is_right(seed), seed


def test_a_job_that_ended_long_ago_is_not_sent_again_while_the_accounting_is_behind() -> None:
    for seed in range(300):
        assert is_right(seed, sent=True), seed


@pytest.mark.parametrize("part", range(4))
def test_a_deleted_job_leaves_nothing_at_the_site_whatever_is_cut_where(part: int) -> None:
    for seed in range(part * 300, part * 300 + 300):
        assert is_right(seed, deletes=True), seed


@pytest.mark.parametrize(
    "bounds",
    [Bounds(window=90, margin=-90), Bounds(behind=0)],
    ids=["what is on its way", "what an accounting that is behind has not been told"],
)
def test_the_simulation_would_find_a_dispatcher_that_does_not_wait(
    bounds: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bounds are for: with none, jobs are doubled in these very lives."""
    monkeypatch.setattr(dispatch_world, "BOUNDS", bounds)
    assert any(not is_right(seed, sent=sent) for seed in range(300) for sent in (False, True))


def test_what_was_certainly_not_sent_is_sent_again_without_waiting() -> None:
    site = SimulatedSite(random.Random(1), faults=0)  # noqa: S311
    one = Dispatcher(site, Job("u1", place=PLACE), lambda _: None)
    refuses = iter((True, True, False))
    accept = site.submit
    site.submit = lambda *to: "unreachable" if next(refuses) else accept(*to)  # type: ignore[method-assign]
    for _ in range(30):
        one.step()
        site.pass_time(1)
        site.down_until = 0
    assert len(site.jobs) == 1
    assert one.job.attempt is not None
    assert one.job.attempt.asks == 1, "its first intention was not given up"


def test_a_job_that_comes_again_starts_with_no_refusals() -> None:
    """It was called off by Kueue, and is let go anew."""
    site = SimulatedSite(random.Random(1), faults=0, rejecting=True)  # noqa: S311
    one = Dispatcher(site, Job("u1", place=PLACE), lambda _: None)

    def passes(seconds: int) -> None:
        for _ in range(seconds // 10):
            one.step()
            site.pass_time(10)
            site.down_until = site.accounting_down_until = 0

    passes(150)
    assert one.told.rejections == 2
    one.job = replace(one.job, place=None)
    passes(300)
    assert one.job.attempt is None
    one.job = replace(one.job, place=PLACE)
    passes(60)
    assert (one.told.rejections, one.outcome) == (1, "")


MUTANTS: dict[str, Callable[[Observed, Any], Observed | None]] = {
    "Intended is not noted": lambda told, what: told if isinstance(what, Intended) else None,
    "Sending leaves it known that nothing was sent": lambda told, what: (
        told if isinstance(what, Sending) else None
    ),
    "CalledOff forgets nothing": lambda told, what: told if isinstance(what, CalledOff) else None,
    "Found is always the first answer": lambda told, what: (
        replace(told, answer=Answer(what.rows, what.asked, what.asked), not_before=0)
        if isinstance(what, Found)
        else None
    ),
    "Found counts no silence": lambda told, what: (
        replace(told, answer=Answer(what.rows, what.asked, what.asked).after(told.answer), heard=what.asked)
        if isinstance(what, Found)
        else None
    ),
    "Seen takes nothing for none": lambda told, what: (
        replace(told, answer=Answer(what.rows, what.asked, told.since)) if isinstance(what, Seen) else None
    ),
    "NotSent is not believed": lambda told, what: told if isinstance(what, NotSent) else None,
    "Refusal is not counted": lambda told, what: told if isinstance(what, Refusal) else None,
    "Failed leaves what was told before": lambda told, what: (
        replace(told, not_before=0) if isinstance(what, Failed) else None
    ),
    "Failed says that nothing was sent": lambda told, what: (
        replace(told, unsent=1, answer=None) if isinstance(what, Failed) and what.asked else None
    ),
    "Cancelled is not noted": lambda told, what: (
        replace(told, not_before=0) if isinstance(what, Cancelled) else None
    ),
}
"""A fault in each of the transitions; None where it is right."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_fault_in_any_transition_is_found(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tests above, which drive the transitions that the operator has."""
    right = observe.after

    def wrong(told: Observed, what: Any, now: float, silence: float) -> Observed:
        found = MUTANTS[mutant](told, what)
        return right(told, what, now, silence) if found is None else found

    monkeypatch.setattr(observe, "after", wrong)
    caught = []
    for name, holds in LIVES.items():
        try:
            if not holds():
                caught.append(name)
        except AssertionError:
            caught.append(name)
        if caught:
            return
    pytest.fail("no test has found it")


def test_a_job_that_the_scheduler_refuses_fails_with_its_words() -> None:
    site = SimulatedSite(random.Random(1), faults=0, rejecting=True)  # noqa: S311
    one = Dispatcher(site, Job("u1", place=PLACE), lambda _: None)
    for _ in range(200):
        one.step()
        site.pass_time(10)
        site.down_until = site.accounting_down_until = 0
    assert one.outcome == "failed"
    assert one.told.rejection == "bad account"
    assert site.jobs == {}


def _no_assertion(test: Callable[[], None]) -> Callable[[], bool]:
    def holds() -> bool:
        test()
        return True

    return holds


LIVES: dict[str, Callable[[], bool]] = {
    "refused": _no_assertion(test_a_job_that_the_scheduler_refuses_fails_with_its_words),
    "not sent": _no_assertion(test_what_was_certainly_not_sent_is_sent_again_without_waiting),
    "called off": _no_assertion(test_a_job_that_comes_again_starts_with_no_refusals),
    "deleted": lambda: all(is_right(seed, deletes=True) for seed in range(300)),
    "sent": lambda: all(is_right(seed, sent=sent) for seed in range(300) for sent in (False, True)),
}
