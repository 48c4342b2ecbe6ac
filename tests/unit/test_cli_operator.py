"""How the operator is judged, from what the cluster and it say; each verdict is one line with its fix."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.cli.checks import operator_facts
from infra.cli.checks.facts import Operator
from infra.cli.checks.operator import errors, judge, pod_state, unasked
from operators.kube.errors import ApiError, NotFound, Unreachable

WELL = Operator(deployed=True, wanted=1, ready=True, stalest="jobs", age=3.2)
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "level", "cause", "fix"),
    [
        (WELL, "ok", "ready; its figures are at most 3 s old", ""),
        (Operator(), "fail", "it is not deployed", "antenna up --refresh"),
        (
            replace(WELL, wanted=0, ready=False),
            *("fail", "scaled to 0", "scale deployment antenna-operator --replicas=1"),
        ),
        (
            replace(WELL, ready=False, unlisted=("workloads",), errors=12, error="x: no attribute"),
            "fail",
            "not ready: still waiting for workloads; 12 errors in its log within a minute, the last: x: no",
            "logs deployment/antenna-operator",
        ),
        (replace(WELL, ready=False, state="CrashLoopBackOff"), "fail", "not ready: CrashLoop", "runbooks/"),
        (replace(WELL, ready=False), "fail", "not ready: its pod is not ready yet", "logs deployment"),
        (replace(WELL, age=61.0), "fail", "its figures of jobs are 61 s old", "rollout restart"),
        (replace(WELL, age=60.0), "ok", "at most 60 s", ""),
        (replace(WELL, silent="no route"), "fail", "how old its figures are: no route", "rollout restart"),
        (replace(WELL, errors=1, error="a: b"), "warn", "ready; 1 error in its log", "--tail=20"),
    ],
)
def test_each_state_of_the_operator_has_one_line_and_a_fix(
    found: Operator, level: str, cause: str, fix: str
) -> None:
    verdict = judge(found, "antenna up")
    assert verdict.level == level
    assert cause in verdict.cause
    assert fix in verdict.fix
    assert "\n" not in verdict.cause + verdict.fix


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        (None, False),
        ({}, False),
        ({"holderIdentity": "", "renewTime": "2026-05-04T11:59:59.5Z", "leaseDurationSeconds": 90}, False),
        ({"holderIdentity": "a", "renewTime": "2026-05-04T11:58:31.5Z", "leaseDurationSeconds": 90}, True),
        ({"holderIdentity": "a", "renewTime": "2026-05-04T11:58:29.5Z", "leaseDurationSeconds": 90}, False),
    ],
)
def test_sites_are_asked_while_somebody_holds_the_lease(spec: Any, asked: bool) -> None:
    said = unasked(None if spec is None else {"spec": spec}, NOW)
    assert said == ("" if asked else "not asked: the operator does not run")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                        "lastState": {"terminated": {"exitCode": 1}},
                    }
                ]
            },
            "CrashLoopBackOff (back-off 40s), it ended with 1 before",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}]},
            "0/3 nodes fit",
        ),
        ({"phase": "Pending"}, "its pod is Pending"),
        ({"phase": "Running"}, "its pod has just begun"),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], said: str) -> None:
    assert pod_state({"status": status}) == said


def test_errors_of_a_log_are_its_lines_of_that_level_whatever_else_stands_in_it() -> None:
    def line(level: str, message: str) -> str:
        return json.dumps({"level": level, "logger": "x", "message": message})

    lines = [line("error", "one"), "Traceback", line("warning", "no"), '{"cut', line("critical", "two"), "7"]
    assert errors(lines) == ["x: one", "x: two"]


class Api:
    """Answers as an API server with one pod of the operator."""

    def __init__(self, *, replicas: int = 1, ready: str = "True", streams: Any = None, log: str = "") -> None:
        self.deployment = {"spec": {"replicas": replicas}, "status": {}}
        conditions = [{"type": "Ready", "status": ready}]
        metadata = {"name": "o-1", "creationTimestamp": "2026-05-04T12:00:00Z"}
        status = {"phase": "Running", "conditions": conditions}
        self.pods = [{"metadata": metadata, "status": status}] if replicas else []
        self.streams, self.log = streams, log

    def find(self, *_: str) -> Any:
        return self.deployment

    def list_objects(self, *_: str, **__: str) -> Any:
        return self.pods

    def request(self, _method: str, path: str, **_: Any) -> Any:
        assert path == "/api/v1/namespaces/antenna-system/pods/o-1:8081/proxy/streams"
        if isinstance(self.streams, Exception):
            raise self.streams
        return self.streams

    def read(self, path: str, query: dict[str, str], **_: Any) -> bytes:
        assert path.endswith("/pods/o-1/log")
        assert query["sinceSeconds"] == "60"
        if not self.log:
            raise NotFound(404, "NotFound", "no log yet")
        return self.log.encode()


def stream(resource: str, age: float, *, listed: bool = True) -> dict[str, Any]:
    return {"resource": resource, "listed": listed, "age_seconds": age, "objects": 1, "errors": 0}


def look(**how: Any) -> Operator:
    return operator_facts.look(Api(**how))  # type: ignore[arg-type]


def test_a_ready_operator_is_as_old_as_its_oldest_stream() -> None:
    found = look(streams={"streams": [stream("jobs", 2), stream("pods", 70), stream("nodes", 1)]})
    assert (found.ready, found.stalest, found.age, found.unlisted) == (True, "pods", 70.0, ())


def test_one_that_is_not_ready_says_what_it_waits_for_and_its_last_error() -> None:
    told = json.dumps({"level": "error", "logger": "operators.stream", "message": "workloads: failed"})
    found = look(
        ready="False",
        streams={"streams": [stream("jobs", 2), stream("workloads", 9, listed=False)]},
        log=f"{told}\n{told}\n",
    )
    assert (found.ready, found.unlisted, found.state) == (False, ("workloads",), "")
    assert (found.errors, found.error) == (2, "operators.stream: workloads: failed")


def test_one_without_a_pod_or_an_answer_says_so() -> None:
    assert look(replicas=0).wanted == 0
    gone = look(ready="False", streams=Unreachable("no route"))
    assert (gone.state, gone.silent) == ("its pod has just begun", "")
    assert look(streams=ApiError(503, "ServiceUnavailable", "no endpoints")).silent == "no endpoints"
    assert "another version" in look(streams="there are /metrics, /healthz and /readyz").silent
