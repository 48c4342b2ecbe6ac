"""`antenna alerts`: what fires and what is pending, since when, whom to call, and the next command."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra import paths
from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views import alerts as alert_rows
from infra.cli.views.overview import age
from infra.cli.work import alerts as alert_facts
from infra.suggestion import suggestion
from monitoring import firing
from monitoring.firing import Labels, Row
from operators.kube import client
from operators.kube.errors import KubernetesError

_STYLE = {"firing": "bold red", "pending": "yellow", "silenced": "dim", "follows": "dim"}


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna alerts",
        "antenna alerts AntennaLinkDown   its runbook",
        "antenna alerts --json | jq '.alerts[] | select(.state == \"firing\")'",
    ),
)
@click.argument("alert", required=False)
@options("stack", "json")
@click.pass_obj
def alerts(session: Session, alert: str | None) -> None:
    """Show what fires and what is pending: since when, how often this night, whom to call, the next command.

    With the name of an ALERT, its runbook. Exits with 1 when something critical fires.
    """
    if alert is not None:
        click.echo(_page(alert))
        return
    screen = session.begin("alerts")
    rows, unknown = look(session.stack)
    if session.json:
        document = {"stack": session.stack, "unknown": unknown, "alerts": [row.document() for row in rows]}
        click.echo(json.dumps(document, indent=2))
    else:
        screen.show(render(rows, unknown, datetime.now(UTC)))
    if firing.critical(rows):
        raise click.exceptions.Exit(1)


def look(stack: str) -> tuple[list[Row], list[str]]:
    """The rows, and what could not be asked. Raises Failure where nobody knows of any alert."""
    unknown: list[str] = []
    told: list[Row] = []
    judged: list[Row] = []
    often: Counter[Labels] | None = None
    try:
        api = client.connect(paths.kubeconfig(stack))
        if alert_facts.is_sent(api):
            told = alert_facts.sent(api)
        else:
            unknown.append(
                "alerts are sent to nobody: the site's file has no site:oncall (docs/monitoring.md)"
            )
    except KubernetesError as error:
        unknown.append(f"who has been told is not known, Alertmanager does not answer: {error}")
    try:
        judged, often = alert_facts.judged(stack)
    except Failure as error:
        if not told and unknown:
            raise
        unknown.append(f"what is pending is not known: {error.message}")
    rows = alert_rows.with_pages(firing.merged(judged, told), alert_facts.pages(), stack)
    if often is not None:
        rows = [replace(row, times=often[row.labels]) for row in rows]
    return rows, unknown


def render(rows: Sequence[Row], unknown: Sequence[str], now: datetime) -> RenderableType:
    """A row an alert, and below it what to do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("ALERT", "STATE", "SINCE", "12 H"):
        table.add_column(column, no_wrap=True, justify="right" if column == "12 H" else "left")
    table.add_column("WHAT", overflow="fold")
    for row in rows:
        since = age((now - row.since).total_seconds())
        state = Text(row.state, _STYLE.get(row.state, ""))
        times = "" if row.times is None else f"{row.times}x"
        table.add_row(row.name, state, since, times, f"{row.severity}: {row.summary}")
        for word, text in (
            ("because", row.quiet),
            ("call", row.contact),
            ("runbook", row.runbook),
            ("->", row.command),
        ):
            if text:
                table.add_row("", "", "", "", Text(f"{word} {text}", "" if word == "->" else "dim"))
    firing = sum(row.state == "firing" for row in rows)
    summary = (
        f"{firing} firing, {len(rows) - firing} pending or quiet" if rows else "nothing fires or is pending"
    )
    parts: list[RenderableType] = [table, Text()] if rows else []
    return Group(
        *parts, Text(summary, "bold red" if firing else "bold"), *(Text(u, "yellow") for u in unknown)
    )


def _page(alert: str) -> str:
    pages = alert_facts.pages()
    if alert not in alert_rows.names():
        raise WrongInput(f"there is no alert {alert}", suggestion(alert, alert_rows.names()))
    return pages[alert][1]
