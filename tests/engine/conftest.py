"""The suite's option and its workshops."""

from __future__ import annotations

from pathlib import Path

import pytest

from .engines import Workshop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="record what the official engine (on the PATH) does as expectations",
    )


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)
