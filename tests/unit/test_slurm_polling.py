"""How often a remote site is asked and connected to."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from operators.sites.slurm.breaker import FAILURES_TO_OPEN, LONGEST_PAUSE, Breaker, pause
from operators.sites.slurm.polling import BURST, MINUTE, Connections, Floor, Origin


def most_in_a_minute(made: list[float]) -> int:
    return max(sum(1 for other in made if at <= other < at + MINUTE) for at in made)


def live(
    connections: Connections, seconds: float, lasts: Callable[[], float], step: float = 0.5
) -> list[float]:
    """A client that wants a connection all the time, of a site that drops each after ``lasts`` seconds."""
    chosen = random.Random(7)  # noqa: S311
    now, made, lost_at = 0.0, [], None
    while now < seconds:
        if lost_at is not None and now >= lost_at:
            connections.lose(now, chosen.random())
            lost_at = None
        if lost_at is None and connections.wait(now) == 0:
            connections.start(now)
            made.append(now)
            lost_at = now + lasts()
        now += step
    return made


def test_a_steady_site_is_connected_to_once() -> None:
    assert live(Connections(1, Origin(1), reads=True), 3600, lambda: 10_000) == [0.0]


def test_a_site_that_drops_a_connection_each_ten_minutes_is_connected_to_once_a_minute_at_most() -> None:
    made = live(Connections(1, Origin(1), reads=True), 36_000, lambda: 600)
    assert len(made) >= 55
    assert most_in_a_minute(made) == 1


@pytest.mark.parametrize("lasts", [0.0, 1.0, 10.0, 59.0])
def test_a_flapping_site_is_connected_to_six_times_a_minute_at_most(lasts: float) -> None:
    made = live(Connections(1, Origin(1), reads=True), 3600, lambda: lasts)
    assert len(made) >= 30
    assert most_in_a_minute(made) <= BURST == 6


def test_a_site_that_comes_back_is_connected_to_within_half_a_minute() -> None:
    connections = Connections(1, Origin(1), reads=True)
    made = live(connections, 600, lambda: 0.0)
    assert connections.wait(made[-1] + 30) == 0


def test_all_logins_of_a_site_together_are_connected_six_times_a_minute_at_most() -> None:
    origin = Origin(1)
    logins = [Connections(1, origin) for _ in range(23)]
    made: list[float] = []
    for now in range(600):
        for one in logins:
            if not one.made and not one.wait(now) and one.start(now):
                made.append(now)
    assert len(made) == 23
    assert most_in_a_minute(made) == BURST - 1
    assert made[-1] <= 23 / (BURST - 1) * MINUTE
    assert Connections(1, origin, reads=True).wait(made[-1]) == 0


def test_logins_that_are_shut_out_leave_the_others_their_connections() -> None:
    origin = Origin(1)
    shut_out = [Connections(1, origin) for _ in range(10)]
    for now in range(1200):
        for one in shut_out:
            if not one.wait(now) and one.start(now):
                one.lose(now, 0.5)
        # By then each of them has been tried once.
        if now % 100 == 99 and now > 200:
            for well in (Connections(1, origin, reads=True), Connections(1, origin)):
                assert well.wait(now) == 0
                assert well.start(now)


def test_a_question_that_was_not_answered_is_put_again_after_a_third_of_the_floor() -> None:
    floor = Floor(60)
    floor.put("queue", 100)
    floor.miss("queue")
    assert floor.wait("queue", 110) == pytest.approx(10)
    assert floor.wait("queue", 120.01) == 0
    floor.put("queue", 121)
    assert floor.wait("queue", 141) == 40


def test_a_question_is_not_put_again_before_the_floor() -> None:
    floor = Floor(60)
    assert floor.wait("queue", 100) == 0
    floor.put("queue", 100)
    assert floor.wait("queue", 130) == 30
    assert floor.wait("nodes", 130) == 0
    assert floor.wait("queue", 160) == 0


def test_a_question_that_did_not_get_there_may_be_put_again() -> None:
    floor = Floor(60)
    floor.put("queue", 100)
    floor.forget("queue")
    assert floor.wait("queue", 101) == 0


def test_the_floor_forgets_what_was_asked_long_ago() -> None:
    floor = Floor(1)
    for job in range(25_000):
        floor.put(f"log {job}", float(job))
    assert len(floor.asked) <= 10_001


def opened(now: float) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.wait(now) == 0
        breaker.fail(now, 0.0)
    return breaker


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    breaker = opened(100)
    assert breaker.wait(100) > 0
    assert breaker.wait(100 + LONGEST_PAUSE) == 0


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.fail(0, 0.0)
        breaker.succeed()
    assert breaker.wait(0) == 0


def test_half_open_lets_one_question_through() -> None:
    breaker = opened(100)
    assert breaker.wait(200) == 0
    assert breaker.wait(200) > 0
    breaker.succeed()
    assert breaker.wait(200) == 0
    assert breaker.wait(200) == 0


def test_each_failed_try_waits_longer_and_never_too_long() -> None:
    breaker = opened(0)
    waits = []
    now = 0.0
    for _ in range(10):
        waits.append(breaker.opens_until - now)
        now = breaker.opens_until
        assert breaker.wait(now) == 0
        breaker.fail(now, 0.0)
    assert waits == sorted(waits)
    assert waits[0] == 5
    assert waits[-1] == LONGEST_PAUSE


def test_pauses_are_spread() -> None:
    assert [pause(9, 2, 30, chance) for chance in (0.0, 0.5, 1.0)] == [30, 22.5, 15]
