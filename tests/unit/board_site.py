"""What the board stands on: real VictoriaMetrics, vmalert and Alertmanager, and an API server's reviews."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from infra.tools.build import binary, build
from infra.tools.pins import tool
from tests.ports import free_ports

SECONDS = 30
STEP = 15


@contextmanager
def running(argv: list[Any], log: Path, well: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program, once its address answers."""
    with log.open("w") as file, subprocess.Popen(argv, stdout=file, stderr=file) as process:
        try:
            until(lambda: answers(well), lambda: log.read_text()[-2000:])
            yield process
        finally:
            process.terminate()


@contextmanager
def store(folder: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A VictoriaMetrics with more flags: its URL, and its process."""
    pinned = tool("victoriametrics")
    build([pinned], lambda _: None)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    argv = [
        binary(pinned, "victoria-metrics"),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder}/data",
        "-memory.allowedBytes=64MB",
        *more,
    ]
    with running(argv, folder / "store.log", f"{url}/health") as process:
        yield url, process


@contextmanager
def judge(folder: Path, port: int, rules: Mapping[str, Any], store: str, told: str) -> Iterator[None]:
    """A vmalert at the port that judges the rules each second, and tells an Alertmanager."""
    (folder / "rules.yaml").write_text(json.dumps(rules))
    argv = [
        binary(tool("victoriametrics"), "vmalert"),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-rule={folder}/rules.yaml",
        f"-datasource.url={store}",
        f"-remoteWrite.url={store}",
        f"-notifier.url={told}",
        "-evaluationInterval=1s",
    ]
    with running(argv, folder / "judge.log", f"http://127.0.0.1:{port}/health"):
        yield


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """An Alertmanager that tells nobody: its URL."""
    pinned = tool("alertmanager")
    build([pinned], lambda _: None)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    config = folder / "alertmanager.yaml"
    config.write_text('{"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}')
    argv = [
        binary(pinned, "alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder}/alerts",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(argv, folder / "alertmanager.log", f"{url}/-/ready"):
        yield url


def plant(url: str, series: Iterable[tuple[str, Mapping[str, str], float]], *, until_ago: float = 0) -> None:
    """Samples of the last 10 minutes before that; those of counters (``_total``, ``_bucket``) rise from 0."""
    end = time.time() - until_ago
    lines = []
    for name, labels, value in series:
        rises = name.endswith(("_total", "_bucket"))
        inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
        for ago in range(600, -1, -STEP):
            part = (600 - ago) / 600 if rises else 1
            lines.append(f"{name}{{{inside}}} {value * part} {int((end - ago) * 1000)}")
    urlopen(Request(f"{url}/api/v1/import/prometheus", "\n".join(lines).encode()), timeout=20)  # noqa: S310
    urlopen(f"{url}/internal/force_flush", timeout=20)  # noqa: S310 (loopback)


@contextmanager
def target(text: str) -> Iterator[str]:
    """What a scraper can scrape: its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Handler) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server: its address."""
    (port,) = free_ports(1)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str, expression: str) -> list[Any]:
    """The store's own answer, now."""
    urlopen(f"{url}/internal/force_flush", timeout=20)  # noqa: S310 (loopback)
    answer = urlopen(f"{url}/api/v1/query?{urlencode({'query': expression, 'latency_offset': '1ms'})}")  # noqa: S310
    result: list[Any] = json.load(answer)["data"]["result"]
    return result


@dataclass
class Reviews:
    """An API server's TokenReview and SubjectAccessReview: tokens of users, and what each user may do."""

    tokens: dict[str, str] = field(default_factory=dict)
    rights: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    """User to (namespace, verb, resource)."""
    asked: list[str] = field(default_factory=list)
    """By whose word: the Authorization headers."""

    def review(self, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "tokenreviews":
            user = self.tokens.get(spec["token"])
            return {"authenticated": user is not None, "user": {"username": user, "groups": ["people"]}}
        assert spec["groups"] == ["people"]
        what = spec["resourceAttributes"]
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        allowed = (what["namespace"], what["verb"], resource) in self.rights.get(spec["user"], set())
        return {"allowed": allowed}

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Its URL."""
        reviews = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                reviews.asked.append(self.headers["Authorization"])
                spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
                body = json.dumps({"status": reviews.review(self.path.rpartition("/")[2], spec)}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with serving(Handler) as address:
            yield f"http://{address}"


def answers(url: str) -> bool:
    """Whether somebody does, and well."""
    try:
        urlopen(url, timeout=5).close()  # noqa: S310 (loopback)
    except (URLError, OSError):
        return False
    return True


def until(holds: Callable[[], bool], why: Callable[[], str]) -> None:
    """Wait for it. Fails the test with why it never did."""
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            pytest.fail(why())
        time.sleep(0.05)
