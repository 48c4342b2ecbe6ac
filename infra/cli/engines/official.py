"""Drives the official engine, the pulumi CLI, through Pulumi's automation API."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from pulumi import automation
from pulumi.automation import EngineEvent, LocalWorkspace, PulumiCommand, Stack
from pulumi.automation.errors import (
    CommandError,
    ConcurrentUpdateError,
    InvalidVersionError,
    StackNotFoundError,
)

from infra.cli.engines.choice import Choice
from infra.cli.engines.events import Change, Event, Note, Outcome, Resource, Step, difference, tally
from infra.cli.engines.protocol import Listener, Target
from infra.cli.failure import Failure, Locked

# The engine marks colours in messages for whoever shows them: <{%fg 1%}>, <{%reset%}>.
_COLOUR = re.compile(r"<\{%[^%]*%\}>")


class UnusableError(Exception):
    """The pulumi CLI is there but cannot be used, or could not be installed."""


def command(picked: Choice) -> PulumiCommand:
    """The CLI that was chosen, installed first if so chosen. Raises UnusableError."""
    try:
        if picked.engine == "install":
            return PulumiCommand.install()
        return PulumiCommand(root=str(picked.root) if picked.root else None)
    except (InvalidVersionError, OSError, subprocess.CalledProcessError) as error:
        raise UnusableError(f"the pulumi CLI cannot be used: {error}") from error


class Official:
    """The pulumi CLI on one stack."""

    def __init__(self, target: Target, cli: PulumiCommand) -> None:
        self._target = target
        self._cli = cli
        self._file = str(target.config_file) if target.config_file else None
        self._own_file = target.project / f"Pulumi.{target.stack}.yaml"
        # The CLI inherits this process's environment; only what is added needs to be handed over.
        self._environment = {k: v for k, v in target.environment.items() if k.startswith("PULUMI_")}

    def preview(self, listen: Listener) -> Outcome:
        """A stack that is not there yet is planned in a backend that goes away afterwards."""
        with tempfile.TemporaryDirectory() as elsewhere, ExitStack() as undone:
            try:
                stack = self._stack()
            except StackNotFoundError:
                undone.enter_context(_as_it_was(self._target.config_file or self._own_file))
                stack = self._stack(create=True, backend=f"file://{elsewhere}")
            return _follow(lambda hear: stack.preview(on_event=hear, config_file=self._file), listen)

    def up(self, listen: Listener, *, refresh: bool = False) -> Outcome:
        """`pulumi up`."""
        stack = self._stack(create=True)
        return _follow(lambda hear: stack.up(on_event=hear, refresh=refresh, config_file=self._file), listen)

    def refresh(self, listen: Listener, *, targets: Sequence[str] = ()) -> Outcome:
        """`pulumi refresh`. What it finds is in the state afterwards."""
        stack = self._stack(create=True)
        return _follow(
            lambda hear: stack.refresh(on_event=hear, target=list(targets) or None, config_file=self._file),
            listen,
            op="refresh",
        )

    def destroy(self, listen: Listener) -> Outcome:
        """`pulumi destroy`; nothing to do where the state is lost."""
        try:
            stack = self._stack()
        except StackNotFoundError:
            return Outcome(True, {}, (), ())
        return _follow(lambda hear: stack.destroy(on_event=hear, config_file=self._file), listen)

    def resources(self) -> list[Resource]:
        """From `pulumi stack export`."""
        try:
            deployment = self._stack().export_stack().deployment or {}
        except StackNotFoundError:
            return []
        return [
            Resource(r["urn"], r.get("id", ""), r.get("inputs") or {}, r.get("outputs") or {})
            for r in deployment.get("resources") or []
        ]

    def holder(self) -> tuple[str, bool]:
        """The CLI names the holder only when it is refused."""
        return "", False

    def _stack(self, *, create: bool = False, backend: str = "") -> Stack:
        variables = {**self._environment, **({"PULUMI_BACKEND_URL": backend} if backend else {})}
        workspace = LocalWorkspace(
            work_dir=str(self._target.project), pulumi_command=self._cli, env_vars=variables
        )
        try:
            if not create:
                return Stack.select(self._target.stack, workspace)
            # `pulumi stack init` takes no --config-file: it leaves a file of its own beside the one that
            # describes the stack, which gets its salt from the operation itself.
            with _as_it_was(self._own_file) if self._file else nullcontext():
                return Stack.create_or_select(self._target.stack, workspace)
        except StackNotFoundError:
            raise
        except CommandError as error:
            raise Failure(f"pulumi cannot open the stack {self._target.stack}: {_reason(error)}") from error


@contextmanager
def _as_it_was(file: Path) -> Iterator[None]:
    """Undo what is done to a stack's file meanwhile: the CLI writes a salt where there is none."""
    before = file.read_bytes() if file.exists() else None
    try:
        yield
    finally:
        if before is None:
            file.unlink(missing_ok=True)
        elif file.read_bytes() != before:
            file.write_bytes(before)


def _follow(run: Callable[[automation.OnEvent], Any], listen: Listener, *, op: str = "") -> Outcome:
    """Run an operation and tell its events; ``op`` is what each step is called, when not its own op."""
    steps: list[Step] = []
    errors: list[str] = []

    def hear(event: EngineEvent) -> None:
        for told in translate(event, op=op):
            if isinstance(told, Note) and told.severity == "error":
                errors.append(told.text.strip())
            if isinstance(told, Step):
                steps.append(told)
            listen(told)

    try:
        run(hear)
    except ConcurrentUpdateError as error:
        raise Locked(_reason(error), "wait for that run to end; if it is dead: pulumi cancel") from error
    except CommandError as error:
        return Outcome(False, tally(steps), tuple(steps), tuple(errors) or (_reason(error),))
    return Outcome(True, tally(steps), tuple(steps), ())


def translate(event: EngineEvent, *, op: str = "") -> list[Event]:
    """The event in this project's terms; [] for what nobody needs to see. Pure."""
    if said := event.diagnostic_event:
        text = _COLOUR.sub("", (said.prefix or "") + said.message)
        return [Note(said.urn or "", said.severity.partition("#")[0], text, bool(said.ephemeral))]
    stages: list[tuple[Literal["begun", "done", "failed"], Any]] = [
        ("begun", event.resource_pre_event),
        ("done", event.res_outputs_event),
        ("failed", event.res_op_failed_event),
    ]
    return [
        Step(stage, op or found.metadata.op.value, found.metadata.urn, _changes(found.metadata))
        for stage, found in stages
        if found
    ]


def _changes(metadata: automation.StepEventMetadata) -> tuple[Change, ...]:
    old, new = metadata.old, metadata.new
    if old is None or new is None or metadata.op.value == "same":
        return ()
    found = difference(dict(old.inputs or {}), dict(new.inputs or {}))
    # Drift is an output: the provider reports it as a change though the inputs are the same.
    if "drift" in (metadata.diffs or []):
        found.append(Change("drift", "update", (old.outputs or {}).get("drift"), []))
    anew = set(metadata.keys or [])
    return tuple(Change(c.path, c.kind, c.old, c.new, re.split(r"[.\[]", c.path)[0] in anew) for c in found)


def _reason(error: CommandError) -> str:
    """The CLI's own words, without the API's framing of them."""
    text = str(error)
    stderr = text.partition("stderr:")[2] or text
    lines = [_COLOUR.sub("", line).strip() for line in stderr.splitlines() if line.strip()]
    return " ".join(lines[-3:]).removeprefix("error: ")
