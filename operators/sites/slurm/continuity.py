"""Whether an answer about the queue can be whole: jobs do not vanish. Pure.

slurmctld remembers a job for ``MinJobAge`` after its end. One that was waiting or running and is then not
told of at all either ended longer ago than that, as the accounting will say, or the answer lacks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Final

from operators.sites.access import RemoteJobRow
from operators.sites.slurm.parse import OVER

DOUBT_SECONDS: Final = 600.0
"""After so long of the same answer it is believed: a scheduler can lose its state for good."""

Job = tuple[int, int]
"""Id and submit time."""


@dataclass
class Continuity:
    """The jobs that the last believed answer told of as not over."""

    present: frozenset[Job] = frozenset()
    doubted_since: float | None = None
    _none: frozenset[Job] = field(default_factory=frozenset, init=False, repr=False)

    def missing(self, rows: Iterable[RemoteJobRow], now: float) -> Set[Job]:
        """Those of them that this answer does not tell of in any state."""
        gone = self.present - {(row.id, row.submitted) for row in rows}
        if not gone:
            self.doubted_since = None
        return gone

    def doubted(self, unexplained: Set[Job], now: float) -> Set[Job]:
        """The unexplained, as long as the answer is to be refused for them."""
        if not unexplained:
            self.doubted_since = None
            return self._none
        if self.doubted_since is None:
            self.doubted_since = now
        return unexplained if now - self.doubted_since < DOUBT_SECONDS else self._none

    def note(self, rows: Iterable[RemoteJobRow]) -> None:
        """This answer is believed."""
        self.present = frozenset((row.id, row.submitted) for row in rows if row.state not in OVER)
