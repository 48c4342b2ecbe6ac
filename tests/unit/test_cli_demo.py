"""The demo against a small stand-in for Kueue: quota is given while there is some, jobs end by the clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from operators.kube.errors import NotFound
from operators.queues import Cohort, Flavor, cluster_queue, cohort_objects, local_queue
from operators.tenancy import Quota, Tenant

COHORT = Cohort("antenna", (Flavor("local"),), {"local": {"nvidia.com/gpu": 1}})
TENANTS = [
    Tenant(f"p{i}", f"P{i}", "federal", quotas={"local": {"nvidia.com/gpu": Quota(1 if i < 7 else 0)}})
    for i in range(15)
]


@dataclass
class StandIn:
    """Admits in order of submission up to ``gpus``; each look takes one step, a job lasts three."""

    gpus: int = 8
    failing: int = 0
    jobs: list[dict[str, Any]] = field(default_factory=list)
    age: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def list_objects(self, api_version: str, kind: str, **_: object) -> list[dict[str, Any]]:
        match kind:
            case "Node":
                return [
                    {
                        "metadata": {"name": f"gpu-{n}"},
                        "status": {
                            "allocatable": {"nvidia.com/gpu": "4"},
                            "conditions": [{"type": "Ready", "status": "True"}],
                        },
                    }
                    for n in (1, 2)
                ]
            case "ClusterQueue":
                return [cluster_queue(t, COHORT) for t in TENANTS]
            case "LocalQueue":
                return [local_queue(t) for t in TENANTS]
            case "Cohort":
                return [o for o in cohort_objects(COHORT) if o["kind"] == "Cohort"]
            case "Job":
                self._step()
                return [self._job(job) for job in self.jobs]
        return [self._workload(job) for job in self.jobs] if kind == "Workload" else []

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        job = json.loads(json.dumps(job))
        job["metadata"]["uid"] = job["metadata"]["name"]
        self.jobs.append(job)
        return job

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> None:
        if name in self.deleted:
            raise NotFound(404, "NotFound", name)
        self.deleted.append(name)

    def _step(self) -> None:
        for name in self.age:
            self.age[name] += 1
        free = self.gpus - sum(gpus(j) for j in self.jobs if self._state(j) == "running")
        for job in self.jobs:
            if self._state(job) == "queued" and gpus(job) <= free:
                free -= gpus(job)
                self.age[job["metadata"]["name"]] = 0

    def _state(self, job: dict[str, Any]) -> str:
        age = self.age.get(job["metadata"]["name"])
        return "queued" if age is None else "running" if age < 3 else "ended"

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        state = self._state(job)
        word = "Failed" if int(job["metadata"]["name"][-2:]) < self.failing else "Complete"
        conditions = [{"type": word, "status": "True"}] if state == "ended" else []
        return {**job, "spec": {"suspend": state == "queued"}, "status": {"conditions": conditions}}

    def _workload(self, job: dict[str, Any]) -> dict[str, Any]:
        state, meta = self._state(job), job["metadata"]
        types = {"queued": [], "running": ["QuotaReserved"], "ended": ["QuotaReserved", "Finished"]}[state]
        usage = {"nvidia.com/gpu": str(gpus(job))}
        return {
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "creationTimestamp": "2026-01-01T10:00:00Z",
                "ownerReferences": [{"uid": meta["uid"]}],
            },
            "spec": {"queueName": "default"},
            "status": {
                "conditions": [{"type": t, "status": "True"} for t in types],
                "admission": {"podSetAssignments": [{"resourceUsage": usage}]} if types else None,
            },
        }


def gpus(job: dict[str, Any]) -> int:
    [container] = job["spec"]["template"]["spec"]["containers"]
    return int(container["resources"]["limits"]["nvidia.com/gpu"])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    monkeypatch.setattr("infra.cli.verbs.demo.client.connect", lambda _: stand_in)
    monkeypatch.setattr("infra.cli.verbs.demo.POLL_SECONDS", 0.0)
    return stand_in


def demo(*words: str) -> Result:
    return CliRunner().invoke(main, ["demo", *words])


def test_24_jobs_of_5_partners_share_8_gpus_and_all_succeed(cluster: StandIn) -> None:
    shown = demo("--json")
    assert shown.exit_code == 0
    document = json.loads(shown.stdout)
    assert document["jobs"] == document["succeeded"] == 24
    assert len(document["partners"]) == 5
    assert document["gpus_requested"] > 8
    assert document["gpus"] == 8
    assert 4 < document["peak_gpus"] <= 8
    assert document["peak_borrowed"] > 0
    assert document["problems"] == []


def test_the_jobs_are_gone_afterwards(cluster: StandIn) -> None:
    demo()
    assert sorted(cluster.deleted) == sorted(j["metadata"]["name"] for j in cluster.jobs)


def test_the_jobs_stay_when_asked_to(cluster: StandIn) -> None:
    demo("--keep")
    assert cluster.deleted == []


def test_a_job_that_fails_fails_the_demo(cluster: StandIn) -> None:
    cluster.failing = 2
    shown = demo()
    assert shown.exit_code == 1
    assert "2 of 24 jobs failed" in shown.output
    assert cluster.deleted, "cleaned up all the same"


def test_more_gpus_admitted_than_there_are_fails_the_demo(cluster: StandIn, tmp_path: Path) -> None:
    cluster.gpus = 12
    shown = demo("--json")
    assert shown.exit_code == 1
    document = json.loads(shown.stdout)
    assert document["peak_gpus"] > 8
    assert "GPUs were admitted at once, the site has 8" in document["problems"][0]
    (log,) = tmp_path.rglob("*-demo.log")
    assert '"QuotaReserved": ["True"' in log.read_text()


def test_a_log_is_told_the_end(cluster: StandIn) -> None:
    shown = demo().output
    assert "24 jobs of 5 partners ask for" in shown
    assert "queued   0  running  0  done  24  GPUs 0/8" in shown
    assert "demo: 24 of 24 jobs succeeded" in shown
    assert "\x1b" not in shown


def test_too_few_partners_are_wrong_input(cluster: StandIn) -> None:
    shown = demo("--partners", "16")
    assert shown.exit_code == 2
    assert cluster.jobs == []


def test_a_site_that_is_not_up_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    shown = demo()
    assert shown.exit_code == 1
    assert "kubeconfig" in shown.output
