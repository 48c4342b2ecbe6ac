"""Whose turn it is to be sent: a few jobs of a site at a time, the others in line. Pure.

A site is asked one thing after the other. Were all jobs that may go intended at once, most would be too late
when they are asked for (``decide.Bounds.window``), be intended anew, and be too late again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable


class Turns:
    """``most`` jobs of a site are in hand at a time, for as long as ``being_sent`` says so of each."""

    def __init__(self, most: int, being_sent: Callable[[str], bool]) -> None:
        self._most = most
        self._being_sent = being_sent
        self._in_hand: defaultdict[str, set[str]] = defaultdict(set)
        self._in_line: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def clear(self) -> None:
        """Nothing is in hand, and nothing in line."""
        self._in_hand.clear()
        self._in_line.clear()

    def take(self, site: str, uid: str) -> bool:
        """Whether it is the job's turn; if it is not, it gets in line."""
        if uid in self._in_hand[site] or self._free(site) > 0:
            self._in_hand[site].add(uid)
            self._in_line[site].pop(uid, None)
            return True
        self._in_line[site][uid] = None
        return False

    def leave(self, uid: str) -> None:
        """The job is gone."""
        for line in self._in_line.values():
            line.pop(uid, None)

    def next(self) -> set[str]:
        """Those that come now because others were sent. Each takes its turn, or has lost it."""
        turn: set[str] = set()
        for site, line in self._in_line.items():
            for uid in list(line)[: max(0, self._free(site))]:
                del line[uid]
                turn.add(uid)
        return turn

    def _free(self, site: str) -> int:
        self._in_hand[site] = {uid for uid in self._in_hand[site] if self._being_sent(uid)}
        return self._most - len(self._in_hand[site])
