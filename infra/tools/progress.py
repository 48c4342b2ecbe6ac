"""What is being made, how far it is and how long it takes: for a terminal or a log to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of work on ``name``, number ``number`` of the ``count`` that have to be made.

    Times are in seconds. ``expected`` is for this one; ``left`` for this one and all after it;
    ``note`` says what is waited for, when something is. ``finished`` comes once, at the end.
    """

    name: str
    number: int
    count: int
    elapsed: float
    expected: float
    left: float
    note: str = ""
    finished: bool = False

    def __str__(self) -> str:
        place = f"{self.name} ({self.number} of {self.count})"
        if self.finished:
            return f"{place}: done in {self.elapsed:.0f} s"
        if self.note:
            return f"{place}: {self.note}"
        return (
            f"{place}: {self.elapsed:.0f} s of about {self.expected:.0f} s, {_rough(self.left)} left in all"
        )


Report = Callable[[Progress], None]
"""Shows progress; called about once a second while something is made."""


def _rough(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
