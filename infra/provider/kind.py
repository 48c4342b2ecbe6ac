"""What a resource kind is: six methods on plain data.

The kinds know nothing of gRPC or of Pulumi's value types; ``__main__`` translates. Numbers arrive
as ``int`` where they are whole. A value that is not known yet (a preview) arrives as ``UNKNOWN``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

Report = Callable[[str], None]
"""Shows one line of progress beside the resource; the next line replaces it."""


class ProviderError(Exception):
    """An operation failed. The message names the cause and the next step; no traceback is shown."""


class Unknown:
    """The type of ``UNKNOWN``."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown()
"""Stands for an input that only the update will know. Seen by ``check`` and ``diff`` in previews."""


@dataclass(frozen=True)
class Diff:
    """How the declared inputs differ from what is there.

    ``changes`` and ``replaces`` hold the names of top-level properties; what is in ``replaces``
    is in ``changes`` too. ``detailed`` maps a path ("routes[1].via") to one of "add", "delete",
    "update", for display.
    """

    changes: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: dict[str, str] = field(default_factory=dict)


class Kind(Protocol):
    """One kind of resource. Instances hold no state: any call may be the first of its process."""

    token: str

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with the inputs, as (property, reason). Pure; tolerates ``UNKNOWN``."""

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """What changes. Touches nothing; tolerates ``UNKNOWN``; non-empty ``drift`` is a change."""

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Make it, or adopt what a killed run left. Returns (id, outputs)."""

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """(id, inputs, outputs) as they are now, ``drift`` filled in; None when it is gone.

        ``inputs`` and ``state`` are empty on import.
        """

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Bring it to the new inputs and mend drift. Returns the outputs."""

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Remove it. What is not there is not an error."""


def changed(old: dict[str, Any], new: dict[str, Any], *, ignore: frozenset[str] = frozenset()) -> list[str]:
    """The names of the top-level properties that differ, sorted. An ``UNKNOWN`` differs from anything."""
    names = (old.keys() | new.keys()) - ignore
    return sorted(n for n in names if old.get(n) is not new.get(n) and old.get(n) != new.get(n))
