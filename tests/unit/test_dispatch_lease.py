"""Leadership: one leads, another takes over when it is silent, and a step is begun only if there is time."""

from __future__ import annotations

import pytest

from operators.dispatch.lease import Leadership
from tests.unit.api_server import ApiServer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> ApiServer:
    made = ApiServer()
    made.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": _AT})
    return made


_AT = {"name": "lease", "namespace": "antenna-system"}


def candidate(server: ApiServer, clock: Clock, name: str) -> Leadership:
    return Leadership(server, *_AT.values(), name, duration=90, clock=clock)  # type: ignore[arg-type]


def test_the_first_leads_and_the_second_waits(server: ApiServer, clock: Clock) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    one.look()
    two.look()
    assert (one.holds(), two.holds()) == (True, False)
    assert one.writer == "one/1"


def test_a_step_that_takes_longer_than_the_leadership_lasts_is_not_begun(
    server: ApiServer, clock: Clock
) -> None:
    one = candidate(server, clock, "one")
    one.look()
    clock.now += 40
    assert one.holds(45)
    clock.now += 10
    assert not one.holds(45)
    one.look()
    assert one.holds(45)


def test_another_takes_over_only_when_the_lease_was_silent_for_its_whole_time(
    server: ApiServer, clock: Clock
) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    one.look()
    two.look()
    clock.now += 60
    one.look()
    two.look()
    clock.now += 89
    two.look()
    assert not two.holds()
    clock.now += 1
    # The one before can no longer hold it, by its own clock, when the next takes it.
    assert not one.holds()
    two.look()
    assert two.holds()
    assert two.writer == "two/2"
    one.look()
    assert not one.holds()


def test_who_is_started_again_under_its_name_goes_on_at_once(server: ApiServer, clock: Clock) -> None:
    candidate(server, clock, "one").look()
    again = candidate(server, clock, "one")
    again.look()
    assert again.holds()
