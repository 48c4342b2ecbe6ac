"""Whose turn it is to be sent: a few jobs of a login at a time, the others in line. Pure.

As a login a site is asked one thing after the other. Were all jobs that may go intended at once, most would
be too late when they are asked for (``decide.Bounds.window``), be intended anew, and be too late again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable


class SubmissionSlots:
    """``most`` jobs of a login are in hand at a time, for as long as ``being_sent`` says so of each."""

    def __init__(self, most: int, being_sent: Callable[[str], bool]) -> None:
        self._most = most
        self._being_sent = being_sent
        self._in_hand: defaultdict[str, set[str]] = defaultdict(set)
        self._in_line: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def clear(self) -> None:
        """Nothing is in hand, and nothing in line."""
        self._in_hand.clear()
        self._in_line.clear()

    def take(self, login: str, uid: str) -> bool:
        """Whether it is the job's turn; if it is not, it gets in line."""
        if uid in self._in_hand[login] or self._free(login) > 0:
            self._in_hand[login].add(uid)
            self._in_line[login].pop(uid, None)
            return True
        self._in_line[login][uid] = None
        return False

    def leave(self, uid: str) -> None:
        """The job is gone."""
        for line in self._in_line.values():
            line.pop(uid, None)

    def next(self) -> set[str]:
        """Those that come now because others were sent. Each takes its turn, or has lost it."""
        turn: set[str] = set()
        for login, line in self._in_line.items():
            for uid in list(line)[: max(0, self._free(login))]:
                del line[uid]
                turn.add(uid)
        return turn

    def _free(self, login: str) -> int:
        self._in_hand[login] = {uid for uid in self._in_hand[login] if self._being_sent(uid)}
        return self._most - len(self._in_hand[login])
