"""`antenna budget`: what each partner may use, has used and has left, at every site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.cli.failure import Failure, WrongInput
from infra.cli.people.access import credentials, open_access, partner_of
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.work.documents import fetch
from infra.suggestion import suggestion
from operators.api import API_VERSION

Row = dict[str, Any]

NEARLY = 0.1
"""Below this part of what was allocated, what remains is shown in yellow."""


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna budget",
        "antenna budget --tenant ugent",
        "antenna budget --json | jq '.budgets[] | select(.site == \"lumi\") | .remaining'",
    ),
)
@click.option("--tenant", metavar="NAME", help="This partner's only.")
@options("stack", "json", "kubeconfig")
@click.pass_obj
def budget(session: Session, tenant: str | None) -> None:
    """Show what each partner may use, has used and has left, at every site, and how long it lasts.

    Reserved is what running and submitted jobs may use yet, up to their time limits. Local work has no
    budget: what was used this month is shown.
    """
    screen = session.begin("budget")
    told = of_person(session) if partner_of(credentials(session)) else fetch(session.stack, "/budgets")
    rows = of_tenant(told["budgets"], tenant)
    if session.json:
        click.echo(json.dumps({"stack": session.stack, **told, "budgets": rows}, indent=2))
    else:
        screen.show(render(rows))


def of_person(session: Session) -> dict[str, Any]:
    """The budgets of a person's own partner, as the operator has written them down. Raises Failure."""
    # The models take half a second, and administrators need none.
    from operators.api.budget import KIND, NAME, BudgetStatus, document_rows  # noqa: PLC0415

    with open_access(session) as access:
        found = access.api.find(API_VERSION, KIND, NAME, access.namespace)
    if not found or "status" not in found:
        raise Failure(f"nothing is known of a budget of {access.tenant} yet", "try again in a minute")
    status = BudgetStatus.model_validate(found["status"])
    return {"as_of": status.as_of, "budgets": document_rows(access.tenant, status)}


def of_tenant(rows: Sequence[Row], tenant: str | None) -> list[Row]:
    """By tenant and site, local last. Raises WrongInput for a tenant that nothing is known of."""
    known = sorted({row["tenant"] for row in rows})
    if tenant is not None and tenant not in known:
        raise WrongInput(f"nothing is known of a tenant {tenant}", suggestion(tenant, known))
    chosen = [row for row in rows if tenant in (None, row["tenant"])]
    return sorted(chosen, key=lambda row: (row["tenant"], row["site"] == "local", row["site"], row["unit"]))


def render(rows: Sequence[Row]) -> RenderableType:
    """A row an allocation; partners that used nothing and have nothing are left out."""
    told = [row for row in rows if row["allocated"] is not None or row["used"] or row["burn_per_day"]]
    if not told:
        return Text("no allocation is in force, and nothing was used this month")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("TENANT", "SITE"):
        table.add_column(column, no_wrap=True)
    for column in ("ALLOCATED", "USED", "RESERVED", "REMAINING", "BURN/DAY"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("UNIT", "EXHAUSTED", "SITE SAYS"):
        table.add_column(column, no_wrap=True)
    last = None
    for row in told:
        figures = (row[name] for name in ("allocated", "used", "reserved"))
        table.add_row(
            row["tenant"] if row["tenant"] != last else "",
            row["site"],
            *map(amount, figures),
            _remaining(row),
            amount(row["burn_per_day"]),
            row["unit"],
            _exhausted(row),
            _difference(row),
        )
        last = row["tenant"]
    return Group(table, *_notes(told))


def amount(value: float | None) -> str:
    """At most two decimals; a dot for nothing."""
    return f"{value:,.2f}".rstrip("0").rstrip(".") if value else "·"


def _remaining(row: Row) -> Text:
    left = row["remaining"]
    if left is None:
        return Text("·")
    style = "red" if left <= 0 else "yellow" if left < NEARLY * row["allocated"] else ""
    return Text(f"{left:,.2f}".rstrip("0").rstrip("."), style=style)


def _exhausted(row: Row) -> str:
    if row["allocated"] is None:
        return "·"
    return row["exhaustion"][:10] if row["exhaustion"] else "lasts"


def _difference(row: Row) -> Text:
    if row["difference"] is None:
        return Text("·")
    more = row["difference"]
    return Text("the same") if not round(more, 2) else Text(f"{more:+,.2f}", style="yellow")


def _notes(rows: Iterable[Row]) -> list[Text]:
    notes = []
    if any(row["exhaustion"] for row in rows):
        notes.append("EXHAUSTED: the day on which all is used if the last 7 days go on")
    if any(row["difference"] for row in rows):
        notes.append("SITE SAYS: how much more the site's own figure is; it is refreshed from time to time")
    return [Text(), *(Text(note, style="dim") for note in notes)] if notes else []
