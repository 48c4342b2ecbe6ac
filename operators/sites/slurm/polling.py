"""How often a site may be asked and connected to. Pure: the clock's reading is handed in.

Sites block an origin at their firewall that connects too often, and ask portals to poll with a floor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from operators.sites.slurm.breaker import pause

MINUTE: Final = 60.0
BURST: Final = 6
"""New connections a minute at most, in multiples of the steady rate, while the site comes and goes."""
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 30.0
UNANSWERED: Final = 1 / 3
"""Part of the floor after which a question that was not answered is put again."""
REMEMBERED: Final = 10_000


@dataclass
class Floor:
    """No question is put again sooner than ``seconds`` after it was put the last time.

    After a third of that where it was not answered: a site that works again is to be seen within a minute.
    """

    seconds: float
    asked: dict[str, float] = field(default_factory=dict)

    def wait(self, question: str, now: float) -> float:
        """Seconds until the question may be put; 0 where it may now."""
        last = self.asked.get(question)
        return 0.0 if last is None else max(0.0, last + self.seconds - now)

    def put(self, question: str, now: float) -> None:
        """It is put now."""
        if len(self.asked) >= REMEMBERED:
            self.asked = {one: at for one, at in self.asked.items() if at + self.seconds > now}
        self.asked[question] = now

    def miss(self, question: str) -> None:
        """It was not answered."""
        if question in self.asked:
            self.asked[question] -= self.seconds * (1 - UNANSWERED)

    def forget(self, question: str) -> None:
        """It did not get there."""
        self.asked.pop(question, None)


@dataclass
class Origin:
    """New connections of all logins of a site together: its firewall counts them by where they come from.

    BURST times ``per_minute`` in any minute, of which ``per_minute`` are the reader's alone; and half for all
    logins together whose connections come to nothing. So a partner that shuts us out of its own login takes
    no connection from the others.
    """

    per_minute: int
    made: deque[float] = field(default_factory=deque)
    """When, the newest last."""

    def wait(self, now: float, most: int) -> float:
        """Seconds until one more may be tried, of ``most`` in a minute; 0 where it may now."""
        while self.made and self.made[0] <= now - MINUTE:
            self.made.popleft()
        return self.made[-most] + MINUTE - now if len(self.made) >= most else 0.0

    def start(self, now: float, most: int) -> bool:
        """One is tried now; False where it may not be."""
        if self.wait(now, most):
            return False
        self.made.append(now)
        return True


@dataclass
class Connections:
    """``per_minute`` new connections of a login in any minute; up to BURST times as many while they are lost
    early, within what its origin has.

    A connection that held for a minute was a good one. Between those that did not there is a pause,
    doubled each time.
    """

    per_minute: int
    origin: Origin
    reads: bool = False
    """The reader's, by which a site's return is seen."""
    made: deque[float] = field(default_factory=deque)
    """When, the newest last."""
    early: int = 0
    """How many in a row failed or were lost within a minute."""
    next_at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a connection may be tried; 0 where it may now."""
        while self.made and self.made[0] <= now - MINUTE:
            self.made.popleft()
        others = self.origin.wait(now, self._share)
        if len(self.made) < self.per_minute and not self.early:
            return others
        most = self.per_minute * BURST if self.early else self.per_minute
        full = self.made[-most] + MINUTE - now if len(self.made) >= most else 0.0
        return max(0.0, full, self.next_at - now if self.early else 0.0, others)

    def start(self, now: float) -> bool:
        """One is tried now; False where another login was quicker and there is no more."""
        if not self.origin.start(now, self._share):
            return False
        self.made.append(now)
        return True

    def lose(self, now: float, chance: float) -> None:
        """The newest was lost now, or never came about."""
        if self.made and now - self.made[-1] < MINUTE:
            self.early += 1
            self.next_at = now + pause(self.early - 1, FIRST_PAUSE, LONGEST_PAUSE, chance)
        else:
            self.early = 0

    def hold(self, now: float) -> None:
        """The newest is alive now."""
        if self.made and now - self.made[-1] >= MINUTE:
            self.early = 0

    @property
    def _share(self) -> int:
        """How many its origin may have made in a minute, for one of its own to be tried."""
        if self.reads:
            return self.per_minute * BURST
        return self.per_minute * (BURST // 2 if self.early else BURST - 1)
