"""A run that is killed, interrupted or not alone loses nothing and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.engine import Diagnostic, LockedError
from infra.engine.state import parse

from .cases import destroy, up
from .engines import STACK, Workshop, embedded, open_engine

ROOT = Path(__file__).parents[2]
LABELS = [f"t{number}" for number in range(6)]
# Two chains of three, each create slow enough to be caught in the middle.
PROGRAM = "\n".join(
    [
        "things = {}",
        f"for number, label in enumerate({LABELS}):",
        "    before = things.get(number - 2)",
        '    things[number] = Thing(label, value=before.loud if before else "x", seconds=0.2)',
    ]
)
CHANGED = PROGRAM.replace("Thing(label,", 'Thing(label, label=label + "-new",').replace(
    "seconds=0.2", "seconds=0.2"
)


def run_apart(workshop: Workshop, verb: str) -> subprocess.Popen[str]:
    """Run the engine in a process that can be killed."""
    code = (
        "import pathlib, sys; from infra.engine import Engine;"
        f"result = Engine(pathlib.Path({str(workshop.project)!r}), {STACK!r}).{verb}();"
        "sys.exit(0 if result.ok else 1)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=workshop.environ, text=True, stderr=subprocess.PIPE
    )


def things(workshop: Workshop) -> set[str]:
    return {path.stem for path in workshop.cloud.glob("*.json")}


@pytest.fixture
def watched(workshop: Workshop) -> Iterator[list[str]]:
    """Read the state all the time; the list fills with what was no whole state."""
    stop, broken = threading.Event(), []

    def watch() -> None:
        while not stop.wait(0.002):
            if workshop.state.exists():
                try:
                    parse(workshop.state.read_bytes())
                except Exception as error:
                    broken.append(str(error))

    thread = threading.Thread(target=watch)
    thread.start()
    yield broken
    stop.set()
    thread.join()


@pytest.mark.parametrize("calls", [1, 3, 6])
def test_a_killed_up_is_taken_up_again(workshop: Workshop, watched: list[str], calls: int) -> None:
    workshop.prepare(up(PROGRAM))
    child = run_apart(workshop, "up")
    workshop.wait_for_calls(calls)
    child.kill()
    child.wait()
    outcome = embedded(workshop, up(PROGRAM))
    assert outcome["ok"], outcome["failed"]
    assert things(workshop) == set(LABELS)
    assert embedded(workshop, up(PROGRAM))["changes"] == {"same": len(LABELS) + 1}
    assert "pending_operations" not in workshop.state.read_text()
    assert not watched


@pytest.mark.parametrize("calls", [1, 4, 8])
def test_a_killed_replacement_is_taken_up_again(workshop: Workshop, calls: int) -> None:
    assert embedded(workshop, up(PROGRAM))["ok"]
    workshop.prepare(up(CHANGED))
    child = run_apart(workshop, "up")
    workshop.wait_for_calls(len(LABELS) + calls)
    child.kill()
    child.wait()
    outcome = embedded(workshop, up(CHANGED))
    assert outcome["ok"], outcome["failed"]
    assert things(workshop) == {f"{label}-new" for label in LABELS}
    assert embedded(workshop, up(CHANGED))["changes"] == {"same": len(LABELS) + 1}


def test_a_killed_destroy_is_taken_up_again(workshop: Workshop) -> None:
    assert embedded(workshop, up(PROGRAM))["ok"]
    child = run_apart(workshop, "destroy")
    workshop.wait_for_calls(len(LABELS) + 3)
    child.kill()
    child.wait()
    assert embedded(workshop, destroy())["ok"]
    assert things(workshop) == set()
    assert open_engine(workshop).resources() == []


def test_what_a_killed_create_left_is_removed_when_nobody_wants_it(workshop: Workshop) -> None:
    workshop.prepare(up('Thing("a")\nThing("b", seconds=60)'))
    child = run_apart(workshop, "up")
    workshop.wait_for_calls(2)
    child.kill()
    child.wait()
    assert things(workshop) == {"a", "b"}
    assert embedded(workshop, up('Thing("a")'))["ok"]
    assert things(workshop) == {"a"}


def test_what_a_failed_create_left_is_removed_with_the_stack(workshop: Workshop) -> None:
    assert not embedded(workshop, up('Thing("a", fail="create")'))["ok"]
    assert things(workshop) == {"a"}
    assert embedded(workshop, destroy())["ok"]
    assert things(workshop) == set()


def test_what_goes_with_something_else_is_left_to_it(workshop: Workshop) -> None:
    program = 'a = Thing("a")\nThing("b", Options(deleted_with=a), value=a.loud, fail="create delete")'
    assert not embedded(workshop, up(program))["ok"]
    assert embedded(workshop, destroy())["ok"]
    assert workshop.calls() == ["create a", "create b", "delete a"]


def test_no_provider_outlives_a_killed_engine(workshop: Workshop) -> None:
    workshop.prepare(up('Thing("a", seconds=60)'))
    child = run_apart(workshop, "up")
    workshop.wait_for_calls(1)
    provider = int((workshop.cloud / "providers").read_text())
    assert Path(f"/proc/{provider}").exists()
    child.kill()
    child.wait()
    end = time.monotonic() + 10
    while (
        Path(f"/proc/{provider}").exists()
        and "Z" not in Path(f"/proc/{provider}/stat").read_text().split()[2]
    ):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_interrupt_lets_what_runs_finish(workshop: Workshop) -> None:
    workshop.prepare(up('a = Thing("a", seconds=3)\nThing("b", value=a.loud)'))
    child = run_apart(workshop, "up")
    workshop.wait_for_calls(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 1
    assert things(workshop) == {"a"}
    assert [r.name for r in open_engine(workshop).resources() if r.type == "toy:index:Thing"] == ["a"]
    assert open_engine(workshop).lock_holder() is None


def test_the_second_of_two_says_who_holds_the_lock(workshop: Workshop) -> None:
    workshop.prepare(up('Thing("a", seconds=60)'))
    child = run_apart(workshop, "up")
    try:
        workshop.wait_for_calls(1)
        with pytest.raises(
            LockedError, match=rf"{socket.gethostname()} \(pid {child.pid}, since "
        ) as refusal:
            open_engine(workshop).up()
        assert [holder.pid for holder in refusal.value.holders] == [child.pid]
        assert open_engine(workshop).preview().ok
    finally:
        child.kill()
        child.wait()


def test_the_lock_of_a_dead_process_is_cleared_and_told(workshop: Workshop) -> None:
    workshop.prepare(up('Thing("a")'))
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = workshop.backend / ".pulumi" / "locks" / "organization" / "toys" / STACK
    folder.mkdir(parents=True)
    content = {
        "pid": dead.pid,
        "username": "somebody",
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(),
    }
    (folder / "0.json").write_text(json.dumps(content))
    events: list[object] = []
    assert open_engine(workshop, events.append).up().ok
    told = [event.message for event in events if isinstance(event, Diagnostic)]
    assert any("cleared the lock of somebody@" in message for message in told)
    assert not list(folder.glob("*.json"))


def test_the_lock_of_another_host_stands(workshop: Workshop) -> None:
    workshop.prepare(up('Thing("a")'))
    folder = workshop.backend / ".pulumi" / "locks" / "organization" / "toys" / STACK
    folder.mkdir(parents=True)
    content = {"pid": 1, "username": "ada", "hostname": "elsewhere", "timestamp": "2026-01-02T03:04:05.5Z"}
    (folder / "0.json").write_text(json.dumps(content))
    with pytest.raises(LockedError, match="ada@elsewhere"):
        open_engine(workshop).up()
    assert [holder.user for holder in open_engine(workshop).unlock()] == ["ada"]
    assert open_engine(workshop).up().ok


@pytest.mark.skipif(
    os.getloadavg()[0] > (os.cpu_count() or 1), reason="the machine is busy: times mean nothing"
)
def test_thirty_resources_without_changes_take_under_three_seconds(workshop: Workshop) -> None:
    program = 'for number in range(30): Thing(f"t{number}", value="x", tags=["a", "b"])'
    assert embedded(workshop, up(program))["ok"]
    result = open_engine(workshop).up()
    assert result.changes == {"same": 31}
    assert result.duration < 3
