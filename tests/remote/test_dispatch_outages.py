"""A site that answers wrongly, or not at all: no job is ended by that, no figure turns zero, ages grow.

And within a minute after, all is right. Seconds here, with one of each kind; ``ANTENNA_TEST_OUTAGES=120`` is
the whole, each of two minutes, with LUMI's floor and the operator's own bounds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from operators.exposition.store import Store
from operators.usage.remote import ACCOUNTING, QUEUE
from tests.cluster.patience import eventually
from tests.remote.operating import operating
from tests.remote.slurm import SlurmSite
from tests.remote.world import TENANT, World

pytestmark = pytest.mark.parametrize("world", [1], indirect=True)

SECONDS = float(os.environ.get("ANTENNA_TEST_OUTAGES", "0"))
WHOLE = SECONDS > 0
FLOOR = 60 if WHOLE else 1
RIGHT_AFTER = 60
STAY, END = 4, 3  # jobs that run on, and jobs that end while the site does not answer


@dataclass(frozen=True)
class Outage:
    """How it begins and ends, and the source that it keeps from answering; "" where it only tells less."""

    begin: Callable[[SlurmSite], None]
    end: Callable[[SlurmSite], None]
    source: str = QUEUE
    seconds: float = 6


def wrong(tool: str, *faults: str, source: str = QUEUE) -> Outage:
    return Outage(lambda slurm: slurm.go_wrong(tool, *faults), SlurmSite.go_right, source)


def down(name: str, source: str = QUEUE) -> Outage:
    return Outage(lambda slurm: slurm.stop(name), lambda slurm: slurm.start(name), source)


WRONG = ("is-empty", "is-cut", "fails", "shows-header-only")
EACH = {
    **{f"squeue-{how}": wrong("squeue", f"always {how}") for how in WRONG},
    "sacct-fails": wrong("sacct", "always fails", source=ACCOUNTING),
    "sacct-behind": wrong("sacct", "always shows-header-only", source=""),
}
OUTAGES = {
    **(EACH if WHOLE else {"squeue": wrong("squeue", *WRONG * 9)}),
    "slurmctld-down": down("slurmctld"),
    "slurmdbd-down": down("slurmdbd", ACCOUNTING),
}


@dataclass(frozen=True)
class Seen:
    """What was shown at one moment; None where there is no such series."""

    at: float
    running: float | None
    finished: float | None
    ages: dict[str, float]
    states: dict[str, str]


@dataclass
class Watch:
    """Looks at the figures and at the jobs twice a second."""

    world: World
    store: Store
    seen: list[Seen] = field(default_factory=list)

    def look(self) -> Seen:
        text = b"".join(self.store.render(openmetrics=False)).decode()
        found = {
            (one.name, *sorted(one.labels.items())): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }

        def total(name: str, **labels: str) -> float | None:
            values = [
                value
                for (known, *has), value in found.items()
                if known == name and labels.items() <= dict(has).items()  # type: ignore[arg-type]
            ]
            return sum(values) if values else None

        site = self.world.sites[0]
        ages = {
            source: total("antenna_remote_source_age_seconds", site=site, source=source) or 0.0
            for source in (QUEUE, ACCOUNTING)
        }
        place = {"site": site, "queue": "small-g"}
        seen = Seen(
            time.monotonic(),
            total("antenna_queue_jobs", **place, state="running"),
            total("antenna_jobs_finished_total", **place, outcome="succeeded"),
            ages,
            self.world.states(),
        )
        self.seen.append(seen)
        return seen

    def until(self, at: float) -> None:
        while time.monotonic() < at:
            self.look()
            time.sleep(0.5)


@pytest.fixture
def watch(world: World, tmp_path: Path) -> Iterator[Watch]:
    world.declare(floor=1)
    with operating(world, tmp_path) as store:
        yield Watch(world, store)


@contextmanager
def jobs(world: World, count: int, script: str) -> Iterator[list[str]]:
    """That many, gone when left."""
    names = [world.submit(script) for _ in range(count)]
    try:
        yield names
    finally:
        for name in names:
            world.delete(name)


@pytest.mark.parametrize("kind", OUTAGES)
def test_a_site_that_does_not_answer_rightly_ends_nothing(
    watch: Watch, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world, outage = watch.world, OUTAGES[kind]
    flag = world.logins[TENANT].home / "flag"
    flag.unlink(missing_ok=True)
    waits = f"#!/bin/sh\nuntil [ -e {flag} ]; do sleep 0.3; done\n"
    lasts = SECONDS or outage.seconds
    with (
        jobs(world, STAY, "#!/bin/sh\nsleep 900\n") as stay,
        jobs(world, END, waits) as end,
    ):
        eventually(lambda: world.are([*stay, *end], "running"), 300)
        world.declare(floor=FLOOR)
        eventually(lambda: (now := watch.look()).running == STAY + END and max(now.ages.values()) < 3)
        before = watch.look()
        watch.seen.clear()
        began = time.monotonic()
        outage.begin(world.slurm)
        try:
            watch.until(began + lasts / 3)
            flag.touch()
            ended = time.monotonic()
            late = world.submit("#!/bin/sh\nsleep 900\n")
            watch.until(began + lasts)
        finally:
            outage.end(world.slurm)
        over = watch.look()
        restored = time.monotonic()

        def right() -> bool:
            now = watch.look()
            return (
                now.running in (STAY, STAY + 1)
                and now.finished == (before.finished or 0) + END
                and {now.states[name] for name in end} == {"succeeded"}
                and {now.states[name] for name in stay} == {"running"}
                and "slurmId" in world.statuses()[late]
            )

        took = eventually(right, RIGHT_AFTER + 120)
        with capsys.disabled():
            shown = {source: round(age) for source, age in over.ages.items()}
            print(f"\n{kind}: {restored - began:.0f} s; ages then {shown} s; all right {took:.1f} s after")
        uid = world.uid(late)
        eventually(lambda: world.accounted([uid]).keys() == {1}, 60)
        world.delete(late)
    # A machine that does much else is slow; the whole form is for one that does not.
    assert took <= RIGHT_AFTER or not WHOLE
    for seen in watch.seen:
        assert {seen.states[name] for name in stay} == {"running"}
        assert {seen.states[name] for name in end} <= (
            {"running", "succeeded"} if seen.at > ended else {"running"}
        )
        assert seen.running is None or seen.running >= (STAY if seen.at > ended else STAY + END)
        assert seen.finished is None or seen.finished >= (before.finished or 0)
    # The age of what does not answer grows all the while.
    if outage.source:
        during = [seen.ages[outage.source] for seen in watch.seen if seen.at <= restored]
        assert during[-1] >= lasts - 2
