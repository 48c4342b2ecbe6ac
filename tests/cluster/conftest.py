"""One cluster for all tests of this folder; each test has names of its own in it.

``--cluster light`` (the default) makes a light control plane, ``--cluster kind`` a kind cluster,
``--cluster FILE`` uses the one that a kubeconfig names: Kueue must be in it, and what the tests make
goes again. Several pytest processes may run at once, on one cluster too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.provider.objects import Objects
from operators.kube.client import Cluster, connect
from tests.cluster.access import Access
from tests.cluster.kind import kind_cluster, missing
from tests.cluster.light import LightCluster, light_cluster

Inputs = dict[str, Any]

RUN = secrets.token_hex(2)
"""In the names of what several tests share, so that two runs on one cluster do not meet."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        default="light",
        metavar="kind|light|KUBECONFIG",
        help="what tests/cluster runs on: a kind cluster, a light control plane (default), or one that is up",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What asks for the light control plane itself is marked, and skipped on any other cluster."""
    for item in items:
        if "light" in getattr(item, "fixturenames", ()):
            item.add_marker("light")
        if item.get_closest_marker("light") and config.getoption("cluster") != "light":
            reason = "needs the light control plane's own programs: --cluster light runs it"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def admin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """The administrator of the cluster that ``--cluster`` names."""
    chosen = str(request.config.getoption("cluster"))
    if chosen == "light":
        yield request.getfixturevalue("light")
    elif chosen == "kind":
        if lack := missing():
            pytest.skip(f"--cluster kind: {lack}")
        with kind_cluster(tmp_path_factory.mktemp("kind")) as up:
            yield up
    elif Path(chosen).is_file():
        yield Access(Path(chosen).absolute(), lasting=True)
    else:
        pytest.exit(f"--cluster {chosen}: neither kind nor light nor a kubeconfig file", returncode=4)


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightCluster]:
    """The light control plane itself, for tests that stop its programs or need kwok's nodes."""
    with light_cluster(tmp_path_factory.mktemp("light")) as up:
        yield up


@pytest.fixture
def cluster(admin: Access) -> Iterator[Cluster]:
    connected = connect(admin.kubeconfig)
    yield connected
    connected.close()


@pytest.fixture
def name() -> str:
    return f"t{secrets.token_hex(3)}"


class Bundle:
    """A bundle as an engine would keep it: inputs, state, and what was reported."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.state: dict[str, Any] = {}
        self.id = f"{inputs['stack']}/{inputs['name']}"
        self.reported: list[str] = []

    def up(self, *objects: dict[str, Any], **others: Any) -> Bundle:
        """Create, or update to these objects."""
        new = {**self.inputs, "objects": list(objects), **others}
        if self.state:
            self.state = Objects().update(self.id, self.inputs, self.state, new, self.reported.append)
        else:
            self.id, self.state = Objects().create(new, self.reported.append)
        self.inputs = new
        return self

    def drift(self) -> list[str] | None:
        """Refresh; the drift, or None when all of it is gone."""
        found = Objects().read(self.id, self.inputs, self.state, self.reported.append)
        if found is None:
            return None
        _, _, self.state = found
        return list(self.state["drift"])

    def down(self) -> None:
        Objects().delete(self.id, self.inputs, self.state, self.reported.append)
        self.state = {}


@pytest.fixture
def bundle(admin: Access, name: str) -> Iterator[Callable[..., Bundle]]:
    made: list[Bundle] = []

    def make(suffix: str = "") -> Bundle:
        inputs = {"stack": "test", "name": name + suffix, "kubeconfig": str(admin.kubeconfig)}
        made.append(Bundle(inputs))
        return made[-1]

    yield make
    for one in reversed(made):
        if one.state:
            one.down()


@pytest.fixture
def namespace(admin: Access, name: str) -> Iterator[str]:
    admin.kubectl("create", "namespace", name)
    yield name
    admin.kubectl("delete", "namespace", name, "--wait=false")
