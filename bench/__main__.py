"""`python -m bench`: raises a light control plane where one is needed, fills it, measures, reports."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from bench.aims import aims
from bench.commands import commands
from bench.figures import Reading, summarise
from bench.listings import OFFICIAL, RAW, lists
from bench.measure import events, freshness, starts_and_scrapes, starts_with_jobs_alone
from bench.poll.measure import live_polls, polls
from bench.population import Population
from bench.programs import KOPF, NAIVE, OPERATOR, Program
from bench.report import document, print_report, save, shown
from operators.kube.client import connect
from tests.cluster.light import install_definitions, light_cluster

FRESHNESS_JOBS = 2_000
EVENT_JOBS = 5_000

# Those of a remote site's queue; they need no control plane.
POLLS = {"poll": polls, "live": live_polls}
COMMANDS = "commands"

Measure = Callable[[Program, Population, Path, int], Iterator[Reading]]


@dataclass(frozen=True)
class Step:
    """What is measured, and of which programs."""

    name: str
    measure: Measure
    programs: tuple[Program, ...]
    jobs: int | None = None
    """At most so many; None: all."""
    workloads: bool = True
    """Whether the Jobs have theirs."""
    listed: tuple[str, tuple[str, ...]] | None = None
    """The measurement and the kinds of the plain lists beside it."""


STEPS = (
    Step("freshness", freshness, (OPERATOR, NAIVE), FRESHNESS_JOBS),
    Step("events", events, (OPERATOR, KOPF, NAIVE), EVENT_JOBS),
    Step(
        *("jobs", starts_with_jobs_alone, (OPERATOR,)),
        workloads=False,
        listed=("cold start, Jobs alone", ("jobs",)),
    ),
    Step(
        *("scrape", starts_and_scrapes, (OPERATOR, NAIVE)),
        listed=("cold start", ("jobs", "workloads")),
    ),
)


@click.command(context_settings={"show_default": True})
@click.option("--jobs", default=100_000, help="Jobs, each with its Workload, for scrapes and cold starts.")
@click.option("--runs", default=5, help="Runs of each measurement; medians are shown.")
@click.option("--peer-runs", type=int, help="Runs of the peers, where they are to be fewer.")
@click.option("--peers/--no-peers", default=True, help="Measure the peers beside the operator.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([COMMANDS, *POLLS, *(s.name for s in STEPS)]),
    help="Only these.",
)
@click.option("--output", type=click.Path(path_type=Path), help="JSON file in place of one in bench/results.")
def main(
    *, jobs: int, runs: int, peer_runs: int | None, peers: bool, only: tuple[str, ...], output: Path | None
) -> None:
    """Measure the operator, and beside it what people would write instead.

    It is a report: a missed aim is shown as missed, and the exit status stays 0.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    began = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:7.1f} s[/]  {what}", highlight=False)

    readings: list[Reading] = []
    steps = [step for step in STEPS if not only or step.name in only]
    turns = (runs, (peer_runs or runs) if peers else 0)
    with tempfile.TemporaryDirectory(prefix="antenna-bench-") as temporary:
        try:
            if not only or COMMANDS in only:
                readings.extend(_told(commands(runs, peers, say), say))
            for name, poll in POLLS.items():
                if not only or name in only:
                    readings.extend(_told(poll(jobs, Path(temporary), *turns), say))
            if steps:
                _beside_a_control_plane(steps, jobs, turns, Path(temporary), readings, say)
        except KeyboardInterrupt:
            say("cut off; what is there is shown")
    summaries = summarise(readings)
    judged = aims(summaries)
    print_report(console, summaries, judged)
    path = save(document(readings, summaries, judged), output)
    wide = max((s.jobs for s in summaries), default=0)
    console.print(
        f"{len(readings)} runs in {time.monotonic() - began:.0f} s, up to {wide:,} Jobs; all are in {path}\n"
        "next: keep a run of an idle machine as bench/results/baseline.json, to compare later ones with",
        highlight=False,
    )


def _beside_a_control_plane(  # noqa: PLR0917 (what a run is)
    steps: Sequence[Step],
    jobs: int,
    turns: tuple[int, int],
    folder: Path,
    readings: list[Reading],
    say: Callable[[str], None],
) -> None:
    """Each step, as often as ``turns`` says for the operator and for its peers (0: not at all)."""
    say("a light control plane, without Kueue and without controllers")
    quiet = ("kube-controller-manager", "kube-scheduler")
    with light_cluster(folder / "light", kueue=False, without=quiet) as light:
        install_definitions(light)
        cluster = connect(light.kubeconfig)
        population = Population(light, cluster)
        population.prepare()
        try:
            for step in steps:
                _grow(population, min(jobs, step.jobs or jobs), step.workloads, say)
                for program in step.programs:
                    if times := turns[program is not OPERATOR]:
                        where = folder / step.name / program.name.replace(" ", "-")
                        readings.extend(_told(step.measure(program, population, where, times), say))
                    if program is OPERATOR and step.listed and turns[1]:
                        for listing in (RAW, OFFICIAL):
                            readings.extend(_told(lists(listing, *step.listed, population, turns[1]), say))
        finally:
            cluster.close()


def _grow(population: Population, jobs: int, workloads: bool, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    if added := population.grow(jobs, jobs if workloads else 0, say):
        say(
            f"{population.jobs:,} Jobs and {population.workloads:,} Workloads are in "
            f"({added / (time.monotonic() - began):,.0f} objects a second)"
        )


def _told(readings: Iterable[Reading], say: Callable[[str], None]) -> Iterator[Reading]:
    for reading in readings:
        figures = ", ".join(f"{name} {shown(name, value)}" for name, value in reading.figures.items())
        say(f"{reading.measure} of {reading.program}: {figures}")
        yield reading


if __name__ == "__main__":
    main()
