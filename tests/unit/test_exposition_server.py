"""The server over real sockets: formats, refusals, and clients that mean harm."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from operators.exposition import server as module
from operators.exposition import tls
from operators.exposition.access import Verdict
from operators.exposition.protobuf import preferred
from operators.exposition.server import Pages, Server
from operators.exposition.store import Store
from operators.histogram import Histogram
from tests.cluster.patience import eventually
from tests.unit.messages import figures, native, read_messages

TEXT = ("text/plain; version=0.0.4; charset=utf-8", read_text)
OPENMETRICS = ("application/openmetrics-text; version=1.0.0; charset=utf-8", read_openmetrics)
EVENTS = "antenna_operator_events_total"


@pytest.fixture
def store():
    store = Store(FAMILIES)
    store.set(EVENTS, ("jobs", "ADDED"), 3)
    return store


@pytest.fixture
def serve():
    running = []

    def start(pages, context=None):
        server = Server(("127.0.0.1", 0), pages, context)
        server.start()
        running.append(server)
        return server.server_address[1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def get(port, path="/metrics", scheme="http", context=None, **headers):
    """(status, headers, body)."""
    request = urllib.request.Request(  # noqa: S310 (loopback)
        f"{scheme}://localhost:{port}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def nothing():
    return []


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", TEXT),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
            OPENMETRICS,
        ),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_scraper_gets_the_format_that_it_asks_for(serve, store, accept, form, encoding):
    content_type, parse = form
    port = serve(Pages(nothing, store))
    status, headers, body = get(port, Accept=accept, Accept_Encoding=encoding)
    assert (status, headers["Content-Type"]) == (200, content_type)
    assert headers.get("Content-Encoding") == ("gzip" if encoding == "gzip" else None)
    assert int(headers["Content-Length"]) == len(body)
    text = (gzip.decompress(body) if encoding == "gzip" else body).decode()
    assert {s.name: s.value for f in parse(text) for s in f.samples}[EVENTS] == 3


NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus sends where it is told to scrape native histograms."""


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_scraper_of_native_histograms_gets_protobuf(serve, store, encoding):
    store.histogram(
        "antenna_job_wait_seconds", ("local", "q", "t"), Histogram([(1.0, 2)], 9, 3, 1, ((27, 2),))
    )
    port = serve(Pages(nothing, store))
    status, headers, body = get(port, Accept=NATIVE, Accept_Encoding=encoding)
    assert (status, headers["Content-Type"]) == (
        200,
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    )
    assert headers.get("Content-Encoding") == ("gzip" if encoding == "gzip" else None)
    assert int(headers["Content-Length"]) == len(body)
    found = read_messages(gzip.decompress(body) if encoding == "gzip" else body)
    assert figures(found)[EVENTS, (("resource", "jobs"), ("type", "ADDED"))] == 3
    (metric,) = found["antenna_job_wait_seconds"].metric
    assert (native(metric.histogram), metric.histogram.zero_count) == ({27: 2}, 1)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (NATIVE, True),
        (NATIVE.replace("q=0.6", "q=0.4"), False),
        (NATIVE.replace("q=0.6", "q=0"), False),
        (NATIVE.replace("delimited", "text"), False),
        (NATIVE.replace("MetricFamily", "Other"), False),
        (NATIVE.partition(",")[0], True),
        ("application/vnd.google.protobuf", False),
        (
            "application/vnd.google.protobuf ; encoding=delimited ; proto=io.prometheus.client.MetricFamily",
            True,
        ),
        ("text/plain;q=much,*/*;q=0.1", False),
        ("", False),
        (",;,q=", False),
    ],
)
def test_protobuf_is_for_who_likes_it_best(accept, wanted):
    assert preferred(accept) is wanted


def test_scrapes_tell_of_the_ones_before(serve, store):
    port = serve(Pages(nothing, store))
    _, _, first = get(port)
    time.sleep(0.1)  # the figures are set when the last byte is out
    text = get(port)[2].decode()
    assert f"antenna_operator_scrape_size_bytes {len(first)}\n" in text
    assert 'antenna_operator_scrapes_total{code="200"} 1\n' in text
    assert "antenna_operator_scrape_duration_seconds 0." in text


@pytest.mark.parametrize("verdict", [Verdict.UNAUTHENTICATED, Verdict.FORBIDDEN, Verdict.UNKNOWN])
def test_who_may_not_scrape_is_told_why_and_nothing_else(serve, store, verdict):
    asked = []
    port = serve(Pages(nothing, store, lambda header: asked.append(header) or verdict))
    status, headers, body = get(port, Authorization="Bearer abc")
    assert (status, asked) == (verdict, ["Bearer abc"])
    assert EVENTS.encode() not in body
    assert headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert get(port, "/healthz")[0] == 200


