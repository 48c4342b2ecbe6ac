"""Plain lists of what the operator lists when it starts, run beside its starts: see ``peers/lists.py``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import Reading
from bench.population import Population
from bench.programs import environment


@dataclass(frozen=True)
class Listing:
    """One of them. ``how`` is an argument of ``peers/lists.py``."""

    name: str
    how: str


OFFICIAL = Listing("official client's list", "official")
RAW = Listing("bytes of the list, undecoded", "raw")


def lists(
    listing: Listing, measure: str, kinds: tuple[str, ...], population: Population, runs: int
) -> Iterator[Reading]:
    """From the start of a process to the last object listed."""
    kubeconfig = population.light.kubeconfig
    command = ["-m", "bench.peers.lists", "--kubeconfig", str(kubeconfig), listing.how, *kinds]
    for _ in range(runs):
        population.settle()
        server, started = population.server_cpu_seconds(), time.monotonic()
        with subprocess.Popen(
            [sys.executable, *command], env=environment(kubeconfig), stdout=subprocess.PIPE
        ) as process:
            try:
                line = process.stdout.readline() if process.stdout else b""
                seconds = time.monotonic() - started
            finally:
                process.kill()
        if not line:
            raise RuntimeError(f"{listing.name} came to nothing: exit code {process.returncode}")
        spent = population.server_cpu_seconds() - server
        figures = {"seconds": seconds, **json.loads(line), "server_cpu_seconds": spent}
        yield Reading(measure, listing.name, population.jobs, figures)
