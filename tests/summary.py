"""The table at the end of a test run: what ran and how long, what was skipped and why, what was unsteady."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

OUTCOMES = ("passed", "failed", "error", "skipped")
AGAIN = "rerun"
"""The outcome of a try that is followed by another."""


def table(stats: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """Lines, from pytest's reports by outcome. Seconds are work: side by side they pass faster."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    skipped: Counter[tuple[str, str]] = Counter()
    unsteady: dict[str, str] = {}
    for outcome, reports in stats.items():
        for report in reports:
            if not isinstance(report, pytest.TestReport):
                continue
            folder = report.nodeid.split("/")[1] if report.nodeid.count("/") else report.nodeid
            # Set-ups and tear-downs that went well are filed under no outcome.
            seconds[folder] += report.duration
            if outcome in OUTCOMES:
                counts[folder][outcome] += 1
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                skipped[folder, report.longrepr[2].removeprefix("Skipped: ")] += 1
            if outcome == AGAIN:
                unsteady.setdefault(report.nodeid, cause(report))
    if not counts:
        return
    yield f"{'tests of':<10}{'passed':>8}{'failed':>8}{'errors':>8}{'skipped':>8}{'seconds':>9}"
    for folder, of in sorted(counts.items(), key=lambda row: -seconds[row[0]]):
        yield (
            f"{folder:<10}{of['passed']:>8}{of['failed']:>8}{of['error']:>8}{of['skipped']:>8}"
            f"{seconds[folder]:>9.0f}"
        )
    for (folder, why), count in sorted(skipped.items()):
        yield f"skipped in {folder}: {count} - {why}"
    for nodeid, why in unsteady.items():
        yield f"unsteady, failed at first: {nodeid} - {why}"


def cause(report: pytest.TestReport) -> str:
    """The first line of what went wrong; the test's phase where nothing says it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).splitlines()[0] if crash and crash.message else str(report.when)
