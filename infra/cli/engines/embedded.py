"""Drives the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from infra import engine
from infra.cli.engines.events import Change, Event, Note, Outcome, Resource, Step, tally
from infra.cli.engines.protocol import Listener, Target
from infra.cli.failure import Failure, Locked, WrongInput
from infra.engine import events

T = TypeVar("T")


class Embedded:
    """The embedded engine on one stack."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def preview(self, listen: Listener) -> Outcome:
        """What ``up`` would do."""
        return self._run(listen, lambda e: e.preview())

    def up(self, listen: Listener, *, refresh: bool = False) -> Outcome:
        """Bring the site to its description."""
        return self._run(listen, lambda e: e.up(refresh=refresh))

    def refresh(self, listen: Listener, *, targets: Sequence[str] = ()) -> Outcome:
        """Read what is there into the state."""
        return self._run(listen, lambda e: e.refresh(targets=tuple(targets)))

    def destroy(self, listen: Listener) -> Outcome:
        """Remove everything that the state knows."""
        return self._run(listen, lambda e: e.destroy())

    def resources(self) -> list[Resource]:
        """The state's resources."""
        return _speaking(
            lambda: [Resource(r.urn, r.id, r.inputs, r.outputs) for r in self._open().resources()]
        )

    def holder(self) -> tuple[str, bool]:
        """Who holds the lock, and whether that process is gone."""
        found = _speaking(lambda: self._open().locks())
        return ("; ".join(map(str, found)), all(h.is_dead() for h in found)) if found else ("", False)

    def _open(self, listen: Callable[[events.Event], None] | None = None) -> engine.Engine:
        target = self._target
        return engine.Engine(
            target.project,
            target.stack,
            config_file=target.config_file,
            events=listen,
            environ=target.environment,
        )

    def _run(self, listen: Listener, operation: Callable[[engine.Engine], engine.Result]) -> Outcome:
        told: list[Step] = []

        def hear(event: events.Event) -> None:
            if (translated := translate(event)) is None:
                return
            if isinstance(translated, Step):
                told.append(translated)
            listen(translated)

        result = _speaking(lambda: operation(self._open(hear)))
        errors = [d.message for d in result.diagnostics if d.severity == "error"]
        errors += [step.message for step in result.steps if isinstance(step, events.StepFailed)]
        unique = tuple(dict.fromkeys(errors))
        return Outcome(result.ok, tally(told), tuple(told), unique, result.cancelled)


def translate(event: events.Event) -> Event | None:
    """The event in this project's terms; None for what nobody needs to see. Pure."""
    match event:
        case events.StepStarted():
            return Step("begun", event.op, event.urn, _changes(event.changes))
        case events.StepFinished():
            return Step("done", event.op, event.urn, _changes(event.changes))
        case events.StepFailed():
            return Step("failed", event.op, event.urn)
        case events.StepProgress():
            return Note(event.urn, "info", event.message, ephemeral=True)
        case events.Diagnostic():
            return Note(event.urn or "", event.severity, event.message)
    return None


def _changes(found: Sequence[events.PropertyChange]) -> tuple[Change, ...]:
    return tuple(Change(c.path, c.kind, c.old, c.new, c.replaces) for c in found)


def _speaking(call: Callable[[], T]) -> T:
    """The engine's errors as this command's."""
    try:
        return call()
    except engine.LockedError as error:
        raise Locked(str(error)) from error
    except engine.ProjectError as error:
        raise WrongInput(str(error)) from error
    except engine.EngineError as error:
        raise Failure(str(error)) from error
