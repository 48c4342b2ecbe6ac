"""`antenna links`: the tunnels to remote sites, and new keys for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click
from rich.table import Table
from rich.text import Text

from infra.cli.engines.events import Resource
from infra.cli.engines.open import open_engine, open_quietly
from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.verbs.tools import size
from infra.cli.views import overview
from infra.provider import link, tunnel
from infra.provider.kind import ProviderError


@dataclass(frozen=True)
class Row:
    """One link as it is now. Times in seconds, None where there is none; ``problem`` "" when all is well."""

    name: str
    up: bool
    endpoint: str
    carrier: str = ""
    handshake_age_seconds: float | None = None
    round_trip_seconds: float | None = None
    loss: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    problem: str = ""


@click.group(
    epilog=epilog(
        "antenna links",
        "antenna links --json | jq '.links[] | select(.up | not) | .name'",
        "antenna links rotate lumi",
    ),
    invoke_without_command=True,
)
@options("stack", "config-file", "engine", "json")
@click.pass_context
def links(ctx: click.Context) -> None:
    """Show the tunnels to remote sites: handshake, round trip, loss, traffic; or rotate their keys.

    A link that is up says nothing of the site behind it. Exits with 1 when a link is not as it should be.
    """
    if ctx.invoked_subcommand is None:
        list_links.invoke(ctx)


@links.command("list", cls=Verb)
@options("stack", "config-file", "engine", "json")
@click.pass_obj
def list_links(session: Session) -> None:
    """Show each link as it is now. Exits with 1 when one is not as it should be."""
    screen = session.begin("links")
    found = _links(session)
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(look, found))
    if session.json:
        click.echo(json.dumps({"stack": session.stack, "links": [asdict(row) for row in rows]}, indent=2))
    elif rows:
        screen.show(render(rows))
    else:
        screen.say(f"stack {session.stack} has no links; site:links in its file declares them")
    if any(row.problem for row in rows):
        raise click.exceptions.Exit(1)


@links.command(cls=Verb, epilog=epilog("antenna links rotate", "antenna links rotate lumi"))
@click.argument("name", required=False)
@options("stack", "config-file", "engine")
@click.pass_obj
def rotate(session: Session, name: str | None) -> None:
    """Give the link NAME, or all, new keys; what goes through it is not interrupted.

    The new keys carry the tunnel before the old ones go. Stopped anywhere, the link goes on.
    """
    screen = session.begin("links-rotate")
    found = _links(session)
    chosen = [r for r in found if name in (None, str(r.inputs["name"]))]
    if not chosen:
        there = ", ".join(str(r.inputs["name"]) for r in found) or "none"
        raise WrongInput(f"no link is called {name or 'anything'}", f"there are: {there}")
    for resource in chosen:
        title = f"link {resource.inputs['name']}"
        with screen.phase(title):
            link.rotate(resource.inputs, lambda line, title=title: screen.status(title, line))  # type: ignore[misc]
        screen.say(f"{title}: new keys in use", "bold green")
    # The state has the public keys; they are not what the machines have any more.
    outcome = open_engine(session, screen, touch=False).refresh(screen.event, targets=[r.urn for r in chosen])
    if not outcome.ok:
        again = session.command("refresh")
        raise Failure("the keys are new, the state has the old public ones", f"`{again}` reads the new ones")


def look(resource: Resource) -> Row:
    """One link, asked on both its machines. Never raises for one that is down: the row says so."""
    inputs = resource.inputs
    name, endpoint = str(inputs["name"]), str(inputs["endpoint"]["address"])
    try:
        told = tunnel.differences(inputs, link.look(inputs))
        measured = link.measure(inputs)
    except ProviderError as error:
        return Row(name, False, endpoint, problem=str(error))
    silent = "" if measured["up"] else "the other end does not answer"
    return Row(name, endpoint=endpoint, problem=next(iter(told), silent), **measured)


def render(rows: Sequence[Row]) -> Table:
    """The screen."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    numbers = ("HANDSHAKE", "ROUND TRIP", "LOSS", "RECEIVED", "SENT")
    broken = any(row.problem for row in rows)
    for column in ("LINK", "STATE", "ENDPOINT", "CARRIER", *numbers, *(["PROBLEM"] if broken else [])):
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        trip = row.round_trip_seconds
        table.add_row(
            row.name,
            Text("up", "green") if row.up else Text("down", "red"),
            row.endpoint,
            row.carrier or "·",
            overview.age(row.handshake_age_seconds) or "·",
            "·" if trip is None else f"{trip * 1000:.1f} ms",
            "·" if row.loss is None else f"{row.loss:.0%}",
            size(row.received_bytes),
            size(row.sent_bytes),
            *([Text(row.problem, "red")] if broken else []),
        )
    return table


def _links(session: Session) -> list[Resource]:
    found = [r for r in open_quietly(session).resources() if r.kind == "Link"]
    return sorted(found, key=lambda resource: resource.name)
