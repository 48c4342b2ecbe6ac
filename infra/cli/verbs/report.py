"""`antenna report`: what was used in a period, as CSV, JSON and a page with charts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click

from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views.report_figures import Partner, figures
from infra.cli.views.report_files import write
from infra.cli.work.documents import fetch, local_kwh

Document = dict[str, Any]

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna report --from 2026-01-01 --to 2026-01-31",
        "antenna report --from 2026-01-01 --to 2026-03-31 --output q1",
        "antenna report --json | jq .funders",
    ),
)
@click.option("--from", "first", type=DAY, help="The first day; by default the first of this month.")
@click.option("--to", "last", type=DAY, help="The last day; by default today.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to; by default antenna-report-FROM-TO. Files of an earlier report there are replaced.",
)
@options("stack", "config-file", "json")
@click.pass_obj
def report(session: Session, first: datetime | None, last: datetime | None, output: Path | None) -> None:
    """Write what was used in a period, split by partner, ecosystem, sector and funder, as files.

    They are usage.csv, budgets.csv, report.json and report.html, of the Antenna's own GPUs and of remote
    sites. The page needs nothing from any network. Days are those of UTC.
    """
    screen = session.begin("report")
    today = datetime.now(UTC).date()
    begin = first.date() if first else today.replace(day=1)
    end = last.date() if last else max(today, begin)
    if end < begin:
        raise WrongInput(f"--to {end} is before --from {begin}", "swap them")
    site = session.site()
    found = gather(session.stack, begin, end)
    partners = {t.name: Partner(t.title, t.ecosystem, t.sectors[0]) for t in site.tenants}
    shares = {str(funder): share for funder, share in site.funding.shares.items()}
    told = figures(*found, shares=shares, partners=partners)
    folder = output or Path(f"antenna-report-{begin}-{end}")
    try:
        written = write(folder, session.stack, told)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror or error}", "another folder: --output DIR") from error
    if session.json:
        click.echo(json.dumps(told.document(), indent=2))
        return
    for path in written:
        screen.say(str(path))


def gather(stack: str, begin: date, end: date) -> tuple[Document, list[Document], dict[str, float] | None]:
    """(the operator's usage, its budgets, kWh by tenant as measured here or None)."""
    since, until = _midnight(begin), _midnight(end + timedelta(days=1))
    usage = fetch(stack, "/usage", **{"from": since, "to": until})
    budgets = fetch(stack, "/budgets")["budgets"]
    now = int(datetime.now(UTC).timestamp())
    measured: dict[str, float] | None
    try:
        measured = local_kwh(stack, since, min(until, now)) if since < now else {}
    except Failure:
        # The report says that local energy is unknown; the rest of it is right all the same.
        measured = None
    return usage, budgets, measured


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
