"""What all tests share: which may run side by side, and the closing word.

``make test`` runs several pytest workers (pytest-xdist). A group of tests goes to one worker, which runs it
in order: what raises a thing once for many tests (a site, a Slurm, a control plane) is one group.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.scheduler.protocol import Scheduling

from tests.summary import AGAIN, cause, table

HERE = Path(__file__).parent

FOLDERS = ("live", "remote", "cluster", "host", "engine", "unit", "structure")
"""As they begin: first what waits longest for others, last what fills the processors meanwhile."""

NICE = 5
"""Of all folders' tests but the first's, where there are several workers: a third of what those get."""

LAST = "test_readme.py"
"""The README ends with `make down`: nothing can be tested on the site after it."""

ONE_GROUP = frozenset({"live", "remote", "host"})
"""Folders whose tests share what they raise: a site, a Slurm, a bridge of this host."""


class ByGroup(LoadScopeScheduling):
    """Gives each worker a group, and the next one when it is nearly through with it.

    Not xdist's own `loadgroup`: 3.8.0 writes a group into a test's id in a way that pytest 9.2 does not read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(HERE.parent / nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Distribute by group, whatever `--dist` says."""
    return ByGroup(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the folders, where there are several workers."""
    side_by_side = hasattr(config, "workerinput")
    items.sort(
        key=lambda item: (FOLDERS.index(folder(item.path)) if side_by_side else 0, item.path.name == LAST)
    )


def pytest_runtest_logstart(nodeid: str, location: tuple[str, int | None, str]) -> None:
    """Let the first folder's tests have the processors when they want them: a run lasts as long as they."""
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:
        first = folder(HERE.parent / location[0]) == FOLDERS[0]
        # What a test starts inherits it. Only root may take it back.
        os.setpriority(os.PRIO_PROCESS, 0, 0 if first else NICE)


def folder(path: Path) -> str:
    """Of tests/ that a test lies in."""
    return path.relative_to(HERE).parts[0]


def group(path: Path) -> str:
    """The tests that go to the same worker: a folder's, or else a file's, which share its fixtures."""
    of = folder(path)
    return of if of in ONE_GROUP else path.relative_to(HERE).as_posix()


class Failures:
    """Tells of a failure when it happens: a run takes long, and its own account comes at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """On a line of its own, with the first line of what went wrong."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        again = str(report.outcome) == AGAIN
        if (report.failed or again) and terminal:
            terminal.ensure_newline()
            what = "failed, tried again" if again else "failed"
            terminal.write_line(f"{what}: {report.nodeid} ({report.when}): {cause(report)}")


def pytest_configure(config: pytest.Config) -> None:
    """Only where reports end up, not in each worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Say what ran, what did not and what to do next, before pytest's own last line."""
    for line in table(terminalreporter.stats):
        terminalreporter.write_line(line)
    if exitstatus == pytest.ExitCode.OK:
        terminalreporter.write_line("next: `make check` for what must hold beside the tests, then commit")
    elif exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(
            "next: `.venv/bin/pytest --last-failed` runs what failed again; "
            "ANTENNA_TEST_KEEP=1 leaves the tests' site up to look at"
        )
