"""One light control plane for all tests of this folder; each test has names of its own in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.provider.objects import Objects
from operators.k8s import Cluster, connect
from tests.cluster.light import LightCluster, light_cluster

Inputs = dict[str, Any]


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightCluster]:
    with light_cluster(tmp_path_factory.mktemp("light")) as up:
        yield up


@pytest.fixture
def cluster(light: LightCluster) -> Iterator[Cluster]:
    connected = connect(light.kubeconfig)
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
def bundle(light: LightCluster, name: str) -> Iterator[Callable[..., Bundle]]:
    made: list[Bundle] = []

    def make(suffix: str = "") -> Bundle:
        inputs = {"stack": "test", "name": name + suffix, "kubeconfig": str(light.kubeconfig)}
        made.append(Bundle(inputs))
        return made[-1]

    yield make
    for one in reversed(made):
        if one.state:
            one.down()


@pytest.fixture
def namespace(light: LightCluster, name: str) -> Iterator[str]:
    light.kubectl("create", "namespace", name)
    yield name
    light.kubectl("delete", "namespace", name, "--wait=false")
