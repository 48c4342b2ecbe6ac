"""The official engine, played by a program that answers as the pulumi CLI does."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.cli.engines import official
from infra.cli.engines.choice import Choice
from infra.cli.engines.events import Change, Event, Note, Step
from infra.cli.engines.official import Official, UnusableError
from infra.cli.engines.protocol import Target
from infra.cli.failure import Failure, Locked

URN = "urn:pulumi:embedded::antenna::antenna:site:Machines$antenna:index:Machine::head"

# Version 3.205 still takes a file for the events; later ones take a gRPC address.
PULUMI = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
story = json.loads(pathlib.Path({story!r}).read_text())
with open({calls!r}, "a") as calls:
    calls.write(json.dumps({{"words": words, "backend": os.environ.get("PULUMI_BACKEND_URL")}}) + "\\n")
if "version" in words:
    print(story["version"]); sys.exit()
verb = next(w for w in words if not w.startswith("-"))
if verb == "stack" and "select" in words and not story["exists"]:
    sys.exit("error: no stack named 'embedded' found")
def salt(name):
    file = pathlib.Path(name)
    text = file.read_text() if file.exists() else ""
    if "encryptionsalt" not in text:
        file.write_text(text + "encryptionsalt: v1:salt\\n")
if verb == "stack" and "init" in words:
    salt("Pulumi.embedded.yaml"); sys.exit()
if verb == "stack" and "history" in words:
    print(json.dumps([dict(kind="update", startTime="2026-01-01T00:00:00.000Z", message="", environment={{}},
                           config={{}}, result="succeeded")])); sys.exit()
if verb == "stack" and "output" in words:
    print("{{}}"); sys.exit()
if verb == "stack" and "export" in words:
    print(json.dumps(story["state"])); sys.exit()
if "--event-log" in words:
    salt(words[words.index("--config-file") + 1] if "--config-file" in words else "Pulumi.embedded.yaml")
    with open(words[words.index("--event-log") + 1], "a") as log:
        for event in [*story["events"], dict(summaryEvent=dict(durationSeconds=1)), dict(cancelEvent={{}})]:
            log.write(json.dumps(event) + "\\n")
    sys.stderr.write(story["stderr"])
    sys.exit(bool(story["stderr"]))
"""


