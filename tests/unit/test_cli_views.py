from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from rich.text import Text

from infra.cli import main
from infra.cli.checks import table as checks
from infra.cli.checks.table import CHECKS, Finding
from infra.cli.checks.verdict import Verdict
from infra.cli.engines.events import Change, Resource, Step, describe, difference, drift, summary, tally
from infra.cli.runlog import RunLog
from infra.cli.verbs.tools import outdated
from infra.cli.views.overview import Machine, Node, Overview, Queue, Site
from infra.cli.views.screen import Screen
from infra.tools.stock import Row
from tests.unit.cli_fakes import MACHINE, note, steps, urn

QUEUES = [
    Queue("imec", True, "", 2, 5, 3, 4, 2, 190.0),
    Queue("vub", True, "", 1, 0, 0, 0, 0, None),
]
SOUND = Overview(
    "embedded",
    [Machine("head", "nspawn", "10.77.0.10", True, "")],
    [Node("gpu-1", True, "", 4, 3), Node("gpu-2", True, "drained", 4, 2)],
    QUEUES,
    "",
)


def antenna(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    monkeypatch.setattr("infra.cli.verbs.status.look", lambda _: SOUND)
    return monkeypatch


def test_status_is_one_screen_of_plain_lines(shows: pytest.MonkeyPatch) -> None:
    shown = antenna("status")
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "head running 10.77.0.10 nspawn gpu-1 Ready 4 3" in lines
    assert "gpu-2 drained 4 2" in lines
    assert "imec 2 5 3 2 4 3m" in lines
    assert "vub 1 · · · · ·" in lines
    assert "stack embedded: 5 of 8 GPUs in use, 4 jobs waiting" in lines


def test_status_of_fifteen_partners_fits_a_small_terminal(shows: pytest.MonkeyPatch) -> None:
    queues = [replace(QUEUES[0], name=f"partner-{n:02d}") for n in range(15)]
    machines = [replace(SOUND.machines[0], name=f"gpu-{n}") for n in range(3)]
    shows.setattr("infra.cli.verbs.status.look", lambda _: replace(SOUND, machines=machines, queues=queues))
    lines = antenna("status").output.splitlines()
    assert len(lines) <= 24
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_queue_that_is_not_active_says_why(shows: pytest.MonkeyPatch) -> None:
    broken = replace(QUEUES[0], active=False, reason="flavor h100 is missing")
    shows.setattr("infra.cli.verbs.status.look", lambda _: replace(SOUND, queues=[broken, QUEUES[1]]))
    shown = antenna("status")
    assert shown.exit_code == 1
    assert "flavor h100 is missing" in shown.output


def test_status_as_json_is_the_document(shows: pytest.MonkeyPatch) -> None:
    assert json.loads(antenna("status", "--json").stdout) == SOUND.document()


def test_status_of_something_wrong_exits_with_1_and_points_to_the_doctor(shows: pytest.MonkeyPatch) -> None:
    stopped = Overview("lab", [Machine("head", "nspawn", "10.77.0.10", False, "stopped")], [], [], "")
    shows.setattr("infra.cli.verbs.status.look", lambda _: stopped)
    shown = antenna("status", "--stack", "lab")
    assert shown.exit_code == 1
    assert "head     stopped" in shown.output
    assert "antenna doctor --stack lab" in shown.output


def test_status_says_in_one_line_that_the_operator_is_not_well_and_how_to_mend_it(
    shows: pytest.MonkeyPatch,
) -> None:
    shows.setattr(
        "infra.cli.verbs.status.look", lambda _: replace(SOUND, operator=Verdict("fail", "stopped", "x 1"))
    )
    shown = antenna("status")
    assert "operator: stopped -> x 1" in shown.output.splitlines()
    assert shown.exit_code == 1
    assert json.loads(antenna("status", "--json").stdout)["operator"]["level"] == "fail"


def test_status_of_a_site_that_nobody_asks_does_not_say_that_it_answers(shows: pytest.MonkeyPatch) -> None:
    local = Site("local", "here", True, "", 8, 0, 0, 0)
    asked = Site("jupiter", "JUPITER", True, "", None, 0, 0, 0)
    idle = Site("lumi", "LUMI", True, "no partner has a project there", None, 0, 0, 0, asked=False)
    shows.setattr("infra.cli.verbs.status.look", lambda _: replace(SOUND, sites=[local, asked, idle]))
    lines = [" ".join(line.split()) for line in antenna("status").output.splitlines()]
    assert any(line.startswith("jupiter answers ") for line in lines)
    assert any(line.startswith("lumi not asked: no partner has a project there ") for line in lines)


def test_status_of_a_site_that_is_not_up_says_how_to_raise_it(shows: pytest.MonkeyPatch) -> None:
    shows.undo()
    shows.setattr(
        "infra.cli.verbs.status.open_quietly", lambda _: type("None", (), {"resources": lambda _: []})()
    )
    shown = antenna("status", "--stack", "lab")
    assert shown.exit_code == 1
    assert "not up; `antenna up --stack lab` raises it" in shown.output


FINDINGS = [
    Finding(CHECKS[0], Verdict("ok", "Linux")),
    Finding(CHECKS[4], Verdict("fail", "memory: 1.0 GiB free, 2.5 GiB needed", "free some")),
    Finding(CHECKS[9], Verdict("warn", "no /dev/net/tun", "modprobe tun")),
]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("infra.cli.verbs.doctor.gather.everything", lambda _: None)
    monkeypatch.setattr("infra.cli.verbs.doctor.checks.run", lambda _: FINDINGS)
    return monkeypatch


def test_doctor_shows_cause_and_fix_and_exits_with_1(finds: pytest.MonkeyPatch) -> None:
    shown = antenna("doctor")
    assert shown.exit_code == 1
    assert re.search(r"memory +fail +memory: 1.0 GiB free", shown.output)
    assert "-> free some" in shown.output
    assert "1 failed, 1 warnings, 3 checks" in shown.output


def test_doctor_as_json(finds: pytest.MonkeyPatch) -> None:
    shown = antenna("doctor", "--json")
    document = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert document["ok"] is False
    assert document["checks"][1] == {
        "check": "memory",
        "about": "host",
        "verdict": "fail",
        "cause": "memory: 1.0 GiB free, 2.5 GiB needed",
        "fix": "free some",
    }


def test_doctor_with_warnings_only_exits_with_0(finds: pytest.MonkeyPatch) -> None:
    finds.setattr("infra.cli.verbs.doctor.checks.run", lambda _: [FINDINGS[0], FINDINGS[2]])
    assert antenna("doctor").exit_code == 0


ROWS = [
    Row("etcd", "v3.7.1", True, Path("/cache/tools/etcd-1"), 24 * 2**20),
    Row("kueue", "v0.19.2", False, Path("/cache/tools/kueue-2"), 0),
]


def test_tools_lists_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cli.verbs.tools.stock.status", lambda: ROWS)
    for words in (("tools",), ("tools", "list")):
        lines = [" ".join(line.split()) for line in antenna(*words).output.splitlines()]
        assert "etcd v3.7.1 yes 24 MiB" in lines
        assert "kueue v0.19.2 no" in lines
    [etcd, _] = json.loads(antenna("tools", "list", "--json").stdout)["tools"]
    assert etcd == {
        "name": "etcd", "version": "v3.7.1", "built": True, "path": "/cache/tools/etcd-1", "size": 24 * 2**20,
    }  # fmt: skip


def test_tools_builds_those_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("infra.cli.verbs.tools.stock.status", lambda: ROWS)
    monkeypatch.setattr("infra.cli.verbs.tools.stock.ensure", lambda names, report: asked.append(names))
    assert antenna("tools", "build", "etcd").exit_code == 0
    assert asked == [("etcd",)]
    shown = antenna("tools", "build", "etcdd")
    assert shown.exit_code == 2
    assert "there are: etcd, kueue" in shown.output


def test_only_what_nothing_uses_is_outdated() -> None:
    there = [Path(f"/c/tools/{n}") for n in ("etcd-1", "etcd-0", ".locks", "etcd-in-use", "busybox")]
    current = [Path("/c/tools/etcd-1"), Path("/c/tools/busybox/bin/busybox")]
    assert outdated(there, current, "bind /c/tools/etcd-in-use ro") == [Path("/c/tools/etcd-0")]


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    screen = Screen(RunLog(tmp_path / "logs", "up"))
    screen.console = Console(file=io.StringIO(), width=160)
    return screen


def shown(screen: Screen) -> str:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue()


def test_a_step_is_one_line_when_it_is_over(screen: Screen) -> None:
    for event in steps("create", "Machine", "head"):
        screen.event(event)
    assert re.fullmatch(r"  created      Machine   head +\d+\.\ds\n", shown(screen))


def test_what_only_groups_or_stays_the_same_is_not_shown(screen: Screen) -> None:
    component = "urn:pulumi:embedded::antenna::antenna:site:Machines::machines"
    screen.event(Step("done", "create", component))
    for event in steps("same", "Machine", "head"):
        screen.event(event)
    assert shown(screen) == ""


def test_a_failure_stands_out_and_its_reason_comes_at_the_end(screen: Screen) -> None:
    screen.event(note("no space left", "error", about=urn("Machine", "head")))
    screen.event(Step("failed", "create", urn("Machine", "head")))
    assert "FAILED       Machine   head" in shown(screen)
    assert "no space" not in shown(screen)


def test_a_warning_names_what_it_is_about(screen: Screen) -> None:
    screen.event(note("3 GPUs are idle", "warning", about=urn("Objects", "queues")))
    assert shown(screen) == "warning: queues: 3 GPUs are idle\n"


def test_a_log_is_told_now_and_then_what_a_long_step_does(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("infra.cli.views.screen.time.monotonic", lambda: now[0])
    screen.event(steps("create", "Playbook", "nodes")[0])
    for second in range(25):
        now[0] = 100.0 + second
        screen.event(note(f"task {second}", ephemeral=True, about=urn("Playbook", "nodes")))
    assert (
        shown(screen)
        == "  creating Playbook nodes: task 10 (10s)\n  creating Playbook nodes: task 20 (20s)\n"
    )


def test_everything_is_in_the_log_with_traces_of_what_was_not_shown(screen: Screen) -> None:
    screen.event(note("booting", ephemeral=True, about=urn("Machine", "head")))
    screen.say("hello")
    assert not screen.log.path.exists()
    screen.log.open()
    screen.say("later")
    text = screen.log.path.read_text()
    assert all(word in text for word in ("booting", "hello", "later"))


def test_a_terminal_shows_what_is_under_way_and_leaves_only_what_happened(tmp_path: Path) -> None:
    screen = Screen(RunLog(tmp_path, "up"))
    screen.console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    assert screen.live
    with screen.phase("site"):
        begun, done = steps("create", "Machine", "head")
        screen.event(begun)
        screen.event(note("waiting for SSH", ephemeral=True, about=urn("Machine", "head")))
        rendered = Console(file=io.StringIO(), width=100)
        rendered.print(screen._render())
        assert isinstance(rendered.file, io.StringIO)
        assert "creating Machine head 0s  waiting for SSH" in rendered.file.getvalue()
        screen.event(done)
    assert "\x1b[32m  created      Machine   head" in shown(screen)
    assert set(screen.durations) == {"site"}


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text("green", "green"))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "green\n"


def test_old_logs_are_dropped(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"20260101T0000{number:02d}-up.log").touch()
    (tmp_path / "machine-head.log").touch()
    log = RunLog(tmp_path, "up")
    log.open()
    kept = sorted(p.name for p in tmp_path.glob("2*-*.log"))
    assert len(kept) <= 50
    assert log.path.name in kept
    assert (tmp_path / "machine-head.log").exists()


def test_differences_are_told_as_deep_as_they_are() -> None:
    old = {"a": {"b": [1, {"c": 2}]}, "gone": 1, "same": 0}
    new = {"a": {"b": [1, {"c": 3}, 4]}, "same": 0, "new": "x"}
    assert [describe(c) for c in difference(old, new)] == [
        "~ a.b[1].c: 2 -> 3",
        "+ a.b[2]: 4",
        "- gone: 1",
        "+ new: 'x'",
    ]


def test_a_long_value_is_cut() -> None:
    assert len(describe(Change("manifest", "update", "x" * 500, "y"))) < 90


def test_counts_are_of_things_of_the_site_and_a_replacement_is_one() -> None:
    told = [
        *steps("create-replacement", "Machine", "head"),
        *steps("replace", "Machine", "head"),
        *steps("delete-replaced", "Machine", "head"),
        *steps("same", "Network", "network"),
        Step("done", "create", "urn:pulumi:embedded::antenna::antenna:site:Machines::machines"),
        Step("failed", "create", urn("Objects", "queues")),
    ]
    counts = tally(s for s in told if isinstance(s, Step))
    assert counts == {"replace": 1, "same": 1}
    assert summary(counts) == "1 replaced, 1 unchanged"
    assert summary({"same": 3}) == "0 changes, 3 unchanged"
    assert summary({"create": 2}, planned=True) == "2 to create"


def test_drift_is_what_is_gone_and_what_differs() -> None:
    other = Resource(urn("Objects", "queues"), "", {}, {"drift": ["a", "b"]})
    found = drift([MACHINE, other], [other])
    assert [(d.kind, d.name, d.lines) for d in found] == [
        ("Machine", "head", ("gone",)),
        ("Objects", "queues", ("a", "b")),
    ]


def test_every_check_has_a_place_in_the_table() -> None:
    assert {c.about for c in checks.CHECKS} == {"host", "site", "stack", "cluster", "alerts"}
