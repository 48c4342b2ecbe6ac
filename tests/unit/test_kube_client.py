"""Errors of the Kubernetes API as types, and what may be tried again."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest
import yaml

from operators.kube.client import connect
from operators.kube.errors import (
    ApiError,
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotReady,
    QuotaContended,
    Unreachable,
    api_error,
    patiently,
    status_of,
    while_busy,
    why,
)


def status(code, message="", **others):
    return {"code": code, "message": message, **others}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404), NotFound),
        (status(409), Conflict),
        (
            status(409, 'Operation cannot be fulfilled on jobs.batch "a": the object has been modified'),
            Conflict,
        ),
        (
            status(409, 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'),
            QuotaContended,
        ),
        (status(403, "jobs is forbidden: User ..."), Forbidden),
        (status(422), Invalid),
        (status(400), ApiError),
        (status(429), Busy),
        (status(503), NotReady),
        (status(500, "Internal error occurred: failed calling webhook: connection refused"), NotReady),
        (status(500, "conversion webhook for kueue.x-k8s.io/v1beta1 failed: Post"), NotReady),
        (status(500, "etcdserver: leader changed"), NotReady),
        (status(500, "Internal error occurred"), ApiError),
        (status(403, 'admission webhook "v" denied the request: no'), Forbidden),
        (status(403, "namespace x because it is being terminated"), NotReady),
    ],
)
def test_answers_become_types(answer, kind):
    assert type(api_error(answer)) is kind


def test_what_is_wrong_with_which_field_is_kept():
    causes = [{"field": "spec.a", "message": "too long"}, {"message": "no field"}]
    assert api_error(status(422, details={"causes": causes})).causes == ("spec.a: too long", "no field")


def test_an_answer_that_is_not_json_is_the_message():
    assert str(api_error(status_of(502, b"Bad Gateway\n"))) == "Bad Gateway"


def test_the_innermost_cause_is_told():
    inner = ConnectionRefusedError(111, "Connection refused")
    outer = RuntimeError("Max retries exceeded with url: /apis (Caused by ...)")
    outer.reason = inner
    assert why(outer) == "Connection refused"


def test_what_is_coming_up_is_tried_again_and_what_is_refused_is_not():
    told, calls = [], []
    for attempt in patiently(10, told.append):
        with attempt:
            calls.append(1)
            if len(calls) < 3:
                raise NotReady(503, "", "not yet")
    assert (len(calls), [str(error) for error in told]) == (3, ["not yet", "not yet"])
    with pytest.raises(Forbidden):
        for attempt in patiently(10, told.append):
            with attempt:
                raise Forbidden(403, "Forbidden", "no")


def test_a_server_that_is_busy_is_asked_again_and_another_error_is_one():
    calls = []

    def ask():
        calls.append(1)
        if len(calls) < 3:
            raise api_error(status_of(504, b"Timeout: request did not complete within requested timeout"))
        return "done"

    assert while_busy(10)(ask) == "done"
    with pytest.raises(NotReady):
        while_busy(10)(raising(api_error({"code": 500, "message": "failed calling webhook: no endpoints"})))


def raising(error):
    def raises():
        raise error

    return raises


def test_without_a_kubeconfig_there_is_no_cluster(tmp_path):
    with pytest.raises(Unreachable, match="bring the cluster up first"):
        connect(tmp_path / "kubeconfig")


def test_a_broken_kubeconfig_is_named(tmp_path):
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(Unreachable, match=r"kubeconfig .* cannot be used"):
        connect(tmp_path / "kubeconfig")


def test_importing_the_client_does_not_load_kubernetes():
    code = "import sys, operators.kube.client; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def answering(tmp_path):
    """Connects to a server that answers one request with these chunks; it waits for events among them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def connected(*chunks):
            def answer():
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for chunk in (*chunks, b""):
                        if isinstance(chunk, threading.Event):
                            chunk.wait(60)
                        else:
                            peer.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))

            threading.Thread(target=answer, daemon=True).start()
            cluster = {"server": f"http://127.0.0.1:{listener.getsockname()[1]}"}
            named = {"name": "a", "cluster": cluster, "context": {"cluster": "a", "user": "a"}, "user": {}}
            config = {"current-context": "a", "clusters": [named], "contexts": [named], "users": [named]}
            (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
            return connect(tmp_path / "kubeconfig")

        yield connected


def test_a_line_is_not_held_back_for_those_that_may_follow(answering):
    more = threading.Event()
    lines = answering(b'{"a":', b"1}\n", more, b"{}\n{}", b"\n\n{").lines("/watch", {}, silence=60)
    assert next(lines) == [b'{"a":1}']
    more.set()
    assert [line for some in lines for line in some] == [b"{}", b"{}"]


def test_lines_that_are_there_come_together(answering):
    count = 3000
    chunks = [b'{"number":%d}\n' % number for number in range(count)]
    some = list(answering(*chunks).lines("/watch", {}, silence=60))
    assert [line for lines in some for line in lines] == [chunk.strip() for chunk in chunks]
    assert len(some) < count