class Pulumi:
    """The program, what it tells, and how it was called."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "pulumi"
        self.story_file, self.calls_file = folder / "story.json", folder / "calls.jsonl"
        self.project = folder
        program = self.root / "bin" / "pulumi"
        program.parent.mkdir(parents=True)
        text = PULUMI.format(python=sys.executable, story=str(self.story_file), calls=str(self.calls_file))
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.tells()

    def tells(
        self,
        *events: dict[str, Any],
        stderr: str = "",
        exists: bool = True,
        version: str = "v3.205.0",
        state: dict[str, Any] | None = None,
    ) -> None:
        story = {
            "events": events,
            "stderr": stderr,
            "exists": exists,
            "version": version,
            "state": state or {},
        }
        self.story_file.write_text(json.dumps(story))

    def engine(self, config_file: Path | None = None) -> Official:
        target = Target(self.project, "embedded", config_file, {"PULUMI_CONFIG_PASSPHRASE": "x"})
        return Official(target, official.command(Choice("pulumi", "here", self.root)))

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    return Pulumi(tmp_path)


def step(event: str, op: str, old: object = None, new: object = None, **more: object) -> dict[str, Any]:
    def side(inputs: object) -> dict[str, Any] | None:
        return None if inputs is None else {"inputs": inputs, "outputs": {"drift": ["stopped"]}}

    metadata = {
        "op": op,
        "urn": URN,
        "type": "antenna:index:Machine",
        "old": side(old),
        "new": side(new),
        **more,
    }
    return {event: {"metadata": metadata}}


def test_an_update_tells_its_steps_and_counts(pulumi: Pulumi) -> None:
    heard: list[Event] = []
    pulumi.tells(
        step("resourcePreEvent", "create", None, {"a": 1}), step("resOutputsEvent", "create", None, {"a": 1})
    )
    outcome = pulumi.engine().up(heard.append)
    assert outcome.ok
    assert outcome.changes == {"create": 1}
    assert [(e.stage, e.op, e.kind, e.name) for e in heard if isinstance(e, Step)] == [
        ("begun", "create", "Machine", "head"),
        ("done", "create", "Machine", "head"),
    ]


def test_a_changed_property_and_drift_are_told(pulumi: Pulumi) -> None:
    old, new = {"address": "a", "port": 22}, {"address": "b", "port": 22}
    pulumi.tells(step("resourcePreEvent", "replace", old, new, keys=["address"], diffs=["address", "drift"]))
    heard: list[Event] = []
    pulumi.engine().preview(heard.append)
    [told] = heard
    assert isinstance(told, Step)
    assert told.changes == (
        Change("address", "update", "a", "b", replaces=True),
        Change("drift", "update", ["stopped"], []),
    )


def test_a_failure_gives_the_engines_reason_without_its_colours(pulumi: Pulumi) -> None:
    said = {
        "diagnosticEvent": {"message": "<{%fg 1%}>no space<{%reset%}>\n", "severity": "error", "urn": URN}
    }
    pulumi.tells(said, step("resOpFailedEvent", "create"), stderr="error: update failed")
    heard: list[Event] = []
    outcome = pulumi.engine().up(heard.append)
    assert not outcome.ok
    assert outcome.errors == ("no space",)
    assert [e.stage for e in heard if isinstance(e, Step)] == ["failed"]


def test_progress_is_ephemeral(pulumi: Pulumi) -> None:
    pulumi.tells(
        {"diagnosticEvent": {"message": "booting", "severity": "info#err", "ephemeral": True, "urn": URN}}
    )
    heard: list[Event] = []
    pulumi.engine().up(heard.append)
    assert heard == [Note(URN, "info", "booting", ephemeral=True)]


def test_a_locked_stack_is_told_apart(pulumi: Pulumi) -> None:
    pulumi.tells(stderr="error: the stack is currently locked by 1 lock(s). created by root@host (pid 7)")
    with pytest.raises(Locked, match="pid 7"):
        pulumi.engine().up(lambda _: None)


def test_each_step_of_a_refresh_is_a_refresh(pulumi: Pulumi) -> None:
    pulumi.tells(step("resOutputsEvent", "update", {"a": 1}, {"a": 1}))
    heard: list[Event] = []
    pulumi.engine().refresh(heard.append, targets=[URN])
    assert [e.op for e in heard if isinstance(e, Step)] == ["refresh"]
    assert ["--target", URN] in [call["words"][i : i + 2] for call in pulumi.calls() for i in range(20)]


def test_a_preview_of_a_stack_that_is_not_there_leaves_none(pulumi: Pulumi) -> None:
    pulumi.tells(exists=False)
    pulumi.engine().preview(lambda _: None)
    backends = [c["backend"] for c in pulumi.calls() if "init" in c["words"] or "preview" in c["words"]]
    assert len(set(backends)) == 1
    assert not Path(backends[0].removeprefix("file://")).exists()


def test_nothing_is_destroyed_where_there_is_no_stack(pulumi: Pulumi) -> None:
    pulumi.tells(exists=False)
    outcome = pulumi.engine().destroy(lambda _: None)
    assert outcome.ok
    assert not any("destroy" in c["words"] for c in pulumi.calls())


def test_the_states_resources_come_from_an_export(pulumi: Pulumi) -> None:
    row = {"urn": URN, "id": "embedded/head", "inputs": {"a": 1}, "outputs": {"drift": []}}
    pulumi.tells(state={"version": 3, "deployment": {"resources": [row]}})
    [found] = pulumi.engine().resources()
    assert (found.kind, found.name, found.id) == ("Machine", "head", "embedded/head")
    pulumi.tells(exists=False)
    assert pulumi.engine().resources() == []


def test_a_cli_that_cannot_open_the_stack_is_one_message(pulumi: Pulumi, tmp_path: Path) -> None:
    program = pulumi.root / "bin" / "pulumi"
    program.write_text(
        "#!/bin/sh\n[ $1 = version ] && echo v3.205.0 && exit\necho 'error: passphrase wrong' >&2; exit 1\n"
    )
    with pytest.raises(Failure, match="passphrase wrong"):
        pulumi.engine().up(lambda _: None)


@pytest.mark.parametrize("version", ["v2.25.2", "v4.0.0", "garbage"])
def test_a_cli_of_another_age_is_not_used(pulumi: Pulumi, version: str) -> None:
    pulumi.tells(version=version)
    with pytest.raises(UnusableError):
        pulumi.engine()


SALTED = "config: {}\nencryptionsalt: v1:salt\n"


def test_a_stack_that_another_file_describes_leaves_none_in_the_project(pulumi: Pulumi) -> None:
    given = pulumi.project / "elsewhere.yaml"
    given.write_text("config: {}\n")
    pulumi.tells(exists=False)
    pulumi.engine(given).up(lambda _: None)
    assert any("init" in call["words"] for call in pulumi.calls())
    assert given.read_text() == SALTED
    assert not (pulumi.project / "Pulumi.embedded.yaml").exists()


@pytest.mark.parametrize("name", [None, "elsewhere.yaml"])
def test_a_preview_leaves_a_new_stacks_files_as_they_were(pulumi: Pulumi, name: str | None) -> None:
    own, given = pulumi.project / "Pulumi.embedded.yaml", pulumi.project / (name or "Pulumi.embedded.yaml")
    for file in (own, given):
        file.write_text("config: {}\n")
    pulumi.tells(exists=False)
    pulumi.engine(given if name else None).preview(lambda _: None)
    assert any("preview" in call["words"] for call in pulumi.calls())
    assert own.read_text() == given.read_text() == "config: {}\n"


def test_the_salt_of_a_stack_stays_in_the_file_that_describes_it(pulumi: Pulumi) -> None:
    own = pulumi.project / "Pulumi.embedded.yaml"
    own.write_text("config: {}\n")
    pulumi.tells(exists=False)
    pulumi.engine().up(lambda _: None)
    assert own.read_text() == SALTED
