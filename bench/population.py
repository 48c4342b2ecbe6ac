"""Puts many objects into a light control plane, and changes many at once.

The first object of each kind and state is made through the API, so that the API server has validated
and defaulted it; its copies go into etcd, 128 a transaction, where the API server finds them as if it
had written them: thousands of objects a second on two cores, most of which are then free for what is
measured.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import urllib3

from bench.programs import cpu_seconds
from bench.world import STATES, Template, job, surroundings, template, workload
from operators.kube.client import Cluster
from operators.kube.errors import NotFound, patiently
from operators.queues import API_VERSION as KUEUE
from operators.tenancy import Object
from tests.cluster.faults import pid_of, stopped
from tests.cluster.light import LightCluster

TRANSACTION = 128  # operations: etcd's own limit
CONNECTIONS = 8
_PATIENCE: Final = 600.0  # seconds for the API server to have read everything
_ENVIRONMENT: Final = {"GOMEMLIMIT": "12GiB"}
"""What the API server's garbage may fill up; 200,000 objects take about half of it."""
_ARGUMENTS: Final = ("--feature-gates=DetectCacheInconsistency=false",)
"""Every five minutes and more it would list all of etcd to compare it with its caches: with 200,000 objects
that takes it about 100 CPU-seconds, now in this program's start and now in that one's.
"""
_IDLE: Final = 0.1  # CPU-seconds in a second: the API server has always a little to do

_CACHED: Final = re.compile(
    r'^apiserver_watch_cache_resource_version\{.*resource="(?:jobs|workloads)"\} (\S+)$', re.M
)

Report = Callable[[str], None]


@dataclass
class Population:
    """The Jobs and Workloads of one control plane."""

    light: LightCluster
    cluster: Cluster
    jobs: int = 0
    workloads: int = 0
    _templates: dict[tuple[str, str], Template] = field(default_factory=dict)
    _http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=CONNECTIONS))

    def prepare(self) -> None:
        """Nodes and queues, and the objects that the others are copies of. These are deleted again."""
        for obj in surroundings():
            made = self.cluster.create(obj)
            if obj["kind"] == "Node":
                self._set_status({**made, "status": obj["status"]})
        for state in STATES:
            live = self._made(job(f"template-{state}", state))
            queued = self._made(workload(live, state))
            self._templates["Job", state] = template(live, live)
            self._templates["Workload", state] = template(queued, live)
            for obj in (queued, live):
                metadata = obj["metadata"]
                self.cluster.patch(
                    *(obj["apiVersion"], obj["kind"], metadata["name"], metadata["namespace"]),
                    {"metadata": {"finalizers": None}},
                )
                self.cluster.delete(obj["apiVersion"], obj["kind"], metadata["name"], metadata["namespace"])

    def grow(self, jobs: int, workloads: int, report: Report) -> int:
        """Add Jobs and Workloads until there are so many; how many objects were added.

        A Workload is that of the Job of its number.
        """
        news = [
            *(("Job", number) for number in range(self.jobs, jobs)),
            *(("Workload", number) for number in range(self.workloads, workloads)),
        ]
        if not news:
            return 0
        copies = (self._templates[kind, _state(number)].copy(number) for kind, number in news)
        done = 0
        # It would take them in more slowly than etcd does, and keep an event of each: 17 GB for 200,000,
        # half of its time spent looking through them. No cluster is like that whose work came bit by bit.
        with stopped(self.light, "kube-apiserver", arguments=_ARGUMENTS, environment=_ENVIRONMENT):
            for count, _ in self._put(copies):
                done += count
                if done % (TRANSACTION * 40) < TRANSACTION:
                    report(f"{done} of {len(news)} Jobs and Workloads are in")
        self.jobs, self.workloads = max(jobs, self.jobs), max(workloads, self.workloads)
        report("waiting for the API server to have read them")
        self._wait_until_read()
        return len(news)

    def settle(self) -> None:
        """Have the API server collect its garbage, and wait until it is idle.

        With so many objects that takes it 10 CPU-seconds, now in this program's start and now in that one's.
        """
        self.cluster.read("/debug/pprof/heap", {"gc": "1"}, silence=_PATIENCE)
        spent = -1.0
        while (now := self.server_cpu_seconds()) - spent > _IDLE:
            spent = now
            time.sleep(1)

    def server_cpu_seconds(self) -> float:
        """What the API server has spent so far."""
        return cpu_seconds(pid_of(self.light, "kube-apiserver"))

    def change(self, numbers: Iterable[int], turn: int) -> int:
        """Write these Jobs' Workloads, an event each; how many. At every turn each is in the other state.

        One write at a time, as the API server does it: what one transaction writes has one version, and a
        watch that is renewed in the midst of it would go on behind all of it.
        """

        def write(number: int) -> None:
            key, body = self._templates["Workload", _state(number + turn)].copy(number)
            self._send("put", {"key": _base64(key), "value": _base64(body)})

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return len(list(threads.map(write, numbers)))

    def _wait_until_read(self) -> None:
        """Until the API server, just started, answers lists of Jobs and Workloads from its caches.

        It tells of a cache's version only once something has changed since: so a Job and a Workload are
        written again, as they are.
        """
        kinds = {"Job": "batch/v1"} | ({"Workload": KUEUE} if self.workloads else {})
        for kind, version in kinds.items():
            for attempt in patiently(_PATIENCE, lambda _: None, NotFound):
                with attempt:
                    # The cache of a kind of ours is made when it is first asked for.
                    self.cluster.request("GET", self.cluster.path(version, kind), query={"limit": "1"})
        same = (self._templates[kind, _state(0)].copy(0) for kind in kinds)
        ((_, newest),) = self._put(same)
        deadline = time.monotonic() + _PATIENCE
        while self._read_up_to(len(kinds)) < newest:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API server has not read all after {_PATIENCE:.0f} s")
            time.sleep(1)

    def _read_up_to(self, kinds: int) -> int:
        """The revision of etcd up to which the API server's caches hold so many kinds; 0 for unknown."""
        caches = [float(value) for value in _CACHED.findall(self.cluster.request("GET", "/metrics"))]
        return int(min(caches)) if len(caches) >= kinds else 0

    def _put(self, pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[int, int]]:
        """Write in transactions; the number of objects of each, and its revision."""
        pairs = iter(pairs)
        while batch := list(itertools.islice(pairs, TRANSACTION)):
            puts = [{"request_put": {"key": _base64(key), "value": _base64(body)}} for key, body in batch]
            yield len(batch), self._send("txn", {"success": puts})

    def _send(self, what: str, body: Object) -> int:
        """The revision that it made."""
        answer = self._http.request("POST", f"{self.light.etcd}/v3/kv/{what}", body=json.dumps(body))
        if answer.status != 200:
            raise RuntimeError(f"etcd refused a {what}: {answer.data[:300]!r}")
        return int(answer.json()["header"]["revision"])

    def _made(self, obj: Object) -> Object:
        """Created and given its status, as the API server then returns it."""
        made = self.cluster.create(obj)
        return self._set_status({**made, "status": obj["status"]})

    def _set_status(self, obj: Object) -> Object:
        metadata = obj["metadata"]
        return self.cluster.patch(
            *(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace")),
            {"status": obj["status"]},
            subresource="status",
        )


def _state(number: int) -> str:
    return STATES[number % len(STATES)]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
