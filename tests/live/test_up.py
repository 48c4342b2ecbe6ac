"""`antenna up` takes an empty host to GPU jobs running in partners' queues."""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.live.site_under_test import SiteUnderTest

GPU = "nvidia.com/gpu"


def condition(thing: dict[str, Any], kind: str) -> str:
    found = [c["status"] for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else "absent"


def test_three_nodes_are_ready_and_eight_gpus_allocatable(site: SiteUnderTest) -> None:
    nodes = site.get("nodes")["items"]
    assert {n["metadata"]["name"]: condition(n, "Ready") for n in nodes} == {
        "head": "True",
        "gpu-1": "True",
        "gpu-2": "True",
    }
    assert sum(int(n["status"]["allocatable"].get(GPU, 0)) for n in nodes) == 8


def test_kueue_runs_and_every_partner_has_an_active_queue(site: SiteUnderTest) -> None:
    deployment = site.get("deployment", "-n", "kueue-system", "kueue-controller-manager")
    assert condition(deployment, "Available") == "True"
    partners = {t["name"] for t in site.config["config"]["site:tenants"]}
    assert len(partners) == 15
    queues = site.get("clusterqueues")["items"]
    assert {q["metadata"]["name"] for q in queues if condition(q, "Active") == "True"} == partners
    assert len(site.get("localqueues", "-A")["items"]) == 15


def test_cluster_dns_and_services_answer(site: SiteUnderTest) -> None:
    dns = site.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
    assert dns.startswith(site.ranges[2])
    answer = site.on(
        "gpu-1", f"python3 -c \"import socket; s=socket.create_connection(('{dns}', 53), 5); print('ok')\""
    )
    assert answer.strip() == "ok"


def test_demo_shares_the_gpus_and_never_admits_more_than_there_are(site: SiteUnderTest) -> None:
    admitted: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.3):
            reserved = 0
            workloads = site.get("workloads", "-A")["items"]
            ended = {
                job["metadata"]["uid"]
                for job in site.get("jobs", "-A")["items"]
                if "True" in (condition(job, "Complete"), condition(job, "Failed"))
            }
            for workload in workloads:
                owners = {owner["uid"] for owner in workload["metadata"].get("ownerReferences", ())}
                if condition(workload, "Finished") == "True" or owners & ended:
                    continue
                for pods in workload.get("status", {}).get("admission", {}).get("podSetAssignments", []):
                    reserved += int(pods.get("resourceUsage", {}).get(GPU, 0))
            admitted.append(reserved)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        shown = json.loads(site.antenna("demo", "--json").stdout)
    finally:
        over.set()
        watcher.join()
    assert shown["succeeded"] == shown["jobs"] >= 40
    assert {name: row["succeeded"] for name, row in shown["sites"].items()} == {
        "local": 24,
        "jupiter": 6,
        "lumi": 10,
    }
    assert len(shown["partners"]) >= 6
    assert shown["gpus_requested"] > 8
    assert 0 < max(admitted) <= 8
    assert shown["peak_gpus"] <= 8


def test_a_second_up_changes_nothing(site: SiteUnderTest) -> None:
    assert site.changes("up", "--yes") == {}


def test_a_second_ansible_run_changes_nothing_on_any_host(site: SiteUnderTest) -> None:
    refreshed = site.antenna("refresh", "--yes", "--json").stdout
    assert [s["drift"] for s in json.loads(refreshed)["steps"] if s.get("drift")] == []


def test_status_tells_the_same_as_the_cluster(site: SiteUnderTest) -> None:
    shown = json.loads(site.antenna("status", "--json").stdout)
    assert shown["healthy"], shown
    assert {n["name"] for n in shown["nodes"]} == {"head", "gpu-1", "gpu-2"}
    assert {q["name"]: q["quota"] for q in shown["queues"]} == {
        q["metadata"]["name"]: sum(
            int(r["nominalQuota"])
            for group in q["spec"]["resourceGroups"]
            for flavor in group["flavors"]
            for r in flavor["resources"]
            if r["name"] == GPU
        )
        for q in site.get("clusterqueues")["items"]
    }


def test_doctor_finds_nothing_wrong(site: SiteUnderTest) -> None:
    rows = json.loads(site.antenna("doctor", "--json").stdout)["checks"]
    assert [r for r in rows if r["verdict"] == "fail"] == []
