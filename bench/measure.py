"""The four measurements. Each yields a reading a run, as soon as it is there."""

from __future__ import annotations

import gzip
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Reading, percentile
from bench.population import Population
from bench.programs import Program, Running, Scrape, running
from bench.world import TENANTS, job

CHANGED = 500
"""Workloads that change before each scrape: 33 a second at a scrape every 15 s."""

RATE = 100  # events a second
FRESH_SECONDS = 10

_PATIENCE = 1800.0  # seconds for a program to become right
_LOST = 30.0  # seconds without a new one, after which the rest is taken never to show
_FRESH = re.compile(rb'job="(fresh-[0-9-]+)"')


def freshness(program: Program, population: Population, folder: Path, runs: int) -> Iterator[Reading]:
    """From sending a new Job to the API server until a scrape that shows it has been read."""
    with running(program, population.light.kubeconfig, folder) as one:
        _right_scrape(one, population.jobs)
        for run in range(runs):
            sent, seen, scrapes = _write_and_watch(one, population, run)
            ages = [seen[name] - when for name, when in sent.items() if name in seen]
            yield Reading(
                "freshness",
                program.name,
                population.jobs,
                {
                    "p50_seconds": percentile(ages, 0.5),
                    "p99_seconds": percentile(ages, 0.99),
                    "max_seconds": max(ages),
                    "events_per_second": len(sent) / (max(sent.values()) - min(sent.values())),
                    "never_seen": len(sent) - len(ages),
                    "scrapes": scrapes,
                },
            )
            _delete_fresh(population)


def events(program: Program, population: Population, folder: Path, runs: int) -> Iterator[Reading]:
    """CPU that a burst of changes takes, in which every Workload changes once."""
    with running(program, population.light.kubeconfig, folder) as one:
        _wait_for(lambda: one.ready() if program.has_ready else _at_least(one, population.jobs))
        _settled(one)
        for run in range(runs):
            before, cpu, began = one.events(), one.cpu_seconds(), time.monotonic()
            count = population.change(range(population.jobs), run + 1)
            spent, seconds = _settled(one)
            while one.events() < before + count:
                spent, seconds = _settled(one)
            yield Reading(
                "events",
                program.name,
                population.jobs,
                {
                    "events": count,
                    "cpu_seconds": spent - cpu,
                    "events_per_cpu_second": count / (spent - cpu),
                    "seconds": seconds - began,
                    "peak_bytes": one.peak_bytes(),
                },
            )


def starts_and_scrapes(
    program: Program, population: Population, folder: Path, runs: int
) -> Iterator[Reading]:
    """Start to the first right scrape; then scrapes, plain and gzip, of the last one started."""
    for run in range(runs):
        with _started("cold start", program, population, folder / f"{run}") as (one, reading):
            yield reading
            if run == runs - 1:
                yield from _scrapes(one, population, runs)


def starts_with_jobs_alone(
    program: Program, population: Population, folder: Path, runs: int
) -> Iterator[Reading]:
    """Start to the first right scrape, before the Workloads are there."""
    for run in range(runs):
        with _started("cold start, Jobs alone", program, population, folder / f"{run}") as (_, reading):
            yield reading


@contextmanager
def _started(
    measure: str, program: Program, population: Population, folder: Path
) -> Iterator[tuple[Running, Reading]]:
    """A program up to its first right scrape, and what that took."""
    population.settle()
    server = population.server_cpu_seconds()
    with running(program, population.light.kubeconfig, folder) as one:
        ready, first = _right_scrape(one, population.jobs)
        figures = {
            "seconds": first.read - one.started,
            "ready_seconds": ready,
            "cpu_seconds": one.cpu_seconds(),
            "peak_bytes": one.peak_bytes(),
            "bytes": len(first.body),
            "server_cpu_seconds": population.server_cpu_seconds() - server,
        }
        yield one, Reading(measure, program.name, population.jobs, figures)


def _scrapes(one: Running, population: Population, runs: int) -> Iterator[Reading]:
    changing = random.Random(4)  # noqa: S311 (which Workloads change; the same ones at each call)
    for run in range(runs):
        for packed in (False, True):
            population.change(changing.sample(range(population.jobs), min(CHANGED, population.jobs)), run)
            _settled(one)
            scrape = one.scrape(packed=packed)
            body = gzip.decompress(scrape.body) if packed else scrape.body
            yield Reading(
                "scrape gzip" if packed else "scrape",
                one.program.name,
                population.jobs,
                {
                    "seconds": scrape.seconds,
                    "cpu_seconds": scrape.cpu_seconds,
                    "bytes": len(scrape.body),
                    "series": sum(not line.startswith(b"#") for line in body.splitlines()),
                    "peak_bytes": one.peak_bytes(),
                },
            )


def _right_scrape(one: Running, jobs: int) -> tuple[float, Scrape]:
    """Seconds from the start until it was ready, and its first scrape that shows every Job and counts all."""
    _wait_for(one.ready)
    ready = time.monotonic() - one.started
    scrapes: list[Scrape] = []

    def right() -> bool:
        scrapes[:] = [one.scrape()]
        body = scrapes[0].body
        counted = sum(float(value) for value in one.program.queue_jobs.findall(body))
        return body.count(one.program.job_series) == jobs == counted

    _wait_for(right)
    return ready, scrapes[0]


def _write_and_watch(
    one: Running, population: Population, run: int
) -> tuple[dict[str, float], dict[str, float], int]:
    """New Jobs at RATE, and scrapes all the while: when each Job was sent, and when first seen."""
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    scrapes = 0

    def create(number: int) -> None:
        name = f"fresh-{run}-{number}"
        made = job(name, "running", number % TENANTS)
        made["metadata"]["labels"]["bench"] = "fresh"
        sent[name] = time.monotonic()
        population.cluster.create(made)

    def write() -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            made: list[Future[None]] = []
            for number in range(RATE * FRESH_SECONDS):
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                made.append(threads.submit(create, number))
            for one_made in made:
                one_made.result()

    with ThreadPoolExecutor(1) as writing:
        written = writing.submit(write)
        last_new = time.monotonic()
        while not (written.done() and (len(seen) == len(sent) or time.monotonic() > last_new + _LOST)):
            body = one.scrape().body
            now = time.monotonic()
            scrapes += 1
            before = len(seen)
            for name in set(_FRESH.findall(body)):
                seen.setdefault(name.decode(), now)
            if len(seen) > before:
                last_new = now
            time.sleep(0.01)
        written.result()
    return sent, seen, scrapes


def _delete_fresh(population: Population) -> None:
    for tenant in range(TENANTS):
        namespace = job("", "running", tenant)["metadata"]["namespace"]
        path = population.cluster.path("batch/v1", "Job", namespace)
        query = {"labelSelector": "bench=fresh", "propagationPolicy": "Background"}
        population.cluster.request("DELETE", path, query=query)


def _at_least(one: Running, events: int) -> bool:
    try:
        return one.events() >= events
    except OSError:
        return False


def _settled(one: Running) -> tuple[float, float]:
    """Once it has been idle for half a second: its CPU-seconds, and when it fell idle."""
    while True:
        cpu, when = one.cpu_seconds(), time.monotonic()
        time.sleep(0.5)
        if one.cpu_seconds() - cpu <= 0.03:
            return cpu, when


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not right after {_PATIENCE:.0f} s")
        time.sleep(0.1)
