"""Two partners, a project each at a real Slurm, in a light control plane; the dispatch as its own process."""

from __future__ import annotations

import itertools
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from operators.api import API_VERSION
from operators.api.remote_job import KIND
from operators.api.remote_site import remote_site_object
from operators.api.tenant import tenant_object
from operators.dispatch.access import READER
from operators.kube.client import Cluster, connect
from operators.kube.errors import NotFound
from operators.queues import GPU, Cohort, Flavor, cohort_objects
from operators.sites.flavors import flavors, quotas
from operators.sites.model import Site
from operators.tenancy import OBJECT_COUNTS, Allocation, Quota, Tenant, namespace_name
from tests.cluster.light import light_cluster
from tests.cluster.tenant_controller import NAME, NAMESPACE, eventually, is_ready, tenant_controller
from tests.remote.slurm import OTHER_PROJECT, PROJECT, Login, SlurmSite, slurm_site

TENANT = "vib"
OTHER = "ulb"
PROJECTS = {TENANT: PROJECT, OTHER: OTHER_PROJECT}
PLACE = namespace_name(TENANT)
MANY = dict.fromkeys(("count/remotejobs.antenna.be", "count/workloads.kueue.x-k8s.io"), "5000")
# Half an hour by default: whatever runs, or waits at the site, for longer than this must not be called back.
# To tell so of a thousand jobs that are admitted at once takes longer than of a few.
PATIENCE = "5m" if "ANTENNA_TEST_CONNECTIONS" in os.environ else "15s"
_BOUNDS = (
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    f"{NAME}-resourcequotas-of-tenant",
)
IMPATIENT = {"waitForPodsReady": {"timeout": PATIENCE}}
Object = dict[str, Any]


@dataclass
class Operator:
    """The dispatch's process, which is started again when it was killed.

    It is a fork of one that has all its modules (``dispatcher.py``): what is killed is whole all the same,
    and is there again in a tenth of the time.
    """

    kubeconfig: Path
    credentials: Path
    pid: int | None = None
    said: queue.Queue[str] = field(default_factory=queue.Queue)
    log: list[str] = field(default_factory=list)
    _nursery: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """A new one; it must not run yet."""
        assert self.pid is None
        if self._nursery is None:
            command = [sys.executable, "-m", "tests.remote.dispatcher"]
            self._nursery = subprocess.Popen(
                [*command, str(self.kubeconfig), str(self.credentials), NAMESPACE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            threading.Thread(target=self._listen, args=(self._nursery.stderr,), daemon=True).start()
        self.said = queue.Queue()
        self.pid = int(self._told("start"))

    def kill_when_it_says(self, words: str, delay: float, seconds: float = 60) -> None:
        """kill -9."""
        ends = time.monotonic() + seconds
        while not re.search(words, self.said.get(timeout=max(0.1, ends - time.monotonic()))):
            pass
        time.sleep(delay)
        self.kill()

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self.pid is not None:
            assert self._told("kill") == "9"
            self.pid = None

    def end(self) -> None:
        """It is gone, and what began it."""
        self.kill()
        if self._nursery:
            assert self._nursery.stdin
            self._nursery.stdin.close()
            self._nursery.wait(10)

    def _told(self, word: str) -> str:
        assert self._nursery
        assert self._nursery.stdin
        assert self._nursery.stdout
        self._nursery.stdin.write(f"{word}\n")
        self._nursery.stdin.flush()
        return self._nursery.stdout.readline().strip()

    def _listen(self, said: IO[str]) -> None:
        for line in said:
            self.log.append(line)
            self.said.put(line)


@dataclass
class World:
    """``sites`` are all the one Slurm: a worker and a connection each, so that much goes on at a time."""

    cluster: Cluster
    slurm: SlurmSite
    operator: Operator
    sites: tuple[str, ...]
    logins: Mapping[str, Login]
    """By partner; of READER the one that reads."""
    _turn: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.sites)

    def declare(self, floor: int, per_minute: int = 60) -> None:
        """The sites anew, with another floor on polling and another limit on connections."""
        for site in _sites(self.slurm, len(self.sites), floor, per_minute):
            self.cluster.apply(remote_site_object(site), manager="test")

    def awake(self) -> None:
        """The dispatch runs, and no command goes wrong."""
        self.slurm.go_right()
        if self.operator.pid is None:
            self.operator.start()

    def submit(self, script: str = "#!/bin/sh\nsleep 1\n", *, tenant: str = TENANT, **others: object) -> str:
        """A RemoteJob of a partner for the next site; its name."""
        spec = {
            "site": next(self._turn),
            "partition": "small-g",
            "gpusPerNode": 1,
            "timeLimit": "20m",
            "script": script,
            "cores": 1,
            "memoryGiB": 1,
        }
        made = self.cluster.create(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"generateName": "job-", "namespace": namespace_name(tenant)},
                "spec": {**spec, **others},
            }
        )
        return str(made["metadata"]["name"])

    def delete(self, name: str, tenant: str = TENANT) -> None:
        """As a user does who wants it no more; it may be gone."""
        try:
            self.cluster.delete(API_VERSION, KIND, name, namespace_name(tenant))
        except NotFound:
            return

    def find(self, name: str, tenant: str = TENANT) -> Object | None:
        return self.cluster.find(API_VERSION, KIND, name, namespace_name(tenant))

    def statuses(self, tenant: str = TENANT) -> dict[str, Object]:
        """Status of every RemoteJob of a partner by name."""
        jobs = self.cluster.list_objects(API_VERSION, KIND, namespace=namespace_name(tenant))
        return {job["metadata"]["name"]: job.get("status") or {} for job in jobs}

    def states(self, tenant: str = TENANT) -> dict[str, str]:
        """State of every RemoteJob of a partner by name."""
        return {name: str(status.get("state")) for name, status in self.statuses(tenant).items()}

    def are(self, names: Iterable[str], state: str, tenant: str = TENANT) -> bool:
        """Whether all of them are in a state."""
        states = self.states(tenant)
        return all(states.get(name) == state for name in names)

    def uid(self, name: str, tenant: str = TENANT) -> str:
        found = self.find(name, tenant)
        assert found
        return str(found["metadata"]["uid"])

    def accounted(self, uids: Iterable[str]) -> Counter[int]:
        """How many RemoteJobs were accepted by Slurm how often: ``{1: all of them}`` is right."""
        times = Counter(job.name for job in self.slurm.accounting())
        return Counter(times[f"antenna-{uid}"] for uid in uids)


