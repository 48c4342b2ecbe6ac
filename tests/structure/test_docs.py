"""What the docs name is there."""

from __future__ import annotations

import re

import pytest

from tests.structure.test_imports import REPOSITORY

TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
INTERRUPTIONS = (REPOSITORY / "docs/interruptions.md").read_text()
ROWS = [
    line for line in INTERRUPTIONS.splitlines() if line.startswith("| ") and "what is interrupted" not in line
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_interruption_names_the_test_that_proves_it(row: str) -> None:
    named = TEST.findall(row.split("|")[4])
    assert named
    for file, test in named:
        assert f"def {test}(" in (REPOSITORY / file).read_text(), f"{file} has no {test}"
