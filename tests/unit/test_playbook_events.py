"""What a playbook run tells while it goes on, from ansible-runner's events, as two Ansibles send them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from playbooks.process import Outcome, drift, failure, follow
from playbooks.run import Events

DATA = {"host": "head", "play": "Base", "task": "base : Have the people's accounts"}


def outcome(*events: tuple[str, dict[str, Any]]) -> Outcome:
    """What becomes of events {kind: a task's result}."""
    out = io.StringIO()
    handler = Events(1, io.StringIO(), out)
    for kind, result in events:
        handler.handle({"event": kind, "event_data": {**DATA, "res": result}})
    told = Outcome(log=Path("/x"))
    for line in out.getvalue().splitlines():
        follow(json.loads(line), told, lambda _: None)
    return told


def test_a_change_in_a_loop_is_one_line_that_names_the_item() -> None:
    told = outcome(
        ("runner_item_on_ok", {"changed": False, "_ansible_item_label": "ana"}),
        ("runner_item_on_ok", {"changed": True, "_ansible_item_label": "bo"}),
        ("runner_on_ok", {"changed": True, "results": [{"changed": False}, {"changed": True}]}),
    )
    assert drift(told) == ["head: Have the people's accounts (bo): would change"]


def test_a_change_outside_of_a_loop_is_told_with_what_changes() -> None:
    told = outcome(("runner_on_ok", {"changed": True, "changes": ["/etc/hosts: 1 line"]}))
    assert drift(told) == ["head: Have the people's accounts: /etc/hosts: 1 line"]


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            {"msg": "non-zero return code", "rc": 3, "stderr": "etcd member is still there", "stdout": "a"},
            ["non-zero return code", "etcd member is still there"],
        ),
        (
            {"msg": "non-zero return code", "stderr": "", "stdout": "no room"},
            ["non-zero return code", "no room"],
        ),
        (
            # As ansible-core 2.21 says it of a `failed_when`.
            {"msg": "Action failed because failed_when was true.", "stderr": "no such member"},
            ["Action failed because failed_when was true.", "no such member"],
        ),
        ({"msg": "no room on /var", "module_stderr": "no room on /var"}, ["no room on /var"]),
        ({"msg": ["first", {"a": 1}]}, ["first", '{"a": 1}']),
        (
            {
                "msg": "One or more items failed",
                "results": [
                    {"failed": False, "_ansible_item_label": "ana"},
                    {"failed": True, "_ansible_item_label": "bo", "msg": "denied"},
                ],
            },
            ["bo: denied"],
        ),
        ({"exception": "Traceback"}, ["Traceback"]),
        ({}, ["it gave no reason"]),
    ],
)
def test_the_reason_of_a_failure_reaches_the_person(result: dict[str, Any], lines: list[str]) -> None:
    said = failure(outcome(("runner_on_failed", result)))
    assert said.splitlines() == [
        f"head: Have the people's accounts: {lines[0]}",
        *lines[1:],
        "The full log is /x",
    ]
