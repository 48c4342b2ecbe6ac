"""What an operation told, and the sum of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from infra.engine import urn as urns
from infra.engine.events import Diagnostic, Event, Result, StepFailed, StepFinished


class Record:
    """Collects what an operation tells, and passes it on, one event at a time."""

    def __init__(self, events: Callable[[Event], None] | None) -> None:
        self._events = events
        self._lock = threading.RLock()
        self._steps: list[StepFinished | StepFailed] = []
        self._diagnostics: list[Diagnostic] = []

    @property
    def failed(self) -> bool:
        """Whether anything went wrong so far."""
        with self._lock:
            return any(isinstance(step, StepFailed) for step in self._steps) or any(
                diagnostic.severity == "error" for diagnostic in self._diagnostics
            )

    def emit(self, event: Event) -> None:
        """Take an event."""
        with self._lock:
            if isinstance(event, StepFinished | StepFailed):
                self._steps.append(event)
            elif isinstance(event, Diagnostic):
                self._diagnostics.append(event)
            if self._events is not None:
                self._events(event)

    def result(self, op: str, *, outputs: Mapping[str, Any], cancelled: bool, duration: float) -> Result:
        """Sum up. The default providers, which nobody asked for, do not count."""
        steps = tuple(self._steps)
        counted = (
            step.result_op
            for step in steps
            if isinstance(step, StepFinished) and step.logical and not urns.is_default_provider(step.urn)
        )
        return Result(
            op=op,
            ok=not (self.failed or cancelled),
            cancelled=cancelled,
            changes=dict(Counter(counted)),
            steps=steps,
            outputs=outputs,
            diagnostics=tuple(self._diagnostics),
            duration=duration,
        )
