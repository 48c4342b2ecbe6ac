"""Who may see which page of the board: real tokens, judged by a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from monitoring.board.people import Judge, ReviewError
from monitoring.board.sessions import ALLOWED_SECONDS, Sessions
from operators.tenancy import SUBMITTER_RULES, namespace_name
from tests.cluster.access import Access

T = TypeVar("T")


@dataclass(frozen=True)
class Board:
    """Partners of a test, and the board's way to the API server."""

    admin: Access
    mine: str
    other: str
    server: str
    authority: ssl.SSLContext
    token_file: Path

    def token(self, account: str, *more: str) -> str:
        place = namespace_name(self.mine)
        return self.admin.kubectl("create", "token", account, "-n", place, "--duration=10m", *more).strip()

    def run(self, what: Callable[[Sessions], Coroutine[Any, Any, T]], **options: Any) -> T:
        """What comes of asking the API server with the board's own token."""

        async def asked() -> T:
            async with httpx.AsyncClient(trust_env=False, verify=self.authority) as client:
                return await what(Sessions(Judge(client, self.server, self.token_file), **options))

        return asyncio.run(asked())

    def code(self, token: str, tenant: str) -> str | None:
        return self.run(lambda sessions: sessions.code(token, tenant))


@pytest.fixture
def site(admin: Access, name: str, tmp_path: Path) -> Iterator[Board]:
    mine, other = f"{name}-a", f"{name}-b"
    view = json.loads(admin.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
    cluster = view["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    for tenant in (mine, other):
        admin.kubectl("create", "namespace", namespace_name(tenant))
    place = namespace_name(mine)
    for account in ("board", "person", "platform", "stranger"):
        admin.kubectl("create", "serviceaccount", account, "-n", place)
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{name}-partner"},
        "rules": list(SUBMITTER_RULES),
    }
    admin.kubectl("apply", "-f", "-", given=json.dumps(role))
    admin.kubectl("create", "clusterrole", f"{name}-platform", "--verb=create", "--resource=pods/portforward")
    of = f"--serviceaccount={place}:"
    # Of the board itself: to ask who somebody is and what he may, nothing else.
    delegates = ("--clusterrole=system:auth-delegator", f"{of}board")
    admin.kubectl("create", "clusterrolebinding", f"{name}-board", *delegates)
    partner = (f"--clusterrole={name}-partner", f"{of}person")
    admin.kubectl("create", "rolebinding", "partner", "-n", place, *partner)
    platform = (f"--clusterrole={name}-platform", f"{of}platform")
    admin.kubectl("create", "clusterrolebinding", f"{name}-platform", *platform)
    token_file = tmp_path / "token"
    context = ssl.create_default_context(cadata=authority)
    made = Board(admin, mine, other, cluster["server"], context, token_file)
    token_file.write_text(made.token("board"))
    yield made
    for tenant in (mine, other):
        admin.kubectl("delete", "namespace", namespace_name(tenant), "--wait=false")
    for kind, names in (
        ("clusterrole", ("partner", "platform")),
        ("clusterrolebinding", ("board", "platform")),
    ):
        admin.kubectl("delete", kind, *(f"{name}-{one}" for one in names))


def test_a_partners_person_gets_a_code_for_the_partners_page_alone(site: Board) -> None:
    token = site.token("person")
    assert site.code(token, site.mine)
    for page in ("", site.other):
        with pytest.raises(PermissionError):
            site.code(token, page)


def test_who_may_forward_to_the_stores_gets_a_code_for_all(site: Board) -> None:
    token = site.token("platform")
    for page in ("", site.mine, site.other):
        assert site.code(token, page)


def test_a_token_without_rights_or_for_somebody_else_gets_none(site: Board) -> None:
    with pytest.raises(PermissionError):
        site.code(site.token("stranger"), site.mine)
    assert site.code(site.token("person", "--audience=antenna-operator"), site.mine) is None
    assert site.code("made-up", site.mine) is None


def test_a_right_that_is_taken_away_ends_what_is_seen(site: Board) -> None:
    now = [0.0]

    async def seen(sessions: Sessions) -> list[bool]:
        code = await sessions.code(site.token("person"), site.mine)
        entered = sessions.enter(code or "")
        assert entered
        found = [await sessions.may(entered[2], site.mine)]
        site.admin.kubectl("delete", "rolebinding", "partner", "-n", namespace_name(site.mine))
        now[0] += ALLOWED_SECONDS
        # The API server's own authorizer hears of it a moment later.
        for _ in range(50):
            found.append(await sessions.may(entered[2], site.mine))
            if not found[-1]:
                break
            now[0] += ALLOWED_SECONDS
            await asyncio.sleep(0.1)
        return found

    found = site.run(seen, clock=lambda: now[0])
    assert found[0]
    assert not found[-1]


def test_a_board_that_may_not_ask_lets_nobody_in(site: Board) -> None:
    site.token_file.write_text(site.token("stranger"))
    with pytest.raises(ReviewError):
        site.code(site.token("person"), site.mine)
