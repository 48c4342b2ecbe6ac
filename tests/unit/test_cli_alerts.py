"""What `antenna alerts` makes of what the judge of the rules and Alertmanager say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from infra.cli import main
from infra.cli.verbs.alerts import render
from infra.cli.views.alerts import STEP_SECONDS, fired, first_command, with_pages
from infra.cli.work import alerts as alert_facts
from infra.cli.work import silences
from monitoring.firing import critical, judged, merged, sent
from monitoring.rules.alerts import ALERTS

AT = "2026-12-01T02:00:00.123456789Z"


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "alertgroup": "antenna-alerts", "severity": severity, **labels},
        "annotations": {"summary": f"{name} is so", "contact": "the team; lumi: CSC"},
        "fingerprint": name,
    }


def by_judge(name: str, state: str = "firing", severity: str = "critical", **labels: str) -> dict[str, Any]:
    return {**alert(name, severity, **labels), "state": state, "activeAt": AT}


def by_sender(name: str, severity: str = "critical", **more: Any) -> dict[str, Any]:
    labels = {key: value for key, value in more.items() if isinstance(value, str)}
    status = {"inhibitedBy": more.get("inhibited", []), "silencedBy": more.get("silenced", [])}
    return {**alert(name, severity, **labels), "startsAt": AT, "status": status}


def test_what_fires_says_whether_anybody_is_told_and_why_not() -> None:
    rows = merged(
        judged(
            [
                by_judge("Beat", severity="none"),
                by_judge("Stale", severity="warning", site="lumi"),
                by_judge("Waiting", state="pending"),
                by_judge("Link", link="lumi"),
                by_judge("Node", node="gpu-1"),
            ]
        ),
        sent(
            [
                by_sender("Link", link="lumi"),
                by_sender("Stale", severity="warning", site="lumi", inhibited=["Link"]),
                by_sender("Node", node="gpu-1", silenced=["s"]),
            ],
            [{"id": "s", "comment": "new fans"}],
        ),
    )
    assert [(row.name, row.state, row.quiet) for row in rows] == [
        ("Link", "firing", ""),
        ("Waiting", "pending", ""),
        ("Node", "silenced", "new fans"),
        ("Stale", "follows", "Link"),
    ]
    assert critical(rows) == ("Link: Link is so",)
    assert rows[0].since == datetime(2026, 12, 1, 2, 0, 0, 123456, tzinfo=UTC)


def test_an_alert_that_the_judge_no_longer_knows_is_shown_as_it_was_sent() -> None:
    (row,) = merged([], sent([by_sender("Link")], []))
    assert (row.name, row.state) == ("Link", "firing")


def test_how_often_is_how_often_it_began() -> None:
    moments = [0, 1, 2, 10, 11, 30]
    values = [[STEP_SECONDS * moment, "1"] for moment in moments]
    metric = {"__name__": "ALERTS", "alertstate": "firing", **alert("Link", link="lumi")["labels"]}
    (row,) = judged([by_judge("Link", link="lumi")])
    assert fired([{"metric": metric, "values": values}]) == {row.labels: 3}


def test_the_next_command_is_the_runbooks_first_with_what_is_known_filled_in() -> None:
    page = "# X\n\n## Diagnosis\n\nFirst:\n\n```sh\nssh -F /x/<stack>/c <node>     # log in\nls\n```\n"
    (row,) = with_pages(judged([by_judge("X", node="gpu-1")]), {"X": ("/r/X.md", page)}, "lab")
    assert (row.runbook, row.command) == ("/r/X.md", "ssh -F /x/lab/c gpu-1")
    assert first_command(page, {}) == "ssh -F /x/<stack>/c <node>"


@pytest.mark.parametrize("name", [one.name for one in ALERTS])
def test_every_alert_has_a_next_command(name: str) -> None:
    assert first_command(alert_facts.pages()[name][1], {"stack": "lab"})


def test_the_screen_has_whom_to_call_and_the_whole_path() -> None:
    rows = with_pages(judged([by_judge("AntennaLinkDown", link="lumi")]), alert_facts.pages(), "lab")
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(rows, ["one thing is not known"], datetime(2026, 12, 1, 2, 4, tzinfo=UTC)))
    text = console.export_text()
    for word in ("firing", "3m", "lumi: CSC", rows[0].runbook, "-> antenna links", "one thing is not known"):
        assert word in text


def test_a_runbook_is_shown_by_its_alerts_name() -> None:
    shown = CliRunner().invoke(main, ["alerts", "AntennaLinkDown"])
    assert shown.output.startswith("# AntennaLinkDown")
    wrong = CliRunner().invoke(main, ["alerts", "AntennaLinkDwn"])
    assert wrong.exit_code == 2
    assert "did you mean AntennaLinkDown?" in wrong.output


def test_a_maintenance_silences_the_site_and_its_links_and_nothing_else() -> None:
    begin = datetime(2026, 12, 1, 2, tzinfo=UTC)
    bodies = silences.wanted(
        "lumi", ["lumi-a"], begin=begin, lasts=timedelta(hours=2), author="me", reason="new switches"
    )
    assert [[(m["name"], m["value"]) for m in body["matchers"]] for body in bodies] == [
        [("site", "lumi")],
        [("link", "lumi-a")],
    ]
    assert {body["endsAt"] for body in bodies} == {"2026-12-01T04:00:00+00:00"}
    kept = [
        {**bodies[0], "id": "active", "status": {"state": "active"}},
        {**bodies[1], "id": "over", "status": {"state": "expired"}},
        {"comment": "somebody's own", "id": "other", "status": {"state": "active"}},
    ]
    assert silences.announced(kept, "lumi") == ["active"]
    assert silences.announced(kept, "lum") == []


@pytest.mark.parametrize(
    ("text", "lasts"),
    [("90m", timedelta(minutes=90)), ("2h", timedelta(hours=2)), ("14d", timedelta(days=14))],
)
def test_a_duration_is_a_number_and_a_unit(text: str, lasts: timedelta) -> None:
    assert silences.duration(text) == lasts


@pytest.mark.parametrize("text", ["2", "0h", "2 hours", "15d", "-1h", ""])
def test_what_is_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one such as|announce the rest later"):
        silences.duration(text)
