"""`antenna down`: take the site down and leave nothing behind."""

from __future__ import annotations

import os
import sys
import time

import click

from infra.cli.engines.events import Outcome, is_ours, summary
from infra.cli.engines.open import open_engine
from infra.cli.engines.protocol import Engine
from infra.cli.failure import Failure, RefusedHost, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.verbs.up import raise_unless_ok
from infra.cli.views.screen import Screen
from infra.provider import leftovers
from infra.site import SiteError

FORGET_LEDGER = "ANTENNA_FORGET_LEDGER"
"""What the role kubernetes reads, through the engine and the provider, in this one run."""


@click.command(cls=Verb, epilog=epilog("antenna down", "antenna down --yes --stack lab"))
@click.option(
    "--forget-ledger",
    is_flag=True,
    help="On adopted machines: also remove what partners have used, for good.",
)
@options("stack", "config-file", "engine", "yes")
@click.pass_obj
def down(session: Session, forget_ledger: bool) -> None:
    """Take the site down and leave nothing of it on this host.

    Works where a run was killed and where the state was lost. Built tools stay in the cache. Machines
    that were adopted (platform ssh) are reset and stay; the ledger of what partners have used stays on
    the head, and the next `up` goes on with it.
    """
    if forget_ledger:
        os.environ[FORGET_LEDGER] = "yes"
    screen = session.begin("down")
    engine = open_engine(session, screen, touch=True)
    known = [r for r in engine.resources() if is_ours(r.urn)]
    machines = [r for r in known if r.kind == "Machine"]
    adopted = [m.name for m in machines if m.inputs.get("driver") == "ssh"] or _adopts(session)
    traces = [] if adopted or sys.platform != "linux" else leftovers.list_traces(session.stack)
    if not known and not traces:
        screen.say(f"down: there is nothing of the stack {session.stack} on this host", "bold green")
        return
    _confirm(session, f"{len(machines)} machines and all that runs on them", adopted)
    if not adopted and os.geteuid() != 0:
        raise RefusedHost("machines are removed by root", f"sudo {session.command('down')}")
    began = time.monotonic()
    screen.log.open()
    outcome = _destroy(engine, session, screen, clear=not adopted)
    done = summary(outcome.changes) if known else "the state was lost, the host was cleared"
    ledger = "" if forget_ledger else ", and with them the ledger of what partners have used"
    rest = f"the machines stay{ledger}" if adopted else "nothing of the stack is left here"
    screen.say(f"down: {done} in {time.monotonic() - began:.0f} s; {rest}", "bold green")


def _destroy(engine: Engine, session: Session, screen: Screen, *, clear: bool) -> Outcome:
    with screen.phase("down"):
        outcome = engine.destroy(screen.event)
        if clear and not outcome.cancelled:
            screen.begin("leftovers", "clearing leftovers")
            leftovers.clear(session.stack, lambda text: screen.status("leftovers", text))
            if not outcome.ok:
                screen.warn("some things could not be removed one by one; the host was cleared, trying again")
                outcome = engine.destroy(screen.event)
    raise_unless_ok(outcome, session, screen)
    if clear and (left := leftovers.list_traces(session.stack)):
        shown = ", ".join(f"{t.kind} {t.what}" for t in left[:5])
        raise Failure(
            f"{len(left)} things are still there: {shown}", f"run `{session.command('down')}` again"
        )
    return outcome


def _adopts(session: Session) -> list[str]:
    """The machines that the site file adopts; none where there is no sound file."""
    try:
        site = session.site()
    except SiteError:
        return []
    return [m.name for m in site.machines] if site.platform == "ssh" else []


def can_ask() -> bool:
    """Whether a person sits at the other end."""
    return sys.stdin.isatty()


def _confirm(session: Session, what: str, adopted: list[str]) -> None:
    """Ask, unless told not to; for real machines the stack's name must be typed."""
    if session.yes:
        return
    if not can_ask():
        raise WrongInput("nobody is there to be asked", f"{session.command('down')} --yes")
    if not adopted:
        click.confirm(f"Take down the stack {session.stack}: {what}?", abort=True, err=True)
        return
    typed = click.prompt(f"This resets {', '.join(adopted)}. Type the stack's name to go on", err=True)
    if typed != session.stack:
        raise WrongInput(f"{typed!r} is not {session.stack!r}; nothing was touched")
