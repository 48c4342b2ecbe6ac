"""The embedded engine does what the official engine does, operation by operation and in the state it leaves.

With `pulumi` on the PATH both are run and compared; without it the embedded engine is compared with what the
official one was seen to do (expected/, made by `pytest tests/engine --record`).
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.engine import LockedError

from .cases import CASES, Case, up
from .engines import Runner, Workshop, embedded, official, official_found, open_engine

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


@pytest.mark.skipif(not official_found(), reason="needs the official CLI on the PATH")
@pytest.mark.parametrize("case", [c for c in CASES if len(c.steps) > 1], ids=lambda case: case.name)
@pytest.mark.parametrize(
    "order", [(embedded, official), (official, embedded)], ids=["ours first", "ours second"]
)
def test_the_engines_take_turns(case: Case, order: tuple[Runner, Runner], workshop: Workshop) -> None:
    expected = json.loads(expectation(case).read_text())["steps"]
    for number, step in enumerate(case.steps):
        outcome = order[number % 2](workshop, step)
        for key in _COMPARED:
            assert outcome[key] == expected[number][key], f"step {number + 1}: {outcome['failed']}: {key}"


@pytest.mark.skipif(not official_found(), reason="needs the official CLI on the PATH")
def test_each_engine_respects_the_lock_of_the_other(workshop: Workshop) -> None:
    slow = up('Thing("a", seconds=20)')
    assert embedded(workshop, up(""))["ok"]
    workshop.prepare(slow)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(official, workshop, slow)
        workshop.wait_for_calls(1)
        with pytest.raises(LockedError, match="is locked by"):
            open_engine(workshop).up()
        assert running.result()["ok"]
        running = pool.submit(embedded, workshop, up('Thing("a", seconds=20, value="x")'))
        workshop.wait_for_calls(2)
        assert "currently locked" in official(workshop, up('Thing("a", seconds=20, value="x")'))["failed"][0]
        assert running.result()["ok"]
