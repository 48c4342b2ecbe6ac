"""The two engines, driven alike: a workshop is a project folder with its state and its cloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from infra.engine import Engine, EngineError, Event, StepFailed, StepStarted
from infra.engine import urn as urns

from .cases import Step
from .observation import PASSPHRASE, observe

_HERE = Path(__file__).parent
STACK = "dev"
_PLUGIN = f"runtime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}\n"
_PROJECT = f"""
name: toys
runtime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}
plugins: {{providers: [{{name: toy, path: ../provider}}]}}
"""


class Workshop:
    """A project folder of its own, for one case."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.cloud = folder / "cloud"
        self.backend = folder / "state"
        self.state = self.backend / ".pulumi" / "stacks" / "toys" / f"{STACK}.json"
        for path in (self.project, self.cloud, self.backend):
            path.mkdir(parents=True)
        (self.project / "Pulumi.yaml").write_text(_PROJECT)
        shutil.copy(_HERE / "toys.py", self.project)
        shutil.copytree(_HERE / "provider", folder / "provider")
        (folder / "provider" / "PulumiPlugin.yaml").write_text(_PLUGIN)
        self.environ = {
            **os.environ,
            "TOY_CLOUD": str(self.cloud),
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_COMMANDS": "true",
        }

    def prepare(self, step: Step) -> None:
        """Write the step's program and configuration, and change the cloud by hand."""
        if step.op in ("up", "preview"):
            (self.project / "__main__.py").write_text(f"from toys import *\n\n{step.program}\n")
        if step.config:
            (self.project / f"Pulumi.{STACK}.yaml").write_text(step.config)
        for label, content in step.cloud.items():
            file = self.cloud / f"{label}.json"
            if content is None:
                file.unlink()
            else:
                file.write_text(json.dumps(content))

    def calls(self) -> list[str]:
        """Return the changes that the provider was asked for, in order."""
        log = self.cloud / "log"
        return log.read_text().splitlines() if log.exists() else []

    def wait_for_calls(self, count: int, timeout: float = 120) -> None:
        """Wait until the provider was asked for so many changes (seconds)."""
        end = time.monotonic() + timeout
        while len(self.calls()) < count:
            assert time.monotonic() < end, f"the provider was called {len(self.calls())} times only"
            time.sleep(0.01)


class Runner(Protocol):
    """An engine as the suite drives it."""

    def __call__(self, workshop: Workshop, step: Step) -> dict[str, Any]:
        """Do one step and say what came of it."""


def embedded(workshop: Workshop, step: Step) -> dict[str, Any]:
    """Run a step with the engine of this project."""
    workshop.prepare(step)
    events: list[Event] = []
    engine = open_engine(workshop, events.append)
    operation: Callable[..., Any] = getattr(engine, step.op)
    result = operation(targets=step.targets)
    ops = [
        (event.op, event.urn)
        for event in events
        if isinstance(event, StepStarted) and not urns.is_default_provider(event.urn)
    ]
    failed = [f"{event.urn}: {event.message}" for event in events if isinstance(event, StepFailed)]
    return {**observe(result.ok, ops, result.changes, workshop.state), "failed": failed}


def open_engine(workshop: Workshop, events: Callable[[Event], None] | None = None) -> Engine:
    """Return this project's engine on a workshop."""
    return Engine(workshop.project, STACK, events=events, environ=workshop.environ)


def official(workshop: Workshop, step: Step) -> dict[str, Any]:
    """Run a step with the official CLI."""
    workshop.prepare(step)
    if not workshop.state.exists():
        _pulumi(workshop, "stack", "init", STACK)
    log = workshop.project.parent / "events.json"
    log.unlink(missing_ok=True)
    confirm = [] if step.op == "preview" else ["--yes", "--skip-preview"]
    targets = [argument for target in step.targets for argument in ("--target", target)]
    done = _pulumi(workshop, step.op, "--stack", STACK, "--event-log", str(log), *confirm, *targets)
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    ops = [
        (event["resourcePreEvent"]["metadata"]["op"], event["resourcePreEvent"]["metadata"]["urn"])
        for event in events
        if "resourcePreEvent" in event
        and not urns.is_default_provider(event["resourcePreEvent"]["metadata"]["urn"])
    ]
    changes = next(
        (event["summaryEvent"]["resourceChanges"] for event in events if "summaryEvent" in event), {}
    )
    said = [] if done.returncode == 0 else [done.stdout + done.stderr]
    return {**observe(done.returncode == 0, ops, changes, workshop.state), "failed": said}


def official_found() -> bool:
    """Tell whether the official CLI is on the PATH."""
    return shutil.which("pulumi") is not None


def _pulumi(workshop: Workshop, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=workshop.project,
        env=workshop.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


__all__ = ["EngineError", "Runner", "Workshop", "embedded", "official", "official_found", "open_engine"]
