"""Whether a site's accounting can be behind its scheduler by more than usual. Pure: the clock is handed in.

A scheduler tells its accounting of ends some time after them, and keeps what it cannot tell: where one of the
two was away, the accounting answers again before it has been told of what ended meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

SILENCES: Final = 3
"""So many silences of which nobody takes notice fit into ``late``."""


@dataclass
class CatchingUp:
    """An end is told within ``late`` seconds of it, or of the end of a silence of one of ``sources``."""

    late: float
    sources: frozenset[str]
    _answered: dict[str, float] = field(default_factory=dict)
    _since: float = math.inf
    """When the last of the silences ended; none is known of before the first answer."""

    def answered(self, source: str, now: float) -> None:
        """One of the sources has answered what it was asked at ``now``."""
        if self._silent(source, now):
            self._since = now
        self._answered[source] = now

    def over(self, now: float) -> bool:
        """Whether all sources have answered for so long that what ended in a silence has been told."""
        return now - self._since >= self.late and not any(self._silent(one, now) for one in self.sources)

    def _silent(self, source: str, now: float) -> bool:
        return now - self._answered.get(source, -math.inf) > self.late / SILENCES
