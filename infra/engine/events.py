"""What an operation tells while it runs. Secrets are masked in everything here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.engine import urn as urns


@dataclass(frozen=True)
class PropertyChange:
    """One property that differs. `kind` is add, delete or update; `replaces` when it forces a replacement."""

    path: str
    kind: str
    replaces: bool
    old: Any
    new: Any


@dataclass(frozen=True)
class _OfResource:
    urn: str

    @property
    def type(self) -> str:
        """The resource's type token."""
        return urns.type_of(self.urn)

    @property
    def name(self) -> str:
        """The resource's name."""
        return urns.name_of(self.urn)


@dataclass(frozen=True)
class StepStarted(_OfResource):
    """A step begins. `logical` is false for the halves of a replacement."""

    op: str
    changes: tuple[PropertyChange, ...] = ()
    logical: bool = True


@dataclass(frozen=True)
class StepProgress(_OfResource):
    """What a provider says that it is doing right now."""

    message: str


@dataclass(frozen=True)
class StepFinished(_OfResource):
    """A step succeeded. `result_op` is what a refresh found (same, update, delete), else the step's own."""

    op: str
    result_op: str
    changes: tuple[PropertyChange, ...] = ()
    logical: bool = True
    seconds: float = 0.0


@dataclass(frozen=True)
class StepFailed(_OfResource):
    """A step failed."""

    op: str
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Diagnostic:
    """A message: info, warning or error; about a resource or, without a URN, about the whole."""

    severity: str
    message: str
    urn: str | None = None


@dataclass(frozen=True)
class Result:
    """How an operation ended.

    `changes` counts the logical steps by what they did; `outputs` are the stack's; `duration` is in seconds.
    """

    op: str
    ok: bool
    cancelled: bool
    changes: Mapping[str, int]
    steps: tuple[StepFinished | StepFailed, ...]
    outputs: Mapping[str, Any]
    diagnostics: tuple[Diagnostic, ...]
    duration: float

    @property
    def changed(self) -> bool:
        """Whether anything was (or would be) done."""
        return any(op != "same" and count for op, count in self.changes.items())


@dataclass(frozen=True)
class Summary:
    """The last event of an operation."""

    result: Result = field()


Event = StepStarted | StepProgress | StepFinished | StepFailed | Diagnostic | Summary
