"""`antenna logout`: forgets who logged in on this host."""

from __future__ import annotations

import click

from infra.cli.people import kept_login
from infra.cli.session import Session, Verb, epilog, options


@click.command(cls=Verb, epilog=epilog("antenna logout"))
@options("stack")
@click.pass_obj
def logout(session: Session) -> None:
    """Forget who logged in on this host. The token itself is good until it expires."""
    screen = session.begin("logout")
    screen.say("done" if kept_login.forget(session.stack) else "nobody was logged in")
