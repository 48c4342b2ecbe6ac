from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra import paths
from infra.cli import main
from infra.cli.checks.facts import Cluster, Operator
from infra.cli.engines.events import Change, Outcome
from infra.cli.failure import Failure, Locked
from infra.provider.leftovers import Trace
from tests.unit.cli_fakes import MACHINE, NETWORK, OBJECTS, FakeEngine, note, steps, urn

OPERATOR = Operator(deployed=True, wanted=1, ready=True)
CLUSTER = Cluster(nodes=5, gpus=8, kueue_ready=True, operator=OPERATOR, queues=15)
Use = Callable[[FakeEngine], FakeEngine]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """The commands with this engine, on a host that is fit, with all tools built."""
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    monkeypatch.setattr("infra.cli.verbs.up.refusals", lambda _: [])
    monkeypatch.setattr(
        "infra.cli.verbs.up.artifacts.ensure_artifacts", lambda report, **_: ("digest", tmp_path)
    )
    monkeypatch.setattr("infra.cli.verbs.up.base.ensure", lambda report, *_: "digest")
    monkeypatch.setattr("infra.cli.verbs.up.gather.cluster", lambda _: CLUSTER)
    monkeypatch.setattr("infra.cli.verbs.up.WELL_POLL", 0)

    def install(engine: FakeEngine) -> FakeEngine:
        for verb in ("up", "preview", "refresh", "down"):
            monkeypatch.setattr(f"infra.cli.verbs.{verb}.open_engine", lambda *_, **__: engine)
        return engine

    return install


