"""The board over HTTP: what each address answers, and to whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.board import pages
from monitoring.board.composition import board
from monitoring.board.people import ReviewError
from monitoring.board.sessions import CODE_SECONDS, Session, Sessions
from monitoring.board.store import TENANT, Store

COOKIE: Final = "antenna_board"

_LONGEST: Final = 16 * 1024  # bytes of what is sent to /login
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ASSETS: Final[Mapping[str, str]] = {"board.css": "text/css", "board.js": "text/javascript"}
_HOW: Final = (
    "`antenna board` prints a link that is good for a minute; a partner's people add `--tenant NAME`."
)


@dataclass(frozen=True)
class Service:
    """What the addresses answer from."""

    stack: str
    store: Store
    sessions: Sessions
    runbooks: Mapping[str, Path]
    """The pages by alert."""

    async def page(self, request: Request) -> Response:
        """The board: of all partners, or with ``tenant`` of one, to who may see that."""
        session = self._session(request)
        if session is None:
            return _says(401, "You are not logged in", _HOW)
        tenant = request.query_params.get("tenant", "")
        if tenant and not TENANT.fullmatch(tenant):
            return _says(404, "There is no such partner", _HOW)
        try:
            allowed = await self.sessions.may(session, tenant)
        except ReviewError:
            return _says(503, "Nobody can say what you may see", "The API server does not answer. Try again.")
        if not allowed:
            return _says(403, "You may not see this page", _HOW)
        answers = await (self.store.look_at(tenant) if tenant else self.store.look())
        refresh = request.query_params.get("refresh") != "off"
        return HTMLResponse(pages.board(board(answers, self.stack, tenant), refresh=refresh))

    async def login(self, request: Request) -> Response:
        """A one-time code, for a token and the partner whose page is wanted ("": all)."""
        try:
            code = await self.sessions.code(*await _login(request))
        except ValueError as error:
            return _error(400, str(error))
        except PermissionError:
            return _error(403, "you may not see that page")
        except ReviewError as error:
            return _error(503, str(error))
        if code is None:
            return _error(401, "the API server does not take that token")
        return JSONResponse({"code": code, "seconds": CODE_SECONDS})

    async def enter(self, request: Request) -> Response:
        """A session for a code. A page of its own goes on from here, as a strict cookie follows no other."""
        if request.method != "GET":  # who looks whether a link is there must not use it up
            return PlainTextResponse("GET it", 405, {"Allow": "GET"})
        entered = self.sessions.enter(request.query_params.get("code", ""))
        if entered is None:
            return _says(401, "This link is not good any more", "A link is good once, for a minute.", _HOW)
        secret, tenant, session = entered
        answer = HTMLResponse(
            pages.message("You are logged in", forward=f"./?tenant={tenant}" if tenant else "./")
        )
        answer.set_cookie(
            COOKIE,
            secret,
            max_age=max(1, int(session.ends - self.sessions.wall_clock())),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session."""
        self.sessions.leave(request.cookies.get(COOKIE, ""))
        answer = _says(200, "You are logged out", _HOW)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def runbook(self, request: Request) -> Response:
        """A runbook, to who is logged in."""
        if self._session(request) is None:
            return _says(401, "You are not logged in", _HOW, root="../")
        name = request.path_params["name"].removesuffix(".md")
        path = self.runbooks.get(name)
        if path is None:
            return _says(404, "There is no such runbook", "Each alert has one, of its name.", root="../")
        return HTMLResponse(pages.runbook(name, path.read_text(encoding="utf-8")))

    def _session(self, request: Request) -> Session | None:
        return self.sessions.find(request.cookies.get(COOKIE, ""))


def app(service: Service) -> ASGIApp:
    """The ASGI application."""
    return Starlette(
        routes=[
            Route("/", service.page),
            Route("/login", service.login, methods=["POST"]),
            Route("/enter", service.enter),
            Route("/leave", service.leave, methods=["POST"]),
            Route("/runbooks/{name}", service.runbook),
            Route("/healthz", _well),
            *(Route(f"/{name}", _asset) for name in _ASSETS),
        ],
        middleware=[Middleware(_Headers)],
    )


class _Headers:
    """The same headers on every answer."""

    def __init__(self, inner: ASGIApp) -> None:
        self.app = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)


async def _login(request: Request) -> tuple[str, str]:
    """Token and partner that were sent. Raises ValueError with what to send."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise ValueError(f"that is longer than {_LONGEST} bytes")
    try:
        asked = json.loads(body)
        token, tenant = asked["token"], asked.get("tenant", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        token = tenant = None
    if not (isinstance(token, str) and isinstance(tenant, str) and token):
        raise ValueError('send {"token": "...", "tenant": "..."}; without tenant for the page of all')
    if tenant and not TENANT.fullmatch(tenant):
        raise ValueError(f"{tenant!r} is no partner's name")
    return token, tenant


async def _well(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _asset(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return Response(pages.asset(name), media_type=_ASSETS[name])


def _says(status: int, title: str, *sentences: str, root: str = "") -> HTMLResponse:
    return HTMLResponse(pages.message(title, *sentences, root=root), status)


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)
