"""What the roles' tests are given: the live machines of a stack, reached as Ansible reaches them.

pytest playbooks/roles --stack embedded
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import testinfra

from infra import paths


def pytest_addoption(parser: pytest.Parser) -> None:
    """The stack whose machines are looked at."""
    parser.addoption("--stack", default="embedded", help="stack whose live machines are tested")


def state_dir(config: pytest.Config, run: str = "") -> Path:
    """Where the stack's last run left its inventory and its ssh_config; "" is the nodes' run."""
    return paths.stack_dir(config.getoption("--stack")) / "ansible" / run


def read_inventory(config: pytest.Config, run: str = "") -> dict[str, Any]:
    """The inventory of the stack's last run; empty when the stack is not up."""
    listing = state_dir(config, run) / "inventory.json"
    return json.loads(listing.read_text())["all"] if listing.exists() else {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``machine`` runs once on each machine that its role was applied to.

    Its module names their ``GROUP``, and the ``RUN`` where that is not the group's own.
    """
    if "machine" not in metafunc.fixturenames:
        return
    group = getattr(metafunc.module, "GROUP", "all")
    inventory = read_inventory(metafunc.config, getattr(metafunc.module, "RUN", _run(group)))
    groups = inventory.get("children", {}) | {"all": {"hosts": inventory.get("hosts", {})}}
    hosts = groups.get(group, {"hosts": {}})["hosts"]
    metafunc.parametrize("machine", sorted(hosts), indirect=True, scope="session")


def _run(group: str) -> str:
    """Machines outside the cluster have a run of their own."""
    return "sites" if group == "site" else ""


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One live machine, as a testinfra host."""
    outside = request.param in read_inventory(request.config, "sites").get("hosts", {})
    config = state_dir(request.config, "sites" if outside else "") / "ssh_config"
    sockets = tmp_path_factory.getbasetemp() / "%C"
    return testinfra.get_host(
        f"ssh://{request.param}",
        ssh_config=str(config),
        ssh_extra_args=f"-o ControlPath={sockets}",
        controlpersist=5,
    )


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The inventory of the stack's last run: vars, hosts, children."""
    return read_inventory(request.config) or pytest.skip("the stack is not up")


@pytest.fixture(scope="session")
def variables(site: dict[str, Any]) -> dict[str, Any]:
    """What the site told every host."""
    found: dict[str, Any] = site["vars"]
    return found


@pytest.fixture
def node(machine: Any, variables: dict[str, Any]) -> dict[str, Any]:
    """The machine as the inventory knows it: name, address, pod_cidr, labels, taints."""
    name = machine.backend.get_pytest_id().rpartition("/")[2]
    found: dict[str, Any] = next(row for row in variables["antenna_nodes"] if row["name"] == name)
    return found
