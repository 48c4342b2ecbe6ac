"""The embedded engine does what the official engine does, operation by operation and in the state it leaves.

With `pulumi` on the PATH both are run and compared; without it the embedded engine is compared with what the
official one was seen to do (expected/, made by `pytest tests/engine --record`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .cases import CASES, Case
from .engines import Runner, Workshop, embedded, official, official_found

_EXPECTED = Path(__file__).parent / "expected"
# What of a step is compared; the failures' wording is each engine's own.
_COMPARED = ("ok", "ops", "changes", "state")


def outcomes(case: Case, engine: Runner, workshop: Workshop) -> list[dict[str, Any]]:
    return [engine(workshop, step) for step in case.steps]


def expectation(case: Case) -> Path:
    return _EXPECTED / f"{re.sub('[^a-z]+', '-', case.name)}.json"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_does_what_the_official_engine_does(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    record = request.config.getoption("--record", default=False)
    if official_found():
        seen = [
            {key: outcome[key] for key in _COMPARED}
            for outcome in outcomes(case, official, Workshop(tmp_path / "official"))
        ]
        if record:
            document = {
                "generated": "by `pytest tests/engine --record` from the official engine",
                "steps": seen,
            }
            expectation(case).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    elif record:
        pytest.fail("--record needs `pulumi` on the PATH")
    else:
        seen = json.loads(expectation(case).read_text())["steps"]
    for number, (expected, outcome) in enumerate(
        zip(seen, outcomes(case, embedded, Workshop(tmp_path / "embedded")), strict=True), start=1
    ):
        told = f"step {number} ({case.steps[number - 1].op}): {outcome['failed']}"
        for key in _COMPARED:
            assert outcome[key] == expected[key], f"{told}: {key}"


@pytest.mark.skipif(not official_found(), reason="needs the official CLI on the PATH")
@pytest.mark.parametrize("case", [c for c in CASES if c.steps[-1].op == "up"], ids=lambda case: case.name)
@pytest.mark.parametrize(("first", "second"), [(embedded, official), (official, embedded)])
def test_the_other_engine_finds_nothing_to_change(
    case: Case, first: Runner, second: Runner, workshop: Workshop
) -> None:
    last = [first(workshop, step) for step in case.steps][-1]
    if not last["ok"]:
        pytest.skip("the case ends with a failure")
    step = type(case.steps[-1])("preview", case.steps[-1].program, targets=case.steps[-1].targets)
    outcome = second(workshop, step)
    assert outcome["ok"], outcome["failed"]
    assert {op for op, _ in outcome["ops"]} <= {"same"}
