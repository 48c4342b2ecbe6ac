"""An edit of the site's file shows exactly what it changes, and applies exactly that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.live.site_under_test import SiteUnderTest, eventually

STATE = Path.home() / ".pulumi/stacks/antenna"

PATIENT_JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "patient", "labels": {"kueue.x-k8s.io/queue-name": ""}},
    "spec": {
        "backoffLimit": 10,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "nodeSelector": {"kubernetes.io/hostname": "gpu-3"},
                "containers": [
                    {
                        "name": "work",
                        "image": "antenna.be/sample-work:1",
                        "command": ["sleep", "3600"],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "32Mi"},
                            "limits": {"cpu": "100m", "memory": "32Mi", "nvidia.com/gpu": 1},
                        },
                    }
                ],
            }
        },
    },
}


def a_third_gpu_node(config: dict[str, Any]) -> None:
    second = next(m for m in config["site:machines"] if m["name"] == "gpu-2")
    third = json.loads(json.dumps(second)) | {"name": "gpu-3"}
    third["address"] = second["address"].rpartition(".")[0] + ".13"
    third.pop("pods", None)
    config["site:machines"].append(third)


def tenant(config: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(t for t in config["site:tenants"] if t["name"] == name)
    return found


def fingerprint(site: SiteUnderTest) -> str:
    state = hashlib.sha256((STATE / f"{site.stack}.json").read_bytes()).hexdigest()
    objects = site.get("clusterqueues,localqueues,namespaces,resourceflavors,rolebindings", "-A")["items"]
    versions = {
        o["metadata"]["uid"]: (
            o["metadata"].get("generation"),
            json.dumps(o["metadata"].get("labels"), sort_keys=True),
        )
        for o in objects
    }
    return f"{state} {sorted(versions.items())}"


def test_preview_touches_nothing(site: SiteUnderTest) -> None:
    before = fingerprint(site)
    site.write(lambda config: (a_third_gpu_node(config), config["site:tenants"].pop()))
    assert site.changes()
    assert fingerprint(site) == before
    assert "gpu-3" not in [n["metadata"]["name"] for n in site.get("nodes")["items"]]


def test_one_partners_quota_is_one_change(site: SiteUnderTest) -> None:
    name = site.config["config"]["site:tenants"][0]["name"]

    def one_gpu_less(config: dict[str, Any]) -> None:
        tenant(config, name)["quota"]["h100"] -= 1

    before = site.get("clusterqueues")["items"]
    site.write(one_gpu_less)
    assert site.changes() == {f"tenant-{name}": "update"}
    assert site.changes("up", "--yes") == {f"tenant-{name}": "update"}
    after = {q["metadata"]["name"]: q["spec"] for q in site.get("clusterqueues")["items"]}
    assert [q["metadata"]["name"] for q in before if after[q["metadata"]["name"]] != q["spec"]] == [name]
    site.write()
    assert site.changes("up", "--yes") == {f"tenant-{name}": "update"}


def test_removing_a_partner_removes_exactly_its_own(site: SiteUnderTest) -> None:
    name = site.config["config"]["site:tenants"][-1]["name"]
    site.write(lambda config: config["site:tenants"].pop())
    # The operator makes nothing for it any more, and the provider of people knows none of it.
    planned = site.changes()
    assert planned.pop("operator") == planned.pop("people") == "update"
    assert set(planned.values()) == {"delete"} and f"tenant-{name}" in planned
    site.antenna("up", "--yes")
    assert name not in [q["metadata"]["name"] for q in site.get("clusterqueues")["items"]]
    assert len(site.get("clusterqueues")["items"]) == 14
    assert name not in json.dumps([n["metadata"]["name"] for n in site.get("namespaces")["items"]])
    site.write()
    site.antenna("up", "--yes")
    assert len(site.get("clusterqueues")["items"]) == 15


def test_a_gpu_node_joins_works_and_is_drained_before_it_goes(site: SiteUnderTest) -> None:
    site.write(a_third_gpu_node)
    planned = site.changes()
    assert planned.pop("gpu-3") == "create"
    assert set(planned) <= {"nodes", "network", "queues"} and set(planned.values()) == {"update"}
    site.antenna("up", "--yes")
    node = site.get("node", "gpu-3")
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"

    queue = site.get("localqueues", "-A")["items"][0]["metadata"]
    job = json.loads(json.dumps(PATIENT_JOB))
    job["metadata"] |= {
        "namespace": queue["namespace"],
        "labels": {"kueue.x-k8s.io/queue-name": queue["name"]},
    }
    site.kubectl("apply", "-f", "-", given=json.dumps(job))
    pods = ("pods", "-n", queue["namespace"], "-l", "batch.kubernetes.io/job-name=patient")
    eventually(
        "the job runs on gpu-3",
        lambda: [p for p in site.get(*pods)["items"] if p["status"]["phase"] == "Running"],
    )
    try:
        site.write()
        planned = site.changes()
        assert planned.pop("gpu-3") == "delete"
        site.antenna("up", "--yes")
        assert "gpu-3" not in [n["metadata"]["name"] for n in site.get("nodes")["items"]]
        # Drained, not cut off: the pod was evicted and its job has a new one that waits for a place.
        again = site.get(*pods)["items"]
        assert [p["status"]["phase"] for p in again if not p["metadata"].get("deletionTimestamp")] in (
            ["Pending"],
            [],
        )
    finally:
        site.kubectl("delete", "job", "-n", queue["namespace"], "patient", "--wait=false")
