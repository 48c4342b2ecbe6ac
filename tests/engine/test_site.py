"""The site's program on the embedded engine, with the real kinds' checks and diffs and no machine.

What is shown is what is done, in an order in which nothing loses what it stands on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import paths
from infra.engine import Engine, Result, StepFinished
from infra.engine.events import StepFailed
from infra.paths import REPOSITORY
from tests.unit.site_examples import DROP, EMBEDDED, EXISTING, edited
from tests.unit.test_components import GPU_3

HERE = Path(__file__).parent
STACK = "trial"
Call = tuple[str, str]


class Trial:
    """A project folder with the site's program, its state, and a log of what the provider was asked."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.log = folder / "calls"
        self.log.touch()
        document = {
            "name": "antenna",
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
            "main": str(HERE / "site_program"),
            "plugins": {"providers": [{"name": "antenna", "path": str(HERE / "site_provider")}]},
        }
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(document))
        self.backend = f"file://{folder}"

    def describe(self, site: dict[str, Any]) -> None:
        config = {f"site:{key}": value for key, value in site.items()}
        path = self.project / f"Pulumi.{STACK}.yaml"
        path.write_text(yaml.safe_dump({"config": config}, sort_keys=False))

    def run(self, verb: str, site: dict[str, Any] | None = None) -> Result:
        if site is not None:
            self.describe(site)
        result: Result = getattr(self.engine(), verb)()
        assert result.ok, [*result.diagnostics, *(s for s in result.steps if isinstance(s, StepFailed))]
        return result

    def lose(self, machine: str) -> None:
        """From now on the provider does not find it."""
        (self.log.parent / "lost").write_text(machine)

    def engine(self) -> Engine:
        return Engine(self.project, STACK, backend_url=self.backend)

    def calls(self) -> list[Call]:
        """What the provider was asked since the last time, in order."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return [(verb, name) for verb, name, _ in lines]

    def hosts(self) -> list[list[str]]:
        """The hosts of each run of the playbooks since the last time."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [hosts for _, _, hosts in lines if hosts]


def shown(result: Result) -> dict[str, str]:
    """What changes of what the provider makes: name of resource to operation."""
    steps = [step for step in result.steps if isinstance(step, StepFinished) and step.logical]
    return {s.name: s.op for s in steps if s.op != "same" and s.type.startswith("antenna:index:")}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    trial = Trial(tmp_path)
    for name, value in {
        "ANTENNA_HOME": tmp_path / "home",
        "PULUMI_CONFIG_PASSPHRASE": "trial",
        "PYTHONPATH": REPOSITORY,
        "SITE_CALLS": trial.log,
    }.items():
        monkeypatch.setenv(name, str(value))
    # The run writes it; without one there would be another run.
    paths.kubeconfig(STACK).parent.mkdir(parents=True)
    paths.kubeconfig(STACK).touch()
    return trial


BUNDLES = ("isolation", "kueue", "queues", "crds", "operator", "remote-sites", "monitoring")
"""What is in the cluster beside the partners' own."""


def position(calls: list[Call]) -> Callable[[str, str], int]:
    return lambda verb, name: calls.index((verb, name))


def test_a_preview_asks_the_provider_for_nothing(trial: Trial) -> None:
    result = trial.run("preview", EMBEDDED)
    assert set(shown(result).values()) == {"create"}
    assert len(shown(result)) == 1 + 3 + 1 + len(BUNDLES) + 2
    assert trial.calls() == []


def test_a_site_comes_up_from_the_ground_and_a_second_up_does_nothing(trial: Trial) -> None:
    trial.run("up", EMBEDDED)
    calls = trial.calls()
    at = position(calls)
    assert len(calls) == 1 + 3 + 1 + len(BUNDLES) + 2
    machines = [at("create", name) for name in ("head", "gpu-1", "gpu-2")]
    assert at("create", "br-trial") < min(machines)
    assert max(machines) < at("create", "site.yml") < at("create", "kueue") < at("create", "queues")
    tenants = [at("create", "tenant-imec"), at("create", "tenant-ulb")]
    assert max(at("create", name) for name in ("queues", "crds", "operator", "remote-sites")) < min(tenants)
    assert not trial.run("up").changed
    assert not trial.run("refresh").changed
    assert trial.calls() == []


