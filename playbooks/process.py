"""Starts a playbook run and follows it: progress while it goes on, one readable message when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from playbooks.inventory import inventory, ssh_config

FORKS = 20
MARK = "ANTENNA_PLAYBOOK_RUN"
"""Environment variable of everything that a run starts; its value is the folder of the run."""

SHOWN_LINES = 6


class PlaybookError(Exception):
    """A run failed. The message names host, task, reason and the full log."""


@dataclass(frozen=True)
class Result:
    """What one task said on one host."""

    host: str
    task: str
    reason: str
    changes: tuple[str, ...] = ()
    unreachable: bool = False
    item: str = ""
    """Of a loop; empty outside of one."""


@dataclass
class Outcome:
    """What a run did: the recap a host, what changed, what failed, and where the full log is."""

    log: Path
    recap: dict[str, dict[str, int]] = field(default_factory=dict)
    changed: list[Result] = field(default_factory=list)
    failed: list[Result] = field(default_factory=list)
    output: str = ""


@dataclass(frozen=True)
class Run:
    """One run of one playbook against one stack's machines.

    ``state_dir`` keeps the inventory, the ssh_config and Ansible's own files; ``log_dir`` the full logs.
    """

    playbook: str
    hosts: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]
    identity_file: str
    known_hosts: str
    state_dir: Path
    log_dir: Path
    check: bool = False
    limit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def start(self, progress: Callable[[str], None]) -> Outcome:
        """Run it to its end. Failed hosts are in the outcome; raises PlaybookError if nothing could run."""
        end_leftovers(self.state_dir)
        request = self._write()
        outcome = Outcome(log=Path(request["log"]))
        with subprocess.Popen(
            [sys.executable, "-m", "playbooks.run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            env=os.environ | {MARK: str(self.state_dir)},
        ) as process:
            assert process.stdin and process.stdout and process.stderr  # noqa: S101 - all three are pipes
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.close()
            for line in process.stdout:
                follow(json.loads(line), outcome, progress)
            errors = process.stderr.read()
        if process.returncode and not outcome.failed:
            reason = (outcome.output or errors).strip() or f"it ended with status {process.returncode}"
            raise PlaybookError(f"{self.playbook}: {shorten(reason)}\nThe full log is {outcome.log}")
        return outcome

    def _write(self) -> dict[str, Any]:
        """Write what the run needs; return its request."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        config = self.state_dir / "ssh_config"
        config.write_text(ssh_config(self.hosts, self.identity_file, self.known_hosts))
        listing = self.state_dir / "inventory.json"
        listing.write_text(json.dumps(inventory(self.hosts, self.variables, self.identity_file), indent=1))
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        kind = "check" if self.check else "run"
        return {
            "parent": os.getpid(),
            "playbook": self.playbook,
            "inventory": str(listing),
            "ssh_config": str(config),
            "control_dir": str(control_dir(self.state_dir)),
            "work_dir": str(self.state_dir),
            "log": str(self.log_dir / f"{stamp}-{Path(self.playbook).stem}-{kind}.log"),
            "check": self.check,
            "limit": self.limit,
            "forks": FORKS,
            "extra": dict(self.extra),
        }


def control_dir(state_dir: Path) -> Path:
    """A short folder for ssh's sockets, whose paths Linux limits to 108 bytes; the same for all runs."""
    name = sha256(f"{os.geteuid()} {state_dir}".encode()).hexdigest()[:10]
    path = Path(tempfile.gettempdir()) / f"antenna-ssh-{name}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise PlaybookError(f"{path} belongs to somebody else; remove it")
    return path


def follow(event: dict[str, Any], outcome: Outcome, progress: Callable[[str], None]) -> None:
    """Take one event of the run into the outcome."""
    match event.pop("event"):
        case "progress":
            progress(event["line"])
        case "changed":
            outcome.changed.append(Result(**(event | {"changes": tuple(event["changes"])})))
        case "failed":
            outcome.failed.append(Result(**(event | {"changes": tuple(event["changes"])})))
        case "recap":
            outcome.recap = event["recap"]
        case "ended":
            outcome.output = event["output"]


def failure(outcome: Outcome) -> str:
    """The one message about a failed run: host, task, reason, where the full log is."""
    first = outcome.failed[0]
    message = f"{first.host}: {first.task}: {shorten(first.reason)}"
    if others := sorted({row.host for row in outcome.failed} - {first.host}):
        message += f"\nAlso failed: {', '.join(others)}"
    return f"{message}\nThe full log is {outcome.log}"


def shorten(reason: str) -> str:
    """The first line of a long reason and its last ones: programs say what went wrong at their end."""
    lines = [line for line in reason.splitlines() if line.strip()]
    return "\n".join(lines if len(lines) <= SHOWN_LINES else [lines[0], *lines[1 - SHOWN_LINES :]])


def drift(outcome: Outcome) -> list[str]:
    """A line for each difference that a check-mode run found, naming host, task and item."""
    lines = []
    for row in outcome.changed:
        task = f"{row.task} ({row.item})" if row.item else row.task
        lines += [f"{row.host}: {task}: {change}" for change in row.changes or ("would change",)]
    for row in outcome.failed:
        word = "unreachable" if row.unreachable else row.task
        lines.append(f"{row.host}: {word}: {shorten(row.reason)}")
    return lines


def end_leftovers(state_dir: Path) -> None:
    """End what a killed run of the same stack left behind, found by its environment."""
    for pid in leftovers(state_dir):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while leftovers(state_dir) and time.monotonic() < deadline:
        time.sleep(0.05)


def leftovers(state_dir: Path) -> list[int]:
    """Processes started by an earlier run of the stack; none on a system without /proc."""
    mark = f"{MARK}={state_dir}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found
