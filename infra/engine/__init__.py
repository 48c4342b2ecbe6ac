"""The embedded engine: runs this project's Pulumi program and provider where no Pulumi CLI can be had.

It speaks Pulumi's protocol to the program (resource monitor) and to providers, and reads and writes Pulumi's
own state file, so that the official engine continues where it stopped and the other way round. It supports
what this project uses and refuses the rest by name.

    engine = Engine(project_dir, "embedded", events=show)
    result = engine.up()

`Engine` has `preview`, `up`, `refresh` and `destroy`, each returning a `Result`; `outputs`, `resources`,
`lock_holder`, `unlock` and `cancel`. A step or a program that fails makes `Result.ok` false; what keeps an
operation from running at all raises an `EngineError`.
"""

from __future__ import annotations

from infra.engine.engine import Engine
from infra.engine.errors import (
    EngineError,
    LockedError,
    PassphraseError,
    PluginError,
    ProjectError,
    StateError,
    UnsupportedError,
)
from infra.engine.events import (
    Diagnostic,
    Event,
    PropertyChange,
    Result,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
    Summary,
)
from infra.engine.lock import Holder
from infra.engine.state import Resource

__all__ = [
    "Diagnostic",
    "Engine",
    "EngineError",
    "Event",
    "Holder",
    "LockedError",
    "PassphraseError",
    "PluginError",
    "ProjectError",
    "PropertyChange",
    "Resource",
    "Result",
    "StateError",
    "StepFailed",
    "StepFinished",
    "StepProgress",
    "StepStarted",
    "Summary",
    "UnsupportedError",
]
