"""While partners' jobs come, run, fail, are put back and go, every figure is what the API server says.

The operator is killed ten times; ANTENNA_TEST_RESTARTS=50 kills it fifty times, which takes about
eight minutes on a busy machine.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from functools import partial

import pytest

from tests.cluster import truth
from tests.cluster.comparison import Journal, compare_gauges, compare_totals, read, settled, totals_of
from tests.cluster.world import World
from tests.ports import free_ports

MOMENTS = 20
COMPARISONS = 5  # between restarts; after the last of them all is compared anyway
RESTARTS = int(os.environ.get("ANTENNA_TEST_RESTARTS", "10"))


class Operator:
    """The operator as a process of its own, over plain HTTP on loopback."""

    def __init__(self, kubeconfig, folder):
        self.folder = folder
        self.kubeconfig = kubeconfig
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.process = None

    def start(self):
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "operators", "--kubeconfig", str(self.kubeconfig)),
                *("--plain", "--listen", self.address, "--no-controllers", "--state", str(self.folder)),
            ],
            stderr=log,
        )
        deadline = time.monotonic() + 240
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://{self.address}/readyz", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
                time.sleep(0.1)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def scrape(self):
        """Every figure, as ``read`` tells them."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return read(text)


@pytest.fixture
def world(light, cluster, name):
    made = World(cluster, name, tenants=6, seed=7)
    yield made
    made.stop()


@pytest.fixture
def operator(light, tmp_path):
    one = Operator(light.kubeconfig, tmp_path)
    one.start()
    yield one
    one.kill()


def sender(world, most):
    """Sends a job now and then, deletes one that has ended sometimes, and cancels one rarely."""
    sent = Counter()

    def step():
        dice = world.random
        if world.closed:
            return
        if sent["jobs"] < most:
            sent["jobs"] += 1
            failed = dice.random() < 0.15 or sent["jobs"] <= 3  # the first ones have surely ended
            world.submit(
                dice.choice(world.tenants),
                dice.choice((1, 1, 2, 4)),
                dice.uniform(1, 6),
                pods=dice.choice((1, 1, 1, 2)),
                outcome="Failed" if failed else "Succeeded",
            )
        jobs = world.jobs()
        over = [job for job in jobs if truth.finished(job) is not None]
        if len(over) > 10:
            delete(world.cluster, dice.choice(over))
        if jobs and dice.random() < 0.05:
            delete(world.cluster, dice.choice(jobs))

    return step


def delete(cluster, job):
    cluster.delete("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])


def test_every_gauge_is_the_truth_at_twenty_moments_while_jobs_run(world, operator, cluster):
    world.start(sender(world, most=80))
    dice = random.Random(3)  # noqa: S311
    wanted = {"pending", "running", "succeeded", "failed"}
    states = Counter()
    moments = 0
    while moments < MOMENTS or (wanted - set(states) and moments < 5 * MOMENTS):
        time.sleep(dice.uniform(0.2, 1.5))
        with world.hold():
            settled(cluster, operator, compare_gauges)
            states.update(truth.state(job) for job in world.jobs())
        moments += 1
    assert wanted <= set(states)


def test_totals_stay_right_though_the_operator_is_killed_again_and_again(world, operator, cluster):
    journal = Journal(cluster)
    world.start(sender(world, most=6 * RESTARTS))
    dice = random.Random(5)  # noqa: S311
    tenants = {tenant.name: (tenant.sectors[0], tenant.ecosystem) for tenant in world.tenants}
    last = Counter()

    def right(lists, figures, **how):
        for key, value in totals_of(tenants, figures).items():
            assert value >= last[key], f"{key} went back"
            last[key] = value
        return compare_gauges(lists, figures) + compare_totals(journal, tenants, lists, figures, **how)

    for number in range(RESTARTS):
        time.sleep(dice.uniform(0.3, 2))
        operator.kill()
        time.sleep(dice.uniform(0, 2))
        operator.start()
        if number % max(2, RESTARTS // COMPARISONS) == 1:
            with world.hold():
                settled(cluster, operator, right)
    operator.kill()
    with world.hold():
        world.closed = True
        for job in world.jobs():
            if truth.finished(job) is None:
                delete(cluster, job)
        operator.start()
    settled(cluster, operator, partial(right, at_rest=True))
    outcomes = {
        labels[-1]
        for (name, labels), value in last.items()
        if name == "antenna_jobs_finished_total" and value
    }
    assert outcomes == {"succeeded", "failed", "cancelled"}
    assert sum(value for (name, _), value in last.items() if name == "antenna_jobs_evicted_total")
