"""/metrics over HTTP(S), /healthz and /readyz beside it; documents of usage, where they are served.

A thread a connection, and a limit on everything that a client chooses: how many connections, how long
a request's head is and may take, how long reading the answer may take.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl

from prometheus_client.exposition import choose_encoder, gzip_accepted

from operators.exposition import protobuf
from operators.exposition.access import Verdict
from operators.exposition.render import CONTENT_TYPES
from operators.exposition.store import Store

HEAD_BYTES: Final = 16 * 1024
HEAD_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 75.0
"""Longer than a scrape interval: a scraper keeps its connection."""
ANSWER_SECONDS: Final = 60.0
CONNECTIONS: Final = 64
SCRAPES: Final = 4
"""Scrapes at a time; more are told to come back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pages:
    """What is served. ``judge`` is None where everybody may scrape; ``store`` None where nobody may."""

    waiting_for: Callable[[], Sequence[str]]
    """What is not there yet; empty when ready."""
    store: Store | None = None
    judge: Callable[[str | None], Verdict] | None = None
    documents: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = field(default_factory=dict)
    """Path -> what makes a JSON document from the query; whoever reaches the server may read them.

    A ValueError is the asker's mistake, and its text is told.
    """


class Server(ThreadingHTTPServer):
    """Serves ``pages`` at (host, port), no host being every address; over TLS where there is a context."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], pages: Pages, tls: ssl.SSLContext | None = None) -> None:
        host, port = address
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = found[0]
        super().__init__((str(found[4][0]), port), _Handler)
        self.pages = pages
        self.scrapes = threading.BoundedSemaphore(SCRAPES)
        self._tls = tls
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._codes: dict[str, int] = {}
        self._codes_lock = threading.Lock()

    def start(self) -> None:
        """Serve in a thread of its own, until ``shutdown``."""
        threading.Thread(target=self.serve_forever, name="serve", daemon=True).start()

    def count(self, code: int) -> None:
        """Count an answer on /metrics."""
        with self._codes_lock:
            self._codes[str(code)] = self._codes.get(str(code), 0) + 1
            if self.pages.store is not None:
                self.pages.store.set("antenna_operator_scrapes_total", (str(code),), self._codes[str(code)])

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, if there is one left."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands here: not where others wait to be accepted."""
        try:
            request.settimeout(HEAD_SECONDS)
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
        except OSError:  # no TLS, or not in time
            self.shutdown_request(request)
        except Exception:  # nothing that a client sends ends more than its connection
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        else:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves or lingers is no error of ours; anything else is logged."""
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        _log.log(level, "a connection of %s ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "antenna-operator"
    sys_version = ""
    disable_nagle_algorithm = True
    server: Server

    def handle_one_request(self) -> None:
        """Read the head against the clock, then let the library parse it."""
        try:
            head = self._head()
            if not head:
                self.close_connection = True
                return
            self.rfile = io.BufferedReader(io.BytesIO(head))
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer one request."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a GET with a body: not read
        path, _, query = self.path.partition("?")
        if path in self.server.pages.documents:
            self._document(path, query)
            return
        match path:
            case "/metrics" if self.server.pages.store is not None:
                self.server.count(self._metrics(self.server.pages.store))
            case "/healthz":
                self._say(200, "ok")
            case "/readyz":
                waiting = self.server.pages.waiting_for()
                self._say(503 if waiting else 200, f"waiting for {', '.join(waiting)}" if waiting else "ok")
            case _:
                self._say(404, "there are /metrics, /healthz and /readyz")

    def log_message(self, format: str, *args: Any) -> None:
        """Only for who looks closely."""
        _log.debug(format, *args)

    def _metrics(self, store: Store) -> int:
        judge = self.server.pages.judge
        verdict = judge(self.headers.get("Authorization")) if judge else Verdict.ALLOWED
        if verdict is not Verdict.ALLOWED:
            return self._say(verdict, _REFUSALS[verdict])
        if waiting := self.server.pages.waiting_for():
            return self._say(503, f"waiting for {', '.join(waiting)}")
        if not self.server.scrapes.acquire(blocking=False):
            return self._say(503, "too many scrapes at a time")
        try:
            began = time.perf_counter()
            size = self._scrape(store)
            store.set("antenna_operator_scrape_duration_seconds", (), round(time.perf_counter() - began, 6))
            store.set("antenna_operator_scrape_size_bytes", (), size)
        finally:
            self.server.scrapes.release()
        return 200

    def _scrape(self, store: Store) -> int:
        accept = self.headers.get("Accept", "")
        packed = gzip_accepted(self.headers.get("Accept-Encoding", ""))
        if protobuf.preferred(accept):
            content_type, blocks = protobuf.CONTENT_TYPE, store.render_protobuf(compressed=packed)
        else:
            openmetrics = "openmetrics" in choose_encoder(accept)[1]
            content_type = CONTENT_TYPES[openmetrics]
            blocks = store.render_gzip(openmetrics) if packed else store.render(openmetrics)
        size = sum(map(len, blocks))
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(size))
        self.send_header("Vary", "Accept, Accept-Encoding")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        until = time.monotonic() + ANSWER_SECONDS
        for block in blocks:
            self.connection.settimeout(max(until - time.monotonic(), 0.001))
            self.connection.sendall(block)
        return size

    def _document(self, path: str, query: str) -> None:
        if not self.server.scrapes.acquire(blocking=False):
            self._say(503, "too many requests at a time")
            return
        try:
            document = self.server.pages.documents[path](dict(parse_qsl(query)))
        except ValueError as error:
            self._say(400, str(error))
        except Exception:
            _log.exception("%s could not be made", path)
            self._say(500, "the document could not be made; the operator's log says why")
        else:
            self._send(200, "application/json", json.dumps(document).encode())
        finally:
            self.server.scrapes.release()

    def _say(self, code: int, text: str) -> int:
        self._send(code, "text/plain; charset=utf-8", f"{text}\n".encode())
        return int(code)

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if code == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if code == 503:
            self.send_header("Retry-After", "5")
        self.end_headers()
        self.wfile.write(body)

    def _head(self) -> bytes:
        """The request's head, at most HEAD_BYTES in at most HEAD_SECONDS; empty where none comes."""
        head = b""
        self.connection.settimeout(IDLE_SECONDS)
        until = float("inf")
        while b"\r\n\r\n" not in head:
            if len(head) > HEAD_BYTES:
                self.requestline, self.request_version, self.command = "", self.protocol_version, ""
                self._say(431, "the request's head is too long")
                return b""
            part = self.connection.recv(4096)
            if not part:
                return b""
            if not head:
                until = time.monotonic() + HEAD_SECONDS
            head += part
            self.connection.settimeout(max(until - time.monotonic(), 0.001))
        self.connection.settimeout(HEAD_SECONDS)
        return head


_REFUSALS: Final = {
    Verdict.UNAUTHENTICATED: "a bearer token of audience antenna-operator is needed",
    Verdict.FORBIDDEN: "this token's owner may not get /metrics",
    Verdict.UNKNOWN: "the API server cannot be asked about this token",
}
