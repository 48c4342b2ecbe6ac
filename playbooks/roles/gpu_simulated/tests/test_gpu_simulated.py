"""Role gpu_simulated, on live machines."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

GROUP = "gpu"
FAULT = "/run/antenna-gpus/unhealthy/0"
NOTICED_SECONDS = 40


@pytest.fixture(autouse=True)
def simulated(node: dict[str, Any]) -> None:
    if node["labels"]["antenna.be/gpu-simulated"] != "true":
        pytest.skip("these GPUs are real")


def allocatable(machine: Any, name: str) -> int:
    query = "kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node %s -o json"
    return int(json.loads(machine.check_output(query, name))["status"]["allocatable"]["nvidia.com/gpu"])


def wait_for(machine: Any, name: str, count: int) -> None:
    deadline = time.monotonic() + NOTICED_SECONDS
    while (found := allocatable(machine, name)) != count:
        assert time.monotonic() < deadline, f"{found} GPUs, not {count}"
        time.sleep(1)


def test_the_device_plugin_runs_and_comes_back_after_a_boot(machine: Any) -> None:
    assert machine.service("antenna-gpus").is_running
    assert machine.service("antenna-gpus").is_enabled


def test_the_node_offers_as_many_gpus_as_declared(machine: Any, node: dict[str, Any]) -> None:
    wait_for(machine, node["name"], int(node["labels"]["nvidia.com/gpu.count"]))


def test_a_gpu_marked_as_faulty_is_not_offered_until_it_heals(machine: Any, node: dict[str, Any]) -> None:
    count = int(node["labels"]["nvidia.com/gpu.count"])
    machine.check_output("touch %s", FAULT)
    try:
        wait_for(machine, node["name"], count - 1)
    finally:
        machine.check_output("rm -f %s", FAULT)
    wait_for(machine, node["name"], count)
