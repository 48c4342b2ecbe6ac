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

from bench.world import STATES, Template, job, surroundings, template, workload
from operators.k8s import Cluster
from operators.tenancy import Object
from tests.cluster.light import LightCluster

TRANSACTION = 128  # operations: etcd's own limit
CONNECTIONS = 8

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

    def grow(self, jobs: int, report: Report) -> None:
        """Add Jobs and their Workloads until there are so many Jobs."""
        copies = (
            self._templates[kind, _state(number)].copy(number)
            for number in range(self.jobs, jobs)
            for kind in ("Job", "Workload")
        )
        done = 2 * self.jobs
        newest = 0
        for count, revision in self._put(copies):
            done, newest = done + count, revision
            if done % (TRANSACTION * 40) < TRANSACTION:
                report(f"{done // 2} of {jobs} Jobs with their Workloads are in")
        self.jobs = max(jobs, self.jobs)
        report("waiting for the API server to have read them")
        while self._read_up_to() < newest:
            time.sleep(1)

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

    def _read_up_to(self) -> int:
        """The revision of etcd up to which the API server's caches hold Jobs and Workloads.

        It decodes what comes in more slowly than etcd takes it. Until it has caught up, it answers no list
        from its caches, and what is measured would wait for it.
        """
        metrics = self.cluster.request("GET", "/metrics")
        jobs_and_workloads = [float(value) for value in _CACHED.findall(metrics)]
        return int(min(jobs_and_workloads)) if len(jobs_and_workloads) == 2 else 0

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
