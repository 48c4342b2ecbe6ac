"""Role wireguard, on live machines."""

from __future__ import annotations

from typing import Any

import pytest

GROUP = "gateway"


def test_the_gateway_measures_its_links(machine: Any) -> None:
    assert machine.service("antenna-links-probe.timer").is_running
    assert machine.service("antenna-links-probe.timer").is_enabled
    assert machine.file("/var/lib/prometheus/node-exporter/antenna_links.prom").contains("antenna_link_up")


def test_private_keys_are_roots_alone(machine: Any) -> None:
    if not machine.file("/etc/antenna/links").exists:
        pytest.skip("the site has no links")
    assert machine.file("/etc/antenna/links").mode == 0o700
    modes = machine.check_output("stat -c %a /etc/antenna/links/*.key").split()
    assert set(modes) == {"600"}
