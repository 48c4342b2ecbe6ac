"""An engine that does nothing but tell a story, for tests of the commands around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.cli.engines.events import Change, Event, Note, Outcome, Resource, Step, tally
from infra.cli.engines.protocol import Listener
from infra.cli.failure import Failure


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:embedded::antenna::antenna:site:Part$antenna:index:{kind}::{name}"


def steps(op: str, kind: str, name: str, *changes: Change) -> list[Event]:
    return [Step("begun", op, urn(kind, name), changes), Step("done", op, urn(kind, name), changes)]


MACHINE = Resource(urn("Machine", "head"), "embedded/head", {"driver": "nspawn", "stack": "embedded"}, {})
NETWORK = Resource(urn("Network", "network"), "embedded/br", {}, {})
OBJECTS = Resource(urn("Objects", "tenant-imec"), "embedded/tenant-imec", {}, {})


@dataclass
class FakeEngine:
    """``story`` is told by each operation; ``found`` is the state after a refresh."""

    story: list[Event] = field(default_factory=list)
    state: list[Resource] = field(default_factory=list)
    found: list[Resource] | None = None
    errors: list[tuple[str, ...]] = field(default_factory=list)
    refuses: Failure | None = None
    calls: list[str] = field(default_factory=list)

    def preview(self, listen: Listener) -> Outcome:
        return self._tell("preview", listen)

    def up(self, listen: Listener, *, refresh: bool = False) -> Outcome:
        return self._tell("up", listen)

    def refresh(self, listen: Listener, *, targets: Sequence[str] = ()) -> Outcome:
        self.calls.append(f"refresh {' '.join(t.rpartition('::')[2] for t in targets)}".strip())
        if self.found is not None:
            self.state = self.found
        return Outcome(True, {}, (), ())

    def destroy(self, listen: Listener) -> Outcome:
        return self._tell("destroy", listen)

    def resources(self) -> list[Resource]:
        return self.state

    def holder(self) -> tuple[str, bool]:
        return "", False

    def _tell(self, call: str, listen: Listener) -> Outcome:
        self.calls.append(call)
        if self.refuses:
            raise self.refuses
        for event in self.story:
            listen(event)
        told = tuple(e for e in self.story if isinstance(e, Step))
        errors = self.errors.pop(0) if self.errors else ()
        return Outcome(not errors, tally(told), told, errors)


def note(text: str, severity: str = "info", *, ephemeral: bool = False, about: str = "") -> Note:
    return Note(about, severity, text, ephemeral)
