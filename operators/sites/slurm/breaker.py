"""A circuit breaker: after failures in a row a site is left alone for a while, then tried once. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAILURES_TO_OPEN: Final = 3
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 40.0
"""Seconds: a site that answers again is noticed well within a minute."""


@dataclass
class Breaker:
    """Closed (asked freely), open (not asked), half open (one question is on its way, the others wait)."""

    failures: int = 0
    """In a row."""
    opens_until: float = 0.0
    trying: bool = False

    def wait(self, now: float) -> float:
        """Seconds until a question may be asked; 0 where it may now. Marks it as on its way."""
        if self.failures < FAILURES_TO_OPEN:
            return 0.0
        if now < self.opens_until:
            return self.opens_until - now
        if self.trying:
            return FIRST_PAUSE
        self.trying = True
        return 0.0

    def succeed(self) -> None:
        """The site answered."""
        self.failures, self.trying = 0, False

    def fail(self, now: float, chance: float) -> None:
        """It did not. ``chance`` (0 to 1) spreads the next try."""
        self.failures += 1
        self.trying = False
        self.opens_until = now + pause(self.failures - FAILURES_TO_OPEN, FIRST_PAUSE, LONGEST_PAUSE, chance)


def pause(times: int, first: float, longest: float, chance: float) -> float:
    """Doubled each time, at most ``longest`` seconds, and shortened by up to half by ``chance``."""
    full = min(longest, first * 2.0 ** max(0, min(times, 30)))
    return full * (1 - chance / 2)
