"""Who is logged in to the board, until when, and what a person may see while nobody can be asked."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.board.people import EVERYTHING, Judge, Person, ReviewError, expiry, of_partner
from monitoring.board.sessions import (
    ALLOWED_SECONDS,
    CODE_SECONDS,
    GRACE_SECONDS,
    REFUSED_SECONDS,
    SESSION_SECONDS,
    Session,
    Sessions,
)


@dataclass
class Cluster:
    """An API server's word, a clock, and whether it answers."""

    rights: list[Mapping[str, str]] = field(default_factory=lambda: [EVERYTHING])
    answers: bool = True
    asked: int = 0
    now: float = 1000.0
    expires: float = float("inf")

    async def person(self, token: str) -> Person | None:
        return Person({"user": token}, self.expires) if token == "good" else None  # noqa: S105

    async def may(self, person: Person, what: Mapping[str, str]) -> bool:
        self.asked += 1
        if not self.answers:
            raise ReviewError("it does not answer")
        return what in self.rights

    def clock(self) -> float:
        return self.now

    def sessions(self) -> Sessions:
        return Sessions(self, self.clock, self.clock)  # type: ignore[arg-type]  # by its two questions


def entered(sessions: Sessions, tenant: str = "") -> tuple[str, Session]:
    code = asyncio.run(sessions.code("good", tenant))
    assert code
    found = sessions.enter(code)
    assert found
    return found[0], found[2]


def test_a_code_is_good_for_a_minute() -> None:
    cluster = Cluster()
    sessions = cluster.sessions()
    code = asyncio.run(sessions.code("good", "")) or ""
    cluster.now += CODE_SECONDS
    assert sessions.enter(code) is None


@pytest.mark.parametrize("expires", [1000 + 3600.0, float("inf")], ids=["with its token", "after 12 hours"])
def test_a_session_ends(expires: float) -> None:
    cluster = Cluster(expires=expires)
    sessions = cluster.sessions()
    secret, session = entered(sessions)
    end = min(expires, 1000 + SESSION_SECONDS)
    assert session.ends == end
    cluster.now = end - 1
    assert sessions.find(secret) is session
    cluster.now = end
    assert sessions.find(secret) is None


def test_a_token_that_has_ended_opens_nothing() -> None:
    assert asyncio.run(Cluster(expires=999).sessions().code("good", "")) is None
    assert asyncio.run(Cluster().sessions().code("bad", "")) is None


def test_rights_that_are_taken_away_end_what_is_seen() -> None:
    cluster = Cluster()
    sessions = cluster.sessions()
    _, session = entered(sessions)
    cluster.rights = []
    assert asyncio.run(sessions.may(session, ""))
    cluster.now += ALLOWED_SECONDS
    assert not asyncio.run(sessions.may(session, ""))
    cluster.rights = [EVERYTHING]
    assert not asyncio.run(sessions.may(session, ""))
    cluster.now += REFUSED_SECONDS
    assert asyncio.run(sessions.may(session, ""))


def test_a_yes_counts_for_a_while_when_nobody_can_be_asked_and_a_no_never_becomes_one() -> None:
    cluster = Cluster(rights=[of_partner("ugent")])
    sessions = cluster.sessions()
    _, session = entered(sessions, "ugent")
    cluster.answers = False
    cluster.now += GRACE_SECONDS - 1
    # Whether this person may see all has never been asked.
    with pytest.raises(ReviewError):
        asyncio.run(sessions.may(session, ""))
    assert asyncio.run(sessions.may(session, "ugent"))
    cluster.now += 1
    with pytest.raises(ReviewError):
        asyncio.run(sessions.may(session, "ugent"))


def test_the_api_server_is_not_asked_at_each_look() -> None:
    cluster = Cluster()
    sessions = cluster.sessions()
    _, session = entered(sessions)
    for _ in range(5):
        assert asyncio.run(sessions.may(session, ""))
    assert cluster.asked == 1


def test_secrets_and_codes_are_kept_as_hashes_and_tokens_not_at_all() -> None:
    sessions = Cluster().sessions()
    code = asyncio.run(sessions.code("good", "")) or ""
    assert code not in repr(sessions)
    secret, _, _ = sessions.enter(code) or ("", "", None)
    assert secret
    assert secret not in repr(sessions)


def test_when_a_token_ends_is_read_of_a_jwt() -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 17}).encode()).decode().rstrip("=")
    assert expiry(f"x.{payload}.y") == 17
    assert expiry("opaque") == float("inf")


@pytest.mark.parametrize(
    "answer", [httpx.Response(500), httpx.Response(201, text="?"), httpx.Response(201, json=[])]
)
def test_what_is_no_answer_is_no_yes(answer: httpx.Response, tmp_path: Path) -> None:
    async def asked() -> Any:
        transport = httpx.MockTransport(lambda _: answer)
        async with httpx.AsyncClient(transport=transport) as client:
            await Judge(client, "http://api", None).person("token")

    with pytest.raises(ReviewError):
        asyncio.run(asked())
