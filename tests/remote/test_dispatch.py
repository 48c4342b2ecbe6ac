"""The dispatch is killed wherever it is, and sbatch goes wrong in every way: 0 jobs lost, 0 doubled.

Counted in Slurm's own accounting. Without more it is once each. ``ANTENNA_TEST_DISPATCH=10:3:120`` does each
up to ten times, in the order of number 3, and begins nothing new after 120 s: slices, to be summed up.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from tests.cluster.tenant_controller import eventually
from tests.remote.world import World

EACH, SEED, SECONDS = (int(n) for n in os.environ.get("ANTENNA_TEST_DISPATCH", "1:0:300").split(":"))

# What the dispatch says just before it is killed, and how long it is left in seconds: the phases around a
# submission and a cancellation.
POINTS = (
    ("leading as", 0),
    ("to be submitted as", 0),
    ("submitting to", 0),
    ("submitting to", 0.05),
    ("submitting to", 0.25),
    (r"is \d+ at", 0),
    ("cancelling", 0),
    ("cancelling", 0.15),
)
WRONG = ("accepts-and-fails", "accepts-and-hangs", "accepts-and-drops", "accepts-and-garbles", "drops")
AT_A_TIME = 6 if EACH > 1 else 1  # sites: each is a connection that is made anew after a kill
LONG = "#!/bin/sh\nsleep 900\n"
VICTIMS = 10  # that run at a time: each holds a GPU
DRAINED = 20  # kills after which all is let end: each leaves jobs that must be looked for anew
AHEAD = 3  # jobs that are there before the kill that they are for: something is under way whenever it starts


@pytest.mark.parametrize("world", [1], indirect=True)
def test_nothing_is_lost_or_doubled_however_often_the_operator_is_killed(world: World) -> None:
    chance = random.Random(5 + SEED)  # noqa: S311 (a repeatable order)
    points = [point for point in POINTS for _ in range(EACH)]
    chance.shuffle(points)
    to_cancel = sum(words == "cancelling" for words, _ in points)
    ran: dict[str, str] = {}
    cancelled: dict[str, str] = {}
    victims: list[str] = []
    world.awake()
    done: Counter[tuple[str, float]] = Counter()
    ends = time.monotonic() + SECONDS
    for turn, (words, delay) in enumerate(points):
        if time.monotonic() > ends:
            break
        if turn % DRAINED == DRAINED - 1:
            eventually(lambda: world.are(ran, "succeeded"), 300)
        done[words, delay] += 1
        if words == "cancelling":
            if not victims:
                victims = [world.submit(LONG) for _ in range(min(VICTIMS, to_cancel - len(cancelled)))]
                cancelled |= {name: world.uid(name) for name in victims}
                eventually(lambda: world.are(victims, "running"), 180)  # noqa: B023 (asked here)
            world.delete(victims.pop())
        else:
            wanted = len([one for one in points[: turn + AHEAD] if one[0] != "cancelling"])
            for name in [world.submit() for _ in range(wanted - len(ran))]:
                ran[name] = world.uid(name)
        world.operator.kill_when_it_says(words, delay * chance.uniform(0.5, 1.5), 120)
        world.operator.start()
    eventually(lambda: world.are(ran, "succeeded"), 400)
    for name in victims:
        world.delete(name)
    eventually(lambda: not cancelled.keys() & world.states().keys(), 400)
    counted = world.accounted([*ran.values(), *cancelled.values()])
    print(f"{done.total()} kills {dict(done)}; accepted (times: jobs): {dict(counted)}")
    assert counted.keys() == {1}
    states = {job.name: job.state for job in world.slurm.accounting()}
    assert {states[f"antenna-{uid}"].split()[0] for uid in cancelled.values()} == {"CANCELLED"}


@pytest.mark.parametrize("world", [AT_A_TIME], indirect=True)
def test_nothing_is_lost_or_doubled_when_sbatch_goes_wrong(world: World) -> None:
    """All ways among each other; ``drops`` alone takes nothing, and is found out and made good."""
    faults = list(WRONG) * EACH
    random.Random(6 + SEED).shuffle(faults)  # noqa: S311 (a repeatable order)
    world.awake()
    world.slurm.go_wrong("sbatch", *faults)
    jobs = {name: world.uid(name) for name in [world.submit() for _ in faults]}
    queued = world.slurm.folder / "faults" / "sbatch"
    ends = time.monotonic() + SECONDS
    eventually(lambda: time.monotonic() > ends or world.are(jobs, "succeeded"), SECONDS + 60)
    done = Counter(faults) - Counter(queued.read_text().split())
    world.slurm.go_right()
    eventually(lambda: world.are(jobs, "succeeded"), 300)
    counted = world.accounted(jobs.values())
    print(f"{done.total()} faults {dict(done)}; accepted (times: jobs): {dict(counted)}")
    assert counted.keys() == {1}
    assert EACH > 1 or done.keys() == set(WRONG)
