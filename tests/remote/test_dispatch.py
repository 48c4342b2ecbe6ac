"""The dispatch is killed wherever it is, and sbatch goes wrong in every way: 0 jobs lost, 0 doubled.

Counted in Slurm's own accounting. ``ANTENNA_TEST_DISPATCH=1`` does it 50 and 60 times; else it is a few.
"""

from __future__ import annotations

import os
import queue
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from operators.api import API_VERSION
from operators.api.remote_job import KIND
from operators.api.remote_site import remote_site_object
from operators.api.tenant import tenant_object
from operators.k8s import Cluster, connect
from operators.queues import GPU, Cohort, Flavor, cohort_objects
from operators.sites.flavors import flavors, quotas
from operators.tenancy import Allocation, Quota, Tenant, namespace_name
from tests.cluster.light import LightCluster, light_cluster
from tests.cluster.tenant_controller import NAMESPACE, eventually, is_ready, tenant_controller
from tests.remote.slurm import PROJECT, SlurmSite, slurm_site

MANY = os.environ.get("ANTENNA_TEST_DISPATCH") == "1"
KILLS = 50 if MANY else 1
FAULTS = 60 if MANY else 1
TENANT = "vib"
PLACE = namespace_name(TENANT)

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


@dataclass
class Operator:
    """The dispatch's process, which is started again when it was killed."""

    kubeconfig: Path
    credentials: Path
    process: subprocess.Popen[str] | None = None
    said: queue.Queue[str] = field(default_factory=queue.Queue)
    log: list[str] = field(default_factory=list)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.remote.dispatcher"]
        self.said = queue.Queue()
        self.process = subprocess.Popen(
            [*command, str(self.kubeconfig), str(self.credentials), NAMESPACE],
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self.process, self.said), daemon=True).start()

    def kill_when_it_says(self, words: str, delay: float, seconds: float = 60) -> None:
        """kill -9."""
        ends = time.monotonic() + seconds
        while not re.search(words, self.said.get(timeout=max(0.1, ends - time.monotonic()))):
            pass
        time.sleep(delay)
        self.kill()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listen(self, process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            self.log.append(line)
            said.put(line)


@dataclass
class World:
    """A partner with a project at a real Slurm, in a light control plane."""

    cluster: Cluster
    slurm: SlurmSite
    operator: Operator

    def submit(self, script: str = "#!/bin/sh\nsleep 1\n") -> str:
        """A RemoteJob; its name."""
        spec = {
            "site": "testbed",
            "partition": "small-g",
            "gpusPerNode": 1,
            "timeLimit": "5m",
            "script": script,
        }
        made = self.cluster.create(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"generateName": "job-", "namespace": PLACE},
                "spec": {**spec, "cores": 1, "memoryGiB": 1},
            }
        )
        return str(made["metadata"]["name"])

    def find(self, name: str) -> dict[str, Any] | None:
        return self.cluster.find(API_VERSION, KIND, name, PLACE)

    def state(self, name: str) -> str:
        found = self.find(name) or {}
        return str((found.get("status") or {}).get("state"))

    def uid(self, name: str) -> str:
        found = self.find(name)
        assert found
        return str(found["metadata"]["uid"])

    def accounted(self, uids: list[str]) -> Counter[str]:
        """How many jobs of each RemoteJob Slurm has ever accepted."""
        names = [job.name for job in self.slurm.accounting()]
        return Counter({uid: names.count(f"antenna-{uid}") for uid in uids})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dispatch")
    short = Path(tmp_path_factory.mktemp("s"))
    with slurm_site(short / "s") as slurm, light_cluster(folder / "light") as up:
        yield from _world(up, slurm, folder)


def _world(up: LightCluster, slurm: SlurmSite, folder: Path) -> Iterator[World]:
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "user").write_text("root")
    (credentials / "key").symlink_to(slurm.key)
    (credentials / "known_hosts").symlink_to(slurm.known_hosts)
    # As if it ran very many at a time: Slurm shall have to choose, not Kueue.
    site = replace(slurm.site, partitions=tuple(replace(p, max_running=500) for p in slurm.site.partitions))
    site = replace(site, access=replace(site.access, poll_floor_seconds=1))
    today = datetime.now(UTC).date()
    grant = Allocation(
        *("testbed", PROJECT, Fraction(10**6), "gpu-hours"),
        today - timedelta(days=1),
        today + timedelta(days=9),
    )
    cohort = Cohort("antenna", (Flavor("local"), *flavors((site,))))
    quota = {"local": {GPU: Quota(1)}} | quotas((grant,), (site,))
    partner = Tenant(TENANT, "VIB", "flanders", ("science-research",), ("vib",), quota, allocations=(grant,))
    cluster = connect(up.kubeconfig)
    with tenant_controller(up, folder):
        operator = Operator(up.kubeconfig, credentials)
        operator.start()
        for obj in (*cohort_objects(cohort), remote_site_object(site), tenant_object(partner, cohort)):
            cluster.apply(obj, manager="test")
        try:
            eventually(lambda: is_ready(cluster, TENANT))
            yield World(cluster, slurm, operator)
        finally:
            print("".join(operator.log[-400:]))
            operator.kill()
            cluster.close()


def test_nothing_is_lost_or_doubled_however_often_the_operator_is_killed(world: World) -> None:
    chance = random.Random(5)  # noqa: S311 (a repeatable order)
    points = [point for point in POINTS for _ in range(KILLS)]
    chance.shuffle(points)
    ran, cancelled = [], []
    for words, delay in points:
        name = world.submit("#!/bin/sh\nsleep 600\n" if words == "cancelling" else "#!/bin/sh\nsleep 1\n")
        (cancelled if words == "cancelling" else ran).append((name, world.uid(name)))
        if world.operator.process is None:
            world.operator.start()
        if words == "cancelling":
            eventually(lambda name=name: world.state(name) == "running")
            world.cluster.delete(API_VERSION, KIND, name, PLACE)
        world.operator.kill_when_it_says(words, delay * chance.uniform(0.5, 1.5), 120)
        world.operator.start()
    eventually(lambda: all(world.state(name) == "succeeded" for name, _ in ran), 300)
    eventually(lambda: all(world.find(name) is None for name, _ in cancelled), 300)
    assert set(world.accounted([uid for _, uid in ran]).values()) == {1}
    assert set(world.accounted([uid for _, uid in cancelled]).values()) == {1}
    states = {job.name: job.state for job in world.slurm.accounting()}
    assert {states[f"antenna-{uid}"].split()[0] for _, uid in cancelled} == {"CANCELLED"}


def test_nothing_is_lost_or_doubled_when_sbatch_goes_wrong(world: World) -> None:
    """All ways among each other; ``drops`` alone takes nothing, and is found out and made good."""
    if world.operator.process is None:
        world.operator.start()
    faults = list(WRONG) * FAULTS
    random.Random(6).shuffle(faults)  # noqa: S311 (a repeatable order)
    world.slurm.go_wrong("sbatch", *faults)
    names = [world.submit() for _ in faults]
    uids = [world.uid(name) for name in names]
    eventually(lambda: all(world.state(name) == "succeeded" for name in names), 120 + 20 * len(faults))
    assert set(world.accounted(uids).values()) == {1}
    assert (world.slurm.folder / "faults" / "sbatch").read_text() == ""