@contextmanager
def world(folder: Path, sites: int) -> Iterator[World]:
    """Up when entered, with the dispatch running; gone when left. ``folder`` is empty, its path short."""
    (folder / "light").mkdir()
    (folder / "credentials").mkdir()
    with slurm_site(folder / "s") as slurm, light_cluster(folder / "light", configured=IMPATIENT) as up:
        all_ = _sites(slurm, sites)
        credentials = folder / "credentials"
        logins = {READER: slurm.add_login("r")}
        logins |= {tenant: slurm.add_login(tenant, project) for tenant, project in PROJECTS.items()}
        for tenant, login in logins.items():
            give(credentials, all_, login, tenant)
        for site in all_:
            (credentials / f"{site.name}.known_hosts").symlink_to(slurm.known_hosts)
        cohort = Cohort("antenna", (Flavor("local"), *flavors(all_)))
        partners = [_partner(tenant, all_) for tenant in PROJECTS]
        cluster = connect(up.kubeconfig)
        # One partner sends here what 23 may: that is not what every Tenant has.
        with patch.dict(OBJECT_COUNTS, MANY), tenant_controller(up, folder):
            cluster.delete(*_BOUNDS)
            operator = Operator(up.kubeconfig, credentials)
            operator.start()
            declared = [*cohort_objects(cohort), *(remote_site_object(site) for site in all_)]
            for obj in (*declared, *(tenant_object(partner, cohort) for partner in partners)):
                cluster.apply(obj, manager="test")
            try:
                eventually(lambda: all(is_ready(cluster, tenant) for tenant in PROJECTS))
                yield World(cluster, slurm, operator, tuple(site.name for site in all_), logins)
            finally:
                print("".join(operator.log[-400:]))
                operator.end()
                cluster.close()


def give(credentials: Path, sites: Iterable[Site], login: Login, tenant: str = READER) -> None:
    """The operator has the login of a partner, or the reader's, at each of the sites: a Secret's files."""
    for site in sites:
        stem = ".".join(filter(None, (site.name, tenant)))
        (credentials / f"{stem}.user").write_text(f"{login.user}\n")
        (credentials / f"{stem}.key").symlink_to(login.key)


def _sites(slurm: SlurmSite, count: int, floor: int = 1, per_minute: int = 60) -> tuple[Site, ...]:
    # As if it ran very many at a time: Slurm shall have to choose, not Kueue.
    many = tuple(replace(one, max_running=2000) for one in slurm.site.partitions)
    access = replace(slurm.site.access, poll_floor_seconds=floor, connections_per_minute=per_minute)
    return tuple(
        replace(slurm.site, name=f"testbed-{number}", partitions=many, access=access)
        for number in range(1, count + 1)
    )


def _partner(name: str, sites: tuple[Site, ...]) -> Tenant:
    today = datetime.now(UTC).date()
    grants = tuple(
        Allocation(
            *(site.name, PROJECTS[name], Fraction(10**6), "gpu-hours"),
            today - timedelta(days=1),
            today + timedelta(days=9),
        )
        for site in sites
    )
    quota = {"local": {GPU: Quota(1)}} | quotas(grants, sites)
    return Tenant(name, name.upper(), "flanders", ("science-research",), (name,), quota, allocations=grants)