def antenna(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_up_says_what_happened_how_long_it_took_and_what_to_do_next(use: Use) -> None:
    use(FakeEngine([*steps("create", "Machine", "head"), *steps("same", "Network", "network")]))
    shown = antenna("up")
    assert shown.exit_code == 0
    assert "created      Machine   head" in shown.output
    assert "up: 1 created, 1 unchanged in" in shown.output
    assert f"export KUBECONFIG={paths.kubeconfig('embedded')}" in shown.output
    assert "antenna status" in shown.output
    assert "antenna demo" in shown.output
    assert "\x1b" not in shown.output


def test_up_of_what_is_in_place_says_0_changes(use: Use) -> None:
    use(FakeEngine(steps("same", "Network", "network")))
    assert "up: 0 changes, 1 unchanged" in antenna("up").output


def test_up_looks_at_network_and_machines_first_and_names_drift(use: Use) -> None:
    drifted = replace(MACHINE, outputs={"drift": ["machine stopped"]})
    engine = use(FakeEngine(state=[NETWORK, MACHINE, OBJECTS], found=[drifted, OBJECTS]))
    shown = antenna("up")
    assert engine.calls == ["refresh network head", "up"]
    assert "drift        Machine head: machine stopped" in shown.output
    assert "drift        Network network: gone" in shown.output


def operators(monkeypatch: pytest.MonkeyPatch, *states: Operator) -> None:
    """The cluster is looked at, and its operator is so each time; the last of them from then on."""
    left = list(states)
    monkeypatch.setattr(
        "infra.cli.verbs.up.gather.cluster",
        lambda _: replace(CLUSTER, operator=left.pop(0) if len(left) > 1 else left[0]),
    )


def test_up_waits_for_an_operator_that_has_just_been_deployed(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeEngine(steps("update", "Objects", "operator"), [OBJECTS]))
    operators(monkeypatch, *[replace(OPERATOR, ready=False)] * 3, OPERATOR)
    shown = antenna("up")
    assert (shown.exit_code, "next:" in shown.output) == (0, True)


def test_up_ends_with_what_is_not_well_and_not_with_0(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakeEngine(steps("same", "Objects", "operator"), [OBJECTS]))
    operators(monkeypatch, replace(OPERATOR, wanted=0, ready=False))
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "up: 0 changes, 1 unchanged" in shown.output
    assert "the site is as its file says, and not well:\n       operator: scaled to 0" in shown.output
    assert "scale deployment antenna-operator --replicas=1" in shown.output
    assert "antenna demo" not in shown.output
    [row] = json.loads(antenna("up", "--json").stdout)["unwell"]
    assert (row["check"], row["verdict"]) == ("operator", "fail")


def test_up_gives_up_waiting_for_an_operator_that_does_not_become_ready(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeEngine(steps("same", "Objects", "operator"), [OBJECTS]))
    monkeypatch.setattr("infra.cli.verbs.up.WELL_SECONDS", 0.1)
    operators(monkeypatch, replace(OPERATOR, ready=False, unlisted=("workloads",)))
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "operator: not ready: still waiting for workloads" in shown.output


def test_up_with_refresh_looks_at_everything(use: Use) -> None:
    engine = use(FakeEngine(state=[NETWORK, MACHINE, OBJECTS]))
    antenna("up", "--refresh")
    assert engine.calls == ["refresh", "up"]


def test_a_control_plane_may_be_reset_by_its_name_alone(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTENNA_RESET_CONTROL_PLANE", raising=False)
    use(FakeEngine(steps("same", "Network", "network")))
    refused = antenna("up", "--reset-control-plane", "gpu-1")
    assert refused.exit_code == 2
    assert "the control plane is on head" in refused.output
    assert "ANTENNA_RESET_CONTROL_PLANE" not in os.environ
    monkeypatch.setenv("ANTENNA_RESET_CONTROL_PLANE", "")
    assert antenna("up", "--reset-control-plane", "head").exit_code == 0
    assert os.environ["ANTENNA_RESET_CONTROL_PLANE"] == "head"


def test_a_dry_run_only_previews(use: Use) -> None:
    engine = use(FakeEngine(steps("create", "Machine", "head"), [MACHINE]))
    shown = antenna("up", "--dry-run")
    assert engine.calls == ["preview"]
    assert "+ create   Machine   head" in shown.output
    assert not paths.stack_dir("embedded").exists()


def test_up_as_json_is_one_document_on_stdout(use: Use) -> None:
    use(FakeEngine([*steps("update", "Objects", "tenant-imec"), *steps("same", "Network", "network")]))
    document = json.loads(antenna("up", "--json").stdout)
    assert {s["name"]: s["op"] for s in document["steps"]} == {"tenant-imec": "update"}
    assert document["changes"] == {"update": 1, "same": 1}
    assert "site" in document["seconds"]


def test_a_failed_up_names_the_resource_the_reason_the_next_step_and_the_log(use: Use) -> None:
    begun, done = steps("create", "Playbook", "nodes")
    use(FakeEngine([begun, replace(done, stage="failed")], errors=[("gpu-1: install containerd: no space",)]))
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "Playbook nodes failed" in shown.output
    assert "gpu-1: install containerd: no space" in shown.output
    assert "run `antenna up` again" in shown.output
    log = Path(shown.output.rpartition("log: ")[2].strip())
    assert "create" in log.read_text() or "Playbook" in log.read_text()


def test_a_locked_stack_exits_with_4(use: Use) -> None:
    use(FakeEngine(refuses=Locked("the stack is locked by root@host (pid 7)", "wait for that run to end")))
    shown = antenna("up")
    assert shown.exit_code == 4
    assert "pid 7" in shown.output


def test_an_up_that_was_stopped_says_how_to_go_on(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = use(FakeEngine())
    monkeypatch.setattr(engine, "up", lambda _: Outcome(False, {"create": 2}, (), (), cancelled=True))
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "stopped as asked; before that: 2 created" in shown.output
    assert "`antenna up` goes on from here" in shown.output


def test_a_log_of_the_command_is_kept(use: Use) -> None:
    use(FakeEngine([note("installing packages", ephemeral=True, about=urn("Machine", "head"))]))
    antenna("up")
    [log] = paths.logs("embedded").glob("*-up.log")
    assert "installing packages" in log.read_text()


QUOTA = Change("objects[6].spec.nominalQuota", "update", "1", "2")


def test_a_preview_shows_each_change_property_by_property(use: Use) -> None:
    story = [
        *steps("update", "Objects", "tenant-imec", QUOTA),
        *steps("create-replacement", "Machine", "gpu-1", Change("base", "update", "a", "b", replaces=True)),
        *steps("replace", "Machine", "gpu-1", Change("base", "update", "a", "b", replaces=True)),
        *steps("delete", "Objects", "tenant-vub"),
        *steps("same", "Network", "network"),
    ]
    engine = use(FakeEngine(story))
    shown = antenna("preview").output
    assert engine.calls == ["preview"]
    assert "~ update   Objects   tenant-imec\n      ~ objects[6].spec.nominalQuota: '1' -> '2'" in shown
    assert "± replace  Machine   gpu-1\n      ~ base: 'a' -> 'b' (replaces)" in shown
    assert "- delete   Objects   tenant-vub" in shown
    assert "preview: 1 to update, 1 to replace, 1 to delete, 1 unchanged" in shown


def test_a_preview_as_json_has_the_properties(use: Use) -> None:
    use(FakeEngine(steps("update", "Objects", "tenant-imec", QUOTA)))
    [step] = json.loads(antenna("preview", "--json").stdout)["steps"]
    assert (step["op"], step["kind"], step["name"]) == ("update", "Objects", "tenant-imec")
    assert step["properties"] == [
        {"path": QUOTA.path, "kind": "update", "old": "1", "new": "2", "replaces": False}
    ]


def test_changes_that_are_not_expected_fail_the_preview(use: Use) -> None:
    use(FakeEngine(steps("update", "Objects", "tenant-imec", QUOTA)))
    assert antenna("preview", "--expect-no-changes").exit_code == 1
    use(FakeEngine(steps("same", "Objects", "tenant-imec")))
    assert antenna("preview", "--expect-no-changes").exit_code == 0


def test_a_preview_that_fails_says_why_once(use: Use) -> None:
    use(FakeEngine([note("no such flavor", "error")], errors=[("no such flavor",)]))
    shown = antenna("preview")
    assert shown.exit_code == 1
    assert shown.output.count("no such flavor") == 1


def test_a_refresh_names_each_difference(use: Use) -> None:
    drifted = replace(OBJECTS, outputs={"drift": ["quota: 1 is 7", "label x: missing"]})
    engine = use(FakeEngine(state=[MACHINE, OBJECTS], found=[drifted]))
    shown = antenna("refresh")
    assert engine.calls == ["refresh"]
    assert "Machine head: gone" in shown.output
    assert "Objects tenant-imec: label x: missing" in shown.output
    assert "3 differences" in shown.output


def test_a_refresh_as_json_lists_drift_by_resource(use: Use) -> None:
    use(FakeEngine(state=[OBJECTS], found=[replace(OBJECTS, outputs={"drift": ["quota: 1 is 7"]})]))
    document = json.loads(antenna("refresh", "--json").stdout)
    assert document["steps"] == [{"kind": "Objects", "name": "tenant-imec", "drift": ["quota: 1 is 7"]}]


def test_a_refresh_without_drift_says_so(use: Use) -> None:
    use(FakeEngine(state=[OBJECTS]))
    assert "all is as it was made" in antenna("refresh").output


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[Trace]:
    """What is left on the host; clearing empties it."""
    found = [Trace("mount", "/var/lib/antenna/embedded/machines/head/root")]
    monkeypatch.setattr("infra.cli.verbs.down.leftovers.list_traces", lambda stack: list(found))
    monkeypatch.setattr("infra.cli.verbs.down.leftovers.clear", lambda stack, report: found.clear())
    monkeypatch.setattr("infra.cli.verbs.down.os.geteuid", lambda: 0)
    return found


def test_down_removes_everything_and_says_so(use: Use, traces: list[Trace]) -> None:
    engine = use(FakeEngine(steps("delete", "Machine", "head"), [MACHINE]))
    shown = antenna("down", "--yes")
    assert shown.exit_code == 0
    assert engine.calls == ["destroy"]
    assert traces == []
    assert "nothing of the stack is left here" in shown.output


def test_down_clears_the_host_when_the_state_is_lost(use: Use, traces: list[Trace]) -> None:
    use(FakeEngine())
    assert antenna("down", "--yes").exit_code == 0
    assert traces == []


def test_down_tries_again_after_clearing_what_would_not_go(use: Use, traces: list[Trace]) -> None:
    engine = use(FakeEngine(state=[MACHINE], errors=[("the bridge is busy",)]))
    assert antenna("down", "--yes").exit_code == 0
    assert engine.calls == ["destroy", "destroy"]


def test_down_asks_nobody_in_a_script(use: Use, traces: list[Trace]) -> None:
    engine = use(FakeEngine(state=[MACHINE]))
    shown = antenna("down")
    assert shown.exit_code == 2
    assert "--yes" in shown.output
    assert engine.calls == []


@pytest.mark.parametrize(("answer", "calls"), [("y\n", ["destroy"]), ("n\n", [])])
def test_down_asks_a_person(
    use: Use, traces: list[Trace], monkeypatch: pytest.MonkeyPatch, answer: str, calls: list[str]
) -> None:
    engine = use(FakeEngine(state=[MACHINE]))
    monkeypatch.setattr("infra.cli.verbs.down.can_ask", lambda: True)
    CliRunner().invoke(main, ["down"], input=answer)
    assert engine.calls == calls


@pytest.mark.parametrize(("answer", "code"), [("embedded\n", 0), ("yes\n", 2)])
def test_down_of_real_machines_wants_the_stacks_name_typed(
    use: Use, traces: list[Trace], monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    engine = use(FakeEngine(state=[replace(MACHINE, inputs={"driver": "ssh"})]))
    monkeypatch.setattr("infra.cli.verbs.down.can_ask", lambda: True)
    assert CliRunner().invoke(main, ["down"], input=answer).exit_code == code
    assert engine.calls == ([] if code else ["destroy"])
    assert traces, "the operator's folder of real machines is not cleared"


def test_down_that_leaves_something_fails_and_names_it(
    use: Use, traces: list[Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeEngine(state=[MACHINE]))
    monkeypatch.setattr("infra.cli.verbs.down.leftovers.clear", lambda stack, report: None)
    shown = antenna("down", "--yes")
    assert shown.exit_code == 1
    assert "mount /var/lib/antenna/embedded/machines/head/root" in shown.output


def test_an_engine_that_cannot_start_is_one_message(use: Use) -> None:
    use(FakeEngine(refuses=Failure("the state cannot be read", "restore it from its .bak")))
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "error: the state cannot be read" in shown.output
    assert "next:  restore it from its .bak" in shown.output
