"""Tests that raise real machines on this host, in a stack of their own.

Skipped, with the reason, where the host cannot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.provider import base, host, leftovers
from infra.provider.machine import Machine
from infra.provider.network import Network

STACK = "t-mach"
RANGE = "10.97.0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    for item in items:
        if "tests/host/" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="raises machines: needs Linux and root"))


def quiet(line: str) -> None:
    """Progress, for nobody."""


@pytest.fixture(scope="session", autouse=True)
def host_packages() -> None:
    """What the host lacks for machines, installed as `antenna up` does."""
    host.ensure_packages(print)


@pytest.fixture(scope="session")
def debian() -> str:
    return base.ensure(quiet)


@pytest.fixture
def clean_stack() -> Iterator[str]:
    """A stack that nothing of is on the host, before and after."""
    leftovers.clear(STACK, quiet)
    yield STACK
    leftovers.clear(STACK, quiet)
    assert leftovers.list_traces(STACK) == []


@pytest.fixture
def network(clean_stack: str) -> dict[str, Any]:
    """The outputs of the stack's network, raised."""
    return Network().create(network_inputs(clean_stack, RANGE), quiet)[1]


def network_inputs(stack: str, prefix: str) -> dict[str, Any]:
    return {
        "stack": stack,
        "bridge": f"br-{stack}",
        "cidr": f"{prefix}.0/24",
        "gateway": f"{prefix}.1",
        "routes": [],
    }


def machine_inputs(network: dict[str, Any], debian: str, name: str, number: int) -> dict[str, Any]:
    return {
        "stack": network["stack"],
        "name": name,
        "driver": "nspawn",
        "address": f"{network['gateway'].rpartition('.')[0]}.{number}",
        "user": "root",
        "port": 22,
        "prefix_length": 24,
        "gateway": network["gateway"],
        "bridge": network["bridge"],
        "base": debian,
    }


def create_all(machines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Create them side by side, as an engine does; their outputs."""
    with ThreadPoolExecutor(len(machines)) as pool:
        return [outputs for _, outputs in pool.map(lambda m: Machine().create(m, quiet), machines)]


def delete_all(machines: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(lambda m: Machine().delete(f"{m['stack']}/{m['name']}", m, m, quiet), machines))
