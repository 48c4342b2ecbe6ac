"""Who is logged in: one-time codes, what they are exchanged for, and what each person may see now.

Neither a token nor a code nor a session's secret is kept, only hashes of the last two.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from monitoring.board import people
from monitoring.board.people import Judge, Person, ReviewError

CODE_SECONDS: Final = 60.0
SESSION_SECONDS: Final = 12 * 3600.0
"""The longest; a session ends with the token that began it."""
ALLOWED_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 600.0
"""How long a yes still counts while the API server cannot be asked: the board matters most then."""

_CODES: Final = 256
_SESSIONS: Final = 1024
_REVIEWS: Final = 2  # at a time: a flood of tokens becomes no flood of reviews

_T = TypeVar("_T")


@dataclass
class Session:
    """Somebody who is logged in."""

    person: Person
    ends: float
    """Unix time."""
    verdicts: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """By partner, "" for all: the last verdict, and when it was given by the monotonic clock."""


@dataclass
class Sessions:
    """All of them. For one event loop."""

    judge: Judge
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    _codes: OrderedDict[bytes, tuple[Session, str, float]] = field(default_factory=OrderedDict)
    _sessions: OrderedDict[bytes, Session] = field(default_factory=OrderedDict)
    _reviews: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_REVIEWS))

    async def code(self, token: str, tenant: str) -> str | None:
        """A code for who may see the partner's page, or all's where it is ""; None: the token is not good.

        Raises PermissionError for who may not, ReviewError where nobody can say.
        """
        async with self._reviews:
            person = await self.judge.person(token)
        if person is None or person.expires <= self.wall_clock():
            return None
        session = Session(person, min(person.expires, self.wall_clock() + SESSION_SECONDS))
        if not await self.may(session, tenant):
            raise PermissionError(tenant)
        code = secrets.token_urlsafe(32)
        _remember(self._codes, code, (session, tenant, self.clock() + CODE_SECONDS), _CODES)
        return code

    def enter(self, code: str) -> tuple[str, str, Session] | None:
        """The session's secret, the partner that was asked for, and it; None for a code that is not good."""
        known = self._codes.pop(_hash(code), None)
        if known is None or known[2] <= self.clock():
            return None
        session, tenant, _ = known
        secret = secrets.token_urlsafe(32)
        _remember(self._sessions, secret, session, _SESSIONS)
        return secret, tenant, session

    def find(self, secret: str) -> Session | None:
        """Who has that secret."""
        session = self._sessions.get(_hash(secret))
        if session is not None and session.ends <= self.wall_clock():
            self.leave(secret)
            return None
        return session

    def leave(self, secret: str) -> None:
        """End a session."""
        self._sessions.pop(_hash(secret), None)

    async def may(self, session: Session, tenant: str) -> bool:
        """Whether the person may see the partner's page, or all's where it is "". Raises ReviewError."""
        unanswered: ReviewError | None = None
        # Who sees all sees each.
        for page in dict.fromkeys((tenant, "")):
            try:
                if await self._may(session, page):
                    return True
            except ReviewError as error:
                unanswered = error
        if unanswered is not None:
            raise unanswered
        return False

    async def _may(self, session: Session, tenant: str) -> bool:
        allowed, asked = session.verdicts.get(tenant, (False, float("-inf")))
        age = self.clock() - asked
        if age < (ALLOWED_SECONDS if allowed else REFUSED_SECONDS):
            return allowed
        what = people.of_partner(tenant) if tenant else people.EVERYTHING
        try:
            verdict = await self.judge.may(session.person, what)
        except ReviewError:
            if allowed and age < GRACE_SECONDS:
                return True
            raise
        if len(session.verdicts) >= _CODES:
            session.verdicts.clear()
        session.verdicts[tenant] = (verdict, self.clock())
        return verdict


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _remember(kept: OrderedDict[bytes, _T], secret: str, what: _T, most: int) -> None:
    kept[_hash(secret)] = what
    while len(kept) > most:
        kept.popitem(last=False)
