"""What all tests share: the closing word."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Say what to do next, before pytest's own last line."""
    if exitstatus == pytest.ExitCode.OK:
        terminalreporter.write_line("next: `make check` for what must hold beside the tests, then commit")
    elif exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(
            "next: `.venv/bin/pytest --last-failed` runs what failed again; "
            "ANTENNA_TEST_KEEP=1 leaves the tests' site up to look at"
        )
