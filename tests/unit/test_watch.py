"""When the watchdog calls, and what it shows of a page."""

from __future__ import annotations

from typing import Any

import pytest

from infra.watch import Watch, is_beat, lines

PAGE: dict[str, Any] = {
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "AntennaLinkDown", "severity": "critical"},
            "annotations": {
                "summary": "Link lumi is down",
                "contact": "CSC",
                "runbook_url": "https://x/y.md",
            },
        },
        {"status": "resolved", "labels": {"alertname": "Other", "severity": "warning"}, "annotations": {}},
    ]
}
BEAT = {"alerts": [{"status": "firing", "labels": {"alertname": "AntennaWatchdog"}}]}


def test_it_calls_once_when_no_beat_has_come_for_that_long_and_again_much_later() -> None:
    watch = Watch(after=150, again=3600, beat=1000)
    assert not watch.is_due(1149.9)
    assert watch.is_due(1150)
    called = watch.with_call(1150)
    assert not called.is_due(4749)
    assert called.is_due(4750)


def test_a_beat_ends_it() -> None:
    watch = Watch(after=150, again=3600, beat=1000).with_call(1150).with_beat(1200)
    assert not watch.is_due(1349)
    assert watch.is_due(1350)


@pytest.mark.parametrize(("notification", "beat"), [(BEAT, True), (PAGE, False), ({}, False)])
def test_beats_are_told_from_pages(notification: dict[str, Any], beat: bool) -> None:
    assert is_beat(notification) == beat


def test_a_page_says_whom_to_call_while_it_fires() -> None:
    assert list(lines(PAGE)) == [
        "firing critical: Link lumi is down; call CSC; https://x/y.md",
        "resolved warning: Other",
    ]
