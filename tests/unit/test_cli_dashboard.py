"""`antenna dashboard`, with the real kubectl where there is no cluster; with one, tests/live has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli import main


def test_a_site_that_is_not_up_has_no_graphs_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    shown = CliRunner().invoke(main, ["dashboard"])
    assert shown.exit_code == 1
    assert "cannot be reached" in shown.output
    assert "kubeconfig" in shown.output
    assert "doctor" in shown.output
    assert "Traceback" not in shown.output
