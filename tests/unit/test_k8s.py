"""Errors of the Kubernetes API as types, and what may be tried again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from operators.k8s import connect
from operators.k8s_errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotReady,
    Unreachable,
    api_error,
    patiently,
    status_of,
    why,
)


def status(code, message="", **others):
    return {"code": code, "message": message, **others}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404), NotFound),
        (status(409), Conflict),
        (status(403, "jobs is forbidden: User ..."), Forbidden),
        (status(422), Invalid),
        (status(400), ApiError),
        (status(429), NotReady),
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


def test_without_a_kubeconfig_there_is_no_cluster(tmp_path):
    with pytest.raises(Unreachable, match="bring the cluster up first"):
        connect(tmp_path / "kubeconfig")


def test_a_broken_kubeconfig_is_named(tmp_path):
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(Unreachable, match=r"kubeconfig .* cannot be used"):
        connect(tmp_path / "kubeconfig")


def test_importing_the_client_does_not_load_kubernetes():
    code = "import sys, operators.k8s; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
