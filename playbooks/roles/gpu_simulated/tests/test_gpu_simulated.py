"""Role gpu_simulated, on live machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

GROUP = "gpu"
FAULT = "/run/antenna/gpus/0/xid"
XID = 79
NOTICED_SECONDS = 40
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


@pytest.fixture(autouse=True)
def simulated(node: dict[str, Any]) -> None:
    if node["labels"]["antenna.be/gpu-simulated"] != "true":
        pytest.skip("these GPUs are real")


def allocatable(machine: Any, name: str) -> int:
    query = "kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node %s -o json"
    return int(json.loads(machine.check_output(query, name))["status"]["allocatable"]["nvidia.com/gpu"])


def values(node: dict[str, Any], family: str) -> list[float]:
    """What the node's exporter tells, by device index."""
    with urlopen(f"http://{node['address']}:9400/metrics", timeout=10) as answer:
        text = answer.read().decode()
    rows = {
        int(sample.labels["gpu"]): sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
        if found.name == family
    }
    return [rows[index] for index in sorted(rows)]


def wait_for(what: Any, found: Callable[[], Any]) -> None:
    deadline = time.monotonic() + NOTICED_SECONDS
    while (last := found()) != what:
        assert time.monotonic() < deadline, f"{last}, not {what}"
        time.sleep(1)


@pytest.mark.parametrize("unit", ["antenna-gpus", "antenna-dcgm"])
def test_its_units_run_and_come_back_after_a_boot(machine: Any, unit: str) -> None:
    assert machine.service(unit).is_running
    assert machine.service(unit).is_enabled


def test_the_node_offers_as_many_gpus_as_declared(machine: Any, node: dict[str, Any]) -> None:
    count = int(node["labels"]["nvidia.com/gpu.count"])
    wait_for(count, lambda: allocatable(machine, node["name"]))


def test_the_exporter_listens_on_the_machines_own_address_alone(machine: Any, node: dict[str, Any]) -> None:
    assert machine.socket(f"tcp://{node['address']}:9400").is_listening
    assert not machine.socket("tcp://127.0.0.1:9400").is_listening


def test_every_gpu_draws_power_and_its_energy_grows(node: dict[str, Any]) -> None:
    count = int(node["labels"]["nvidia.com/gpu.count"])
    assert len(values(node, "DCGM_FI_DEV_POWER_USAGE")) == count
    assert min(values(node, "DCGM_FI_DEV_POWER_USAGE")) > 0
    before = values(node, ENERGY)
    wait_for(True, lambda: all(b > a for a, b in zip(before, values(node, ENERGY), strict=True)))


def test_energy_does_not_fall_when_the_exporter_is_killed(machine: Any, node: dict[str, Any]) -> None:
    before = values(node, ENERGY)
    machine.check_output("kill -9 $(systemctl show --property MainPID --value antenna-dcgm) && sleep 1")
    wait_for(True, lambda: machine.socket(f"tcp://{node['address']}:9400").is_listening)
    assert all(b > a for a, b in zip(before, values(node, ENERGY), strict=True))


def test_a_gpu_with_an_xid_is_not_offered_until_it_heals(machine: Any, node: dict[str, Any]) -> None:
    count = int(node["labels"]["nvidia.com/gpu.count"])
    machine.check_output("echo %s > %s", str(XID), FAULT)
    try:
        wait_for(count - 1, lambda: allocatable(machine, node["name"]))
        wait_for(XID, lambda: values(node, "DCGM_FI_DEV_XID_ERRORS")[0])
    finally:
        machine.check_output("rm -f %s", FAULT)
    wait_for(count, lambda: allocatable(machine, node["name"]))
    wait_for(0, lambda: values(node, "DCGM_FI_DEV_XID_ERRORS")[0])
