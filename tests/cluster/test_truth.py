"""While partners' jobs come, run, fail, are put back and go, every figure is what the API server says."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from tests.cluster import truth
from tests.cluster.world import World

MOMENTS = 20
RESTARTS = 10
PATIENCE = 60.0  # seconds for the cluster to come to rest once nobody pushes, on a busy machine
LABELS = {family.name: family.labels for family in FAMILIES}
COMPARED = tuple(
    family.name
    for family in FAMILIES
    if family.name.startswith(("antenna_queue_", "antenna_job_", "antenna_node_", "antenna_gpus_"))
    and family.type in ("gauge", "info")
    and family.name not in ("antenna_queue_pending_reason", "antenna_queue_oldest_pending_age_seconds")
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
    """What is over, by a watch of its own: first admissions, and jobs as they were when they went."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.first_admitted = {}
        self.jobs = {}
        self.workloads = {}
        self.stopping = False
        for version, kind, note in (
            (truth.KUEUE, "Workload", self.workload),
            ("batch/v1", "Job", self.job),
        ):
            threading.Thread(target=self._follow, args=(version, kind, note), daemon=True).start()

    def _follow(self, version, kind, note):
        while not self.stopping:
            for event in self.cluster.watch(version, kind, seconds=3600):
                if event.type != "BOOKMARK":
                    note(event)

    def workload(self, event):
        uid = event.object["metadata"]["labels"].get("kueue.x-k8s.io/job-uid")
        if event.type != "DELETED" or uid not in self.workloads:
            self.workloads[uid] = event.object
        if truth.holds(event.object, "Admitted"):
            since = truth.condition(event.object, "Admitted")["lastTransitionTime"]
            self.first_admitted.setdefault(uid, truth.seconds(since))

    def job(self, event):
        uid = event.object["metadata"]["uid"]
        self.jobs[uid] = (event.type == "DELETED", event.object)


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


def compare_totals(journal, ours, lists, figures):
    """Counters and histograms of some tenants against every job that they ever had.

    The API forgets the first admission of a job that is put back: where that happened while the
    operator was down, its wait is estimated, or not known before the next admission. So waits of
    jobs that were put back may differ, and no others.
    """
    expected, unsure = Counter(), Counter()
    for gone, job in tuple(journal.jobs.values()):
        uid = job["metadata"]["uid"]
        workload = journal.workloads.get(uid)
        place = ("local", *lists.place(job))
        if place[-1] not in ours:
            continue
        ended = truth.state(job) if truth.finished(job) is not None else "cancelled" if gone else None
        if ended:
            expected["antenna_jobs_finished_total", (*place, ended)] += 1
        expected["antenna_job_restarts_total", place] += truth.restarts(job)
        if uid in journal.first_admitted:
            created = truth.seconds(job["metadata"]["creationTimestamp"])
            if workload and truth.evictions(workload):
                unsure[place] += 1
            else:
                observe(expected, "antenna_job_wait_seconds", place, journal.first_admitted[uid] - created)
        if workload is None:
            continue
        for reason, count in truth.evictions(workload).items():
            expected["antenna_job_evictions_total", (*place, reason)] += count
            if reason == "Preempted":
                expected["antenna_job_preemptions_total", place] += count
        run = truth.run_time(job, workload)
        if run is not None:
            observe(expected, "antenna_job_run_seconds", place, run)
    names = {key[0] for key in expected} - {"antenna_job_wait_seconds_sum"}
    shown = {
        (name, labels): value
        for name in names
        for labels, value in figures[name].items()
        if labels[2] in ours
    }
    # A cancelled job's run ends when its deletion is seen: that its end was counted is compared above.
    cancelled = sum(
        v for (n, p), v in expected.items() if n.endswith("finished_total") and p[-1] == "cancelled"
    )
    keys = [
        key
        for key in shown.keys() | expected.keys()
        if key[0] in names and not (cancelled and "run_seconds" in key[0])
    ]
    slack = {key: unsure[key[1][:3]] if "wait_seconds" in key[0] else 0 for key in keys}
    return [
        f"{key}: shown {shown.get(key, 0)}, true {expected.get(key, 0)}"
        for key in sorted(keys)
        if not 0 <= shown.get(key, 0) - expected.get(key, 0) <= slack[key]
    ]


BOUNDS = ("1.0", "5.0", "15.0", "60.0", "300.0", "900.0", "3600.0")


def observe(expected, family, place, value):
    for bound in (*BOUNDS, "14400.0", "43200.0", "86400.0", "259200.0", "604800.0", "+Inf"):
        expected[f"{family}_bucket", (*place, bound)] += value <= float(bound)
    expected[f"{family}_sum", place] += value
    expected[f"{family}_count", place] += 1


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


@pytest.mark.xfail(
    run=False,
    reason="outcomes and waits of jobs that change while no operator runs are not yet the API's",
)
def test_totals_stay_right_though_the_operator_is_killed_again_and_again(world, operator, cluster):
    journal = Journal(cluster)
    world.start(sender(world, most=60))
    dice = random.Random(5)  # noqa: S311
    last = Counter()
    for _ in range(RESTARTS):
        time.sleep(dice.uniform(0.3, 2))
        operator.kill()
        operator.start()
        with world.hold():
            settled(cluster, operator, compare_gauges)
        figures = operator.scrape()
        for name in figures:
            if name.endswith(("_total", "_bucket", "_sum", "_count")) and "operator" not in name:
                for labels, value in figures[name].items():
                    assert value >= last[name, labels], f"{name}{labels} went back"
                    last[name, labels] = value
    with world.hold():
        ours = {tenant.name for tenant in world.tenants}
        settled(cluster, operator, lambda lists, figures: compare_totals(journal, ours, lists, figures))
    assert sum(v for (n, _), v in last.items() if n == "antenna_jobs_finished_total") > 5
