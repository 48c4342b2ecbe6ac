"""`antenna doctor`: everything that can be wrong, each with its fix."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from infra.cli.checks import gather
from infra.cli.checks import table as checks
from infra.cli.checks.table import Finding
from infra.cli.session import Session, Verb, epilog, options

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


@click.command(
    cls=Verb,
    epilog=epilog("antenna doctor", "antenna doctor --json | jq '.checks[] | select(.verdict == \"fail\")'"),
)
@options("stack", "config-file", "engine", "json")
@click.pass_obj
def doctor(session: Session) -> None:
    """Check the host, the site, the stack and the cluster. Touches nothing.

    A row each: ok, warn, fail or skip (nothing to judge), the cause, and the fix as a command.
    Exits with 1 when a check fails.
    """
    screen = session.begin("doctor")
    with screen.phase("looking"):
        findings = checks.run(gather.everything(session))
    failed = [f for f in findings if f.verdict.level == "fail"]
    if session.json:
        rows = [f.document() for f in findings]
        click.echo(json.dumps({"stack": session.stack, "ok": not failed, "checks": rows}, indent=2))
    else:
        screen.show(render(findings))
        warned = sum(f.verdict.level == "warn" for f in findings)
        style = "bold red" if failed else "bold green"
        screen.say(f"doctor: {len(failed)} failed, {warned} warnings, {len(findings)} checks", style)
    if failed:
        raise click.exceptions.Exit(1)


def render(findings: Sequence[Finding]) -> RenderableType:
    """A row a check; its fix below it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    about = ""
    for finding in findings:
        verdict = finding.verdict
        style = _STYLE[verdict.level]
        group = finding.check.about if finding.check.about != about else ""
        about = finding.check.about
        table.add_row(
            Text(group, "bold"), finding.check.name, Text(verdict.level, style), Text(verdict.cause)
        )
        if verdict.fix and verdict.level in ("warn", "fail"):
            table.add_row("", "", "", Text(f"-> {verdict.fix}", style))
    return table
