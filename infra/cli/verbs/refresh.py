"""`antenna refresh`: compare what is there with what was made."""

from __future__ import annotations

import json

import click

from infra.cli.engines.events import drift, is_ours
from infra.cli.engines.open import open_engine
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.verbs.up import raise_unless_ok


@click.command(cls=Verb, epilog=epilog("antenna refresh", "antenna refresh --json"))
@options("stack", "config-file", "engine", "json", "yes")
@click.pass_obj
def refresh(session: Session) -> None:
    """Compare machines, nodes and cluster objects with what was made; name each difference.

    Changes nothing but the state; `antenna up` mends what was found.
    """
    screen = session.begin("refresh")
    engine = open_engine(session, screen, touch=True)
    before = engine.resources()
    if any(is_ours(r.urn) for r in before):
        screen.log.open()
        with screen.phase("refresh"):
            outcome = engine.refresh(screen.event)
        raise_unless_ok(outcome, session, screen)
    found = drift(before, engine.resources())
    if session.json:
        steps = [{"kind": d.kind, "name": d.name, "drift": list(d.lines)} for d in found]
        click.echo(json.dumps({"stack": session.stack, "steps": steps}, indent=2))
        return
    for kind, name, line in ((d.kind, d.name, line) for d in found for line in d.lines):
        screen.say(f"  drift        {kind} {name}: {line}", "yellow")
    if not any(is_ours(r.urn) for r in before):
        screen.say(f"refresh: nothing was made yet; `{session.command('up')}` raises the site", "bold")
    elif found:
        screen.say(
            f"refresh: {sum(len(d.lines) for d in found)} differences; `{session.command('up')}` mends them",
            "bold yellow",
        )
    else:
        screen.say("refresh: all is as it was made", "bold green")
