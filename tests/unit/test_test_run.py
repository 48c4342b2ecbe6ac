"""How a test run is distributed and what it says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests import prove
from tests.conftest import FOLDERS, HERE, group
from tests.summary import table

Outcome = Literal["passed", "failed", "skipped", "rerun"]


def report(nodeid: str, outcome: Outcome, seconds: float, longrepr: object = None) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid,
        ("", 0, ""),
        {},
        outcome,
        longrepr,  # type: ignore[arg-type]
        "call",
        duration=seconds,
    )


def test_the_table_says_what_ran_how_long_and_what_was_skipped_and_why() -> None:
    skipped = ("tests/live/test_truth.py", 39, "Skipped: a quarter of an hour")
    stats = {
        "passed": [report("tests/unit/a.py::a", "passed", 1.5), report("tests/live/b.py::b", "passed", 60.0)],
        # Set-ups that went well are filed under no outcome.
        "": [report("tests/live/b.py::b", "passed", 240.0)],
        "failed": [report("tests/unit/a.py::c", "failed", 0.6)],
        "skipped": [report("tests/live/test_truth.py::d", "skipped", 0.0, skipped)] * 2,
        "rerun": [report("tests/live/b.py::b", "rerun", 0.0)],
        "warnings": [object()],
    }
    assert list(table(stats)) == [
        "tests of    passed  failed  errors skipped  seconds",
        "live             1       0       0       2      300",
        "unit             1       1       0       0        2",
        "skipped in live: 2 - a quarter of an hour",
        "unsteady, failed at first: tests/live/b.py::b - call",
    ]
    assert list(table({})) == []


def test_what_shares_a_site_or_a_slurm_goes_to_one_worker_and_else_a_file_does() -> None:
    assert group(HERE / "live/test_up.py") == group(HERE / "live/test_readme.py") == "live"
    assert group(HERE / "remote/test_dispatch.py") == group(HERE / "remote/test_slurm_access.py")
    assert group(HERE / "cluster/test_why.py") != group(HERE / "cluster/test_truth.py")


def test_every_folder_of_tests_has_its_turn() -> None:
    folders = {path.parent.relative_to(HERE).parts[0] for path in HERE.rglob("test_*.py")}
    assert folders == set(FOLDERS)


@pytest.mark.parametrize("proof", prove.PROOFS, ids=lambda proof: proof.name)
def test_a_proof_names_tests_and_switches_that_there_are(proof: prove.Proof) -> None:
    files = [_file(name) for name in proof.tests if name.startswith("tests")]
    text = "".join(file.read_text() for file in files)
    assert all(switch in text for switch in proof.switches)


def test_an_unknown_proof_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        prove.main(["dispach"])
    assert ended.value.code == 2
    assert "there is no proof 'dispach'; there are: dispatch, outages" in capsys.readouterr().err


def _file(name: str) -> Path:
    return HERE.parent / (name if name.endswith(".py") else f"{name.replace('.', '/')}.py")
