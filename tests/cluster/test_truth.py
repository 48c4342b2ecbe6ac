"""While partners' jobs come, run, fail, are put back and go, every figure is what the API server says."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from tests.cluster import truth
from tests.cluster.world import World

MOMENTS = 20
RESTARTS = int(os.environ.get("ANTENNA_TEST_RESTARTS", "10"))
AHEAD = 16  # GPU-seconds of a tenant: its GPUs times the lateness of an event on a busy machine
PATIENCE = 60.0  # seconds for the cluster to come to rest once nobody pushes, on a busy machine
LABELS = {family.name: family.labels for family in FAMILIES}
COMPARED = tuple(
    family.name
    for family in FAMILIES
    if family.name.startswith(("antenna_queue_", "antenna_job_", "antenna_node_", "antenna_gpus_"))
    and family.type in ("gauge", "info")
    and family.name not in ("antenna_queue_pending_reason", "antenna_queue_oldest_pending_age_seconds")
)
GPU_SECONDS = "antenna_gpu_seconds_total"
TOTALS = (
    *("antenna_jobs_finished_total", GPU_SECONDS, "antenna_job_restarts_total"),
    *("antenna_job_evictions_total", "antenna_job_preemptions_total"),
    *(
        f"antenna_job_{what}_seconds_{part}"
        for what in ("wait", "run")
        for part in ("bucket", "sum", "count")
    ),
)


class Operator:
    """The operator as a process of its own, over plain HTTP on loopback."""

    def __init__(self, kubeconfig, folder):
        self.folder = folder
        self.kubeconfig = kubeconfig
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
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
        """name of the sample -> labels in the catalog's order (then ``le``) -> value."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        figures = defaultdict(dict)
        for family in read_text(text):
            for sample in family.samples:
                base = sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
                order = LABELS.get(sample.name) or LABELS.get(base, ())
                labels = tuple(sample.labels[label] for label in order)
                bound = (sample.labels["le"],) if "le" in sample.labels else ()
                figures[sample.name][(*labels, *bound)] = sample.value
        return figures


class Journal:
    """All that ever was, by a watch of its own: each job and Workload as it was last, and first admissions."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.jobs = {}
        self.workloads = defaultdict(dict)
        self.admitted = {}
        for version, kind, note in (
            (truth.KUEUE, "Workload", self.workload),
            ("batch/v1", "Job", self.job),
        ):
            threading.Thread(target=self._follow, args=(version, kind, note), daemon=True).start()

    def _follow(self, version, kind, note):
        reached = ""
        while True:
            for event in self.cluster.watch(version, kind, resource_version=reached, seconds=3600):
                reached = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    note(event)

    def workload(self, event):
        job = event.object["metadata"]["labels"].get("kueue.x-k8s.io/job-uid")
        self.workloads[job] = {**self.workloads[job], event.object["metadata"]["uid"]: event.object}
        if truth.holds(event.object, "Admitted"):
            since = truth.condition(event.object, "Admitted")["lastTransitionTime"]
            self.admitted.setdefault(job, truth.seconds(since))

    def job(self, event):
        uid = event.object["metadata"]["uid"]
        self.jobs[uid] = (event.type == "DELETED", event.object)

    def lives(self):
        """Each job with whether it is gone, its first admission, and its Workloads in their order."""
        for uid, (gone, job) in tuple(self.jobs.items()):
            yield truth.Life(job, gone, self.admitted.get(uid), tuple(self.workloads[uid].values()))


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
        if sent["jobs"] < most:
            sent["jobs"] += 1
            failed = dice.random() < 0.15
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


def settled(cluster, operator, check):
    """``check(lists, figures)`` holds of figures that were scraped while nothing in the cluster changed."""
    deadline = time.monotonic() + PATIENCE
    differs = ["the cluster never came to rest"]
    while time.monotonic() < deadline:
        before = truth.Lists(cluster)
        time.sleep(0.3)
        figures = operator.scrape()
        if truth.Lists(cluster) == before:
            differs = check(before, figures)
            if not differs:
                return
        time.sleep(0.2)
    raise AssertionError("\n".join(differs[:20]))


def compare_gauges(lists, figures):
    expected = truth.gauges(lists)
    shown = {(name, labels): value for name in COMPARED for labels, value in figures[name].items()}
    return [
        f"{key}: shown {shown.get(key)}, true {expected.get(key)}"
        for key in sorted(shown.keys() | expected.keys())
        if shown.get(key) != expected.get(key)
    ]


def compare_totals(journal, world, lists, figures, *, at_rest=False):
    """Counters and histograms of a world's tenants against every job that they ever had.

    Nothing is left to chance, but for GPU-seconds: they are compared ``at_rest``, when no job runs; and
    since they do not go back, they are ahead where the end of a job reached the operator late.
    """
    tenants = {tenant.name: (tenant.sectors[0], tenant.ecosystem) for tenant in world.tenants}
    expected = truth.totals(lists, journal.lives(), tenants)
    shown = {
        (name, labels): value
        for name in TOTALS
        for labels, value in figures[name].items()
        if tenants.keys() & set(labels)
    }
    return [
        f"{key}: shown {shown.get(key, 0)}, true {expected.get(key, 0)}"
        for key in sorted(shown.keys() | expected.keys())
        if (at_rest or key[0] != GPU_SECONDS)
        and not 0 <= shown.get(key, 0) - expected.get(key, 0) <= (AHEAD if key[0] == GPU_SECONDS else 0)
    ]


def test_every_gauge_is_the_truth_at_twenty_moments_while_jobs_run(world, operator, cluster):
    world.start(sender(world, most=80))
    dice = random.Random(3)  # noqa: S311
    states = Counter()
    for _ in range(MOMENTS):
        time.sleep(dice.uniform(0.2, 1.5))
        with world.hold():
            settled(cluster, operator, compare_gauges)
            states.update(truth.state(job) for job in world.jobs())
    assert {"pending", "running", "succeeded", "failed"} <= set(states)


def test_totals_stay_right_though_the_operator_is_killed_again_and_again(world, operator, cluster):
    journal = Journal(cluster)
    world.start(sender(world, most=6 * RESTARTS))
    dice = random.Random(5)  # noqa: S311
    last = Counter()

    def right(lists, figures, **how):
        for (name, labels), value in series(figures):
            assert value >= last[name, labels], f"{name}{labels} went back"
            last[name, labels] = value
        return compare_gauges(lists, figures) + compare_totals(journal, world, lists, figures, **how)

    for number in range(RESTARTS):
        time.sleep(dice.uniform(0.3, 2))
        operator.kill()
        time.sleep(dice.uniform(0, 2))
        operator.start()
        if number % 2:
            with world.hold():
                settled(cluster, operator, right)
    operator.kill()
    with world.hold():
        for job in world.jobs():
            if truth.finished(job) is None:
                delete(cluster, job)
        operator.start()
    settled(cluster, operator, partial(right, at_rest=True))
    outcomes = {labels[-1] for (name, labels), value in last.items() if name == "antenna_jobs_finished_total" and value}
    assert outcomes == {"succeeded", "failed", "cancelled"}
    assert sum(value for (name, _), value in last.items() if name == "antenna_job_evictions_total")


def series(figures):
    return [
        ((name, labels), value)
        for name in figures
        if name in TOTALS
        for labels, value in figures[name].items()
    ]