def test_nothing_half_read_is_shown(serve, store):
    waiting = ["jobs", "nodes"]
    port = serve(Pages(lambda: waiting, store))
    assert get(port)[::2] == (503, b"waiting for jobs, nodes\n")
    assert get(port, "/readyz")[::2] == (503, b"waiting for jobs, nodes\n")
    assert get(port, "/healthz")[0] == 200
    waiting.clear()
    assert get(port)[0] == get(port, "/readyz")[0] == 200


def test_the_health_port_shows_no_metrics(serve):
    port = serve(Pages(nothing))
    assert get(port, "/metrics")[0] == 404
    assert get(port, "/readyz")[0] == 200


def test_other_paths_and_methods_are_refused(serve, store):
    port = serve(Pages(nothing, store))
    assert get(port, "/")[0] == 404
    with closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert client.recv(4096).startswith(b"HTTP/1.1 501")


def test_a_scraper_keeps_its_connection(serve, store):
    port = serve(Pages(nothing, store))
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        sockets = []
        for _ in range(3):
            client.request("GET", "/metrics")
            client.getresponse().read()
            sockets.append(client.sock)
    assert sockets[0] is not None
    assert len(set(sockets)) == 1


def test_tls_with_the_operators_own_certificate(serve, store, tmp_path):
    pem = tls.certificate(tmp_path)
    assert tls.certificate(tmp_path) == pem, "kept over a restart"
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
    port = serve(Pages(nothing, store), tls.context(tmp_path))
    trusting = ssl.create_default_context(cadata=pem)
    assert get(port, scheme="https", context=trusting)[0] == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(port, scheme="https", context=ssl.create_default_context())


def test_a_client_that_never_shakes_hands_holds_up_nobody(serve, store, tmp_path):
    pem = tls.certificate(tmp_path)
    port = serve(Pages(nothing, store), tls.context(tmp_path))
    trusting = ssl.create_default_context(cadata=pem)
    with (
        closing(socket.create_connection(("127.0.0.1", port), 5)),
        closing(socket.create_connection(("127.0.0.1", port), 5)) as noise,
    ):
        noise.sendall(b"\x00" * 100)
        assert get(port, scheme="https", context=trusting)[0] == 200


def test_a_head_without_end_is_cut(serve, store):
    port = serve(Pages(nothing, store))
    with closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X-A: " + b"a" * (module.HEAD_BYTES + 5000))
        assert client.recv(4096).startswith(b"HTTP/1.1 431")
        assert get(port)[0] == 200


def test_a_head_that_trickles_in_is_cut(serve, store, monkeypatch):
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.5)
    port = serve(Pages(nothing, store))
    began = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises(OSError):
            while time.monotonic() < began + 5:
                client.sendall(b"A")
                time.sleep(0.1)
    assert time.monotonic() - began < 4


def test_a_client_that_does_not_read_is_left(serve, store, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    big = Store(FAMILIES)
    for number in range(100_000):
        big.set(EVENTS, (f"{number:0100d}", "ADDED"), number)
    port = serve(Pages(nothing, big))
    others = set(threading.enumerate())
    with closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: set(threading.enumerate()) - others, 60)
        eventually(lambda: not set(threading.enumerate()) - others, 60)
    assert get(port, "/healthz")[0] == 200


def test_connections_and_scrapes_are_limited(serve, store, monkeypatch):
    monkeypatch.setattr(module, "CONNECTIONS", 3)
    monkeypatch.setattr(module, "SCRAPES", 1)
    entered, leave = threading.Event(), threading.Event()

    def slow():
        entered.set()
        leave.wait(60)

    store.on_scrape(slow)
    port = serve(Pages(nothing, store))
    scrape = threading.Thread(target=get, args=(port,))
    scrape.start()
    entered.wait(10)
    assert get(port)[::2] == (503, b"too many scrapes at a time\n")
    with ExitStack() as idle:

        def one_more_is_refused():
            idle.enter_context(closing(socket.create_connection(("127.0.0.1", port), 5)))
            try:
                get(port, "/healthz")
            except OSError:
                return True
            return False

        # Two of them fill it up, or some more where the refused scrape still counted when one came.
        assert any(one_more_is_refused() for _ in range(5))
    leave.set()
    scrape.join()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert get(port, "/healthz")[0] == 200
            break
        except OSError:
            time.sleep(0.1)