LIFE: list[tuple[str, tuple[str, Any], dict[str, str]]] = [
    ("a quota", ("tenants[1].quota.h100", 2), {"tenant-ulb": "update"}),
    ("what is shared", ("cohort.flavors[0].shared.gpus", 2), {"queues": "update"}),
    ("a node more", ("machines[3]", GPU_3), {"gpu-3": "create", "network": "update", "nodes": "update"}),
    ("a remote site", ("sites[0].title", "LUMI-G"), {"remote-sites": "update"}),
    ("a partner less", ("tenants[1]", DROP), {"tenant-ulb": "delete", "operator": "update"}),
]


def test_each_edit_shows_exactly_what_it_does_and_does_exactly_that(trial: Trial) -> None:
    site = EMBEDDED
    trial.run("up", site)
    trial.calls()
    for edit_of, edit, changes in LIFE:
        site = edited(site, edit)
        assert shown(trial.run("preview", site)) == changes, edit_of
        assert trial.calls() == []
        assert shown(trial.run("up")) == changes, edit_of
        assert len(trial.calls()) == len(changes)


def test_a_node_is_drained_before_its_machine_goes(trial: Trial) -> None:
    trial.run("up", edited(EMBEDDED, ("machines[3]", GPU_3)))
    trial.calls()
    result = trial.run("up", EMBEDDED)
    assert shown(result) == {"gpu-3": "delete", "network": "update", "nodes": "update"}
    assert trial.hosts() == [["gpu-1", "gpu-2", "head"]]
    at = position(trial.calls())
    assert at("update", "site.yml") < at("delete", "gpu-3")


def test_a_head_made_anew_gets_its_nodes_and_everything_in_the_cluster_again(trial: Trial) -> None:
    trial.run("up", EMBEDDED)
    trial.calls()
    result = trial.run("up", edited(EMBEDDED, ("machines[0].address", "10.77.0.20")))
    assert shown(result)["head"] == "replace"
    calls = trial.calls()
    at = position(calls)
    assert at("delete", "head") < at("create", "head") < at("create", "site.yml") < at("create", "kueue")
    assert {("create", "queues"), ("create", "tenant-imec"), ("create", "tenant-ulb")} < set(calls)
    # All that was in the old cluster went with its head.
    assert [name for verb, name in calls if verb == "delete"] == ["head"]


def test_a_cluster_raised_in_place_of_a_lost_one_gets_everything_again(trial: Trial) -> None:
    trial.run("up", EMBEDDED)
    trial.lose("head")
    trial.run("refresh")
    trial.calls()
    trial.run("up")
    at = position(trial.calls())
    assert at("create", "head") < at("update", "site.yml") < at("update", "kueue") < at("update", "queues")
    assert at("update", "queues") < min(at("update", "tenant-imec"), at("update", "tenant-ulb"))


def test_a_site_of_our_own_goes_with_its_machines(trial: Trial) -> None:
    trial.run("up", EMBEDDED)
    trial.calls()
    trial.run("destroy")
    calls = trial.calls()
    assert {name for _, name in calls} == {"head", "gpu-1", "gpu-2", "br-trial"}
    assert calls[-1] == ("delete", "br-trial")


def test_on_machines_that_exist_everything_is_taken_down_in_order(trial: Trial) -> None:
    trial.run("up", EXISTING)
    trial.calls()
    trial.run("destroy")
    calls = trial.calls()
    at = position(calls)
    assert len(calls) == 1 + 3 + len(BUNDLES) + 2
    tenants = max(at("delete", "tenant-imec"), at("delete", "tenant-ulb"))
    assert tenants < at("delete", "remote-sites") < at("delete", "operator") < at("delete", "queues")
    assert at("delete", "queues") < at("delete", "kueue") < at("delete", "site.yml") < at("delete", "head")


def test_a_wrong_site_changes_nothing(trial: Trial) -> None:
    trial.run("up", EMBEDDED)
    trial.calls()
    trial.describe(edited(EMBEDDED, ("machines[2].address", "10.99.0.5")))
    engine = trial.engine()
    before = len(engine.resources())
    result = engine.up()
    assert not result.ok
    messages = "\n".join(diagnostic.message for diagnostic in result.diagnostics)
    assert f"Pulumi.{STACK}.yaml: site:machines[2].address: 10.99.0.5 is outside the network" in messages
    assert trial.calls() == []
    assert len(engine.resources()) == before
