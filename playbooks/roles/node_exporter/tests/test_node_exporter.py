"""Role node_exporter, on live machines."""

from __future__ import annotations

from typing import Any
from urllib.request import urlopen


def test_the_exporter_runs_and_comes_back_after_a_boot(machine: Any) -> None:
    assert machine.service("prometheus-node-exporter").is_running
    assert machine.service("prometheus-node-exporter").is_enabled


def test_it_listens_on_the_machines_own_address_alone(machine: Any, node: dict[str, Any]) -> None:
    assert machine.socket(f"tcp://{node['address']}:9100").is_listening
    assert not machine.socket("tcp://127.0.0.1:9100").is_listening


def test_it_tells_the_machines_metrics(node: dict[str, Any]) -> None:
    with urlopen(f"http://{node['address']}:9100/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert "node_memory_MemAvailable_bytes" in text
    assert "node_load1" in text
