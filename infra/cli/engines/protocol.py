"""What an engine does for a command, the same for the embedded and the official one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.cli.engines.events import Event, Outcome, Resource

Listener = Callable[[Event], None]


class Engine(Protocol):
    """Runs the program. All but ``preview``, ``resources`` and ``holder`` change things and take the lock.

    Raises Locked when another run holds it, Failure when the engine cannot even start.
    """

    def preview(self, listen: Listener) -> Outcome:
        """What ``up`` would do. Touches nothing."""

    def up(self, listen: Listener, *, refresh: bool = False) -> Outcome:
        """Bring the site to its description."""

    def refresh(self, listen: Listener, *, targets: Sequence[str] = ()) -> Outcome:
        """Read what is there into the state: all, or the resources of these URNs."""

    def destroy(self, listen: Listener) -> Outcome:
        """Remove everything that the state knows."""

    def resources(self) -> list[Resource]:
        """The state's resources; none where there is no state."""

    def holder(self) -> tuple[str, bool]:
        """Who holds the lock and whether that process is gone; "" for nobody, or where it is not told."""


@dataclass(frozen=True)
class Target:
    """What an engine works on. ``config_file`` replaces Pulumi.<stack>.yaml; None for that file."""

    project: Path
    stack: str
    config_file: Path | None
    environment: Mapping[str, str]
