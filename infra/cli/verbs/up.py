"""`antenna up`: raise the site, or bring it to what its file says now."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread

import click

from infra import paths
from infra.cli.checks import gather
from infra.cli.checks.facts import Facts
from infra.cli.checks.table import Finding, failures_of_cluster, is_mended_by_time, refusals
from infra.cli.engines.events import Outcome, drift, is_ours, summary
from infra.cli.engines.open import open_engine
from infra.cli.engines.protocol import Engine
from infra.cli.failure import Failure, RefusedHost, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.verbs import dashboard, preview
from infra.cli.views.screen import Screen
from infra.provider import base
from infra.site import Site
from infra.tools import artifacts

# Read anew before each `up`: after a reboot of the host the state says that they are there. The rest
# follows from them, or is the business of `refresh`.
LOOKED_AT = ("Network", "Machine")

RESET_CONTROL_PLANE = "ANTENNA_RESET_CONTROL_PLANE"
"""What the role kubernetes reads, through the engine and the provider, in this one run."""

WELL_SECONDS = 120.0  # for what was deployed to work: a node that was away offers its GPUs late
WELL_POLL = 1.0

_PHASE = {
    "Network": "network",
    "Machine": "machines",
    "Playbook": "nodes",
    "Link": "links",
    "Objects": "cluster objects",
}


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna up", "antenna up --dry-run", "antenna up --refresh   also mend what was changed by hand"
    ),
)
@click.option("--refresh", is_flag=True, help="Read everything anew first, not only network and machines.")
@click.option(
    "--reset-control-plane",
    metavar="MACHINE",
    default="",
    help="Let the control plane on MACHINE be made anew, though it holds data: all of it is lost.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change and touch nothing, as `preview`.")
@options("stack", "config-file", "engine", "json", "yes")
@click.pass_obj
def up(session: Session, refresh: bool, reset_control_plane: str, dry_run: bool) -> None:
    """Raise the site, or bring it to what its file says now.

    The first run builds the pinned tools, which takes about 15 minutes; later ones reuse them. A run
    that was cut is continued by the next. Where all is in place already it says 0 changes. Exits with 1
    when the site is as its file says and yet does not work: what is wrong is named, with its fix.
    """
    screen = session.begin("up")
    site = session.site()
    if reset_control_plane:
        if reset_control_plane != site.head.name:
            raise WrongInput(
                f"--reset-control-plane {reset_control_plane}: the control plane is on {site.head.name}",
                "name that machine, or leave the option out",
            )
        os.environ[RESET_CONTROL_PLANE] = reset_control_plane
    if dry_run:
        preview.show_preview(session, screen)
        return
    before = gather.before_up(site)
    refuse_unfit_host(before)
    screen.log.open()
    engine = open_engine(session, screen, touch=True)
    make_artifacts(site, screen)
    look(engine, session, screen, everything=refresh)
    with screen.phase("site"):
        outcome = engine.up(screen.event)
    raise_unless_ok(outcome, session, screen)
    with screen.phase("health"):
        unwell = wait_until_well(before, engine, session, screen)
    if session.json:
        document = {
            **preview.document(session.stack, outcome),
            "seconds": screen.durations,
            "unwell": [finding.document() for finding in unwell],
        }
        click.echo(json.dumps(document, indent=2, default=str))
    times = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in screen.durations.items())
    if screen.spans:
        times += ": " + ", ".join(f"{_PHASE[kind]} {seconds:.0f} s" for kind, seconds in screen.spans.items())
    total = sum(screen.durations.values())
    screen.say(f"up: {summary(outcome.changes)} in {total:.0f} s ({times})", "" if unwell else "bold green")
    raise_if_unwell(unwell, session)
    screen.say("next:")
    screen.say(f"  export KUBECONFIG={paths.kubeconfig(session.stack)}")
    screen.say(f"  {session.command('status')}")
    screen.say(f"  {session.command('demo')}")
    screen.say(f"  {session.command('dashboard')}   # {dashboard.ADDRESS}")


def refuse_unfit_host(host: Facts) -> None:
    """Raise RefusedHost, with every reason, before anything is touched."""
    found = refusals(host)
    if found:
        causes = "; ".join(f.verdict.cause for f in found)
        fixes = list(dict.fromkeys(f.verdict.fix for f in found if f.verdict.fix))
        raise RefusedHost(f"this host cannot raise the site: {causes}", "; ".join(fixes))


def make_artifacts(site: Site, screen: Screen) -> None:
    """Have what machines are made from: the pinned tools, and for machines made here their base.

    Side by side: the one computes, the other mostly waits for downloads.
    """
    with screen.phase("tools"):
        made: Future[str] = Future()
        if site.platform == "embedded":
            screen.begin("base", "base")
            Thread(target=_make_base, args=(made, screen, bool(site.ends)), daemon=True).start()
        else:
            made.set_result("")
        # In this thread, so that Ctrl-C ends a build at once.
        artifacts.ensure_artifacts(
            lambda progress: screen.status("tools", str(progress)), made_here=site.platform == "embedded"
        )
        made.result()


def _make_base(made: Future[str], screen: Screen, played: bool) -> None:
    """``played``: machines of ours play remote sites, for which there is a layer over the base."""

    def report(text: str) -> None:
        screen.status("base", text)

    try:
        name = base.ensure(report)
        made.set_result(base.ensure(report, base.site_digest()) if played else name)
    except BaseException as error:  # whatever it is, the thread that waits must hear of it
        made.set_exception(error)
    finally:
        screen.end("base")


def look(engine: Engine, session: Session, screen: Screen, *, everything: bool) -> None:
    """Read what is there into the state, and say what differs from it."""
    known = [r for r in engine.resources() if is_ours(r.urn)]
    targets = [r.urn for r in known if everything or r.kind in LOOKED_AT]
    if not targets:
        return
    with screen.phase("look"):
        outcome = engine.refresh(screen.event, targets=() if everything else targets)
    raise_unless_ok(outcome, session, screen)
    for found in drift(known, engine.resources()):
        for line in found.lines:
            screen.say(f"  drift        {found.kind} {found.name}: {line}", "yellow")


def wait_until_well(known: Facts, engine: Engine, session: Session, screen: Screen) -> list[Finding]:
    """What is wrong with the cluster once time has mended what it mends; empty when all is well.

    A pod that was deployed a moment ago is waited for, one that nobody asked for is not.
    """
    if not any(r.kind == "Objects" for r in engine.resources()):
        return []
    end = time.monotonic() + WELL_SECONDS
    while True:
        found = replace(known, cluster=gather.cluster(paths.kubeconfig(session.stack)))
        unwell = failures_of_cluster(found)
        if not unwell or not is_mended_by_time(found) or time.monotonic() > end:
            return unwell
        screen.status("health", "; ".join(f"{f.check.name}: {f.verdict.cause}" for f in unwell))
        time.sleep(WELL_POLL)


def raise_if_unwell(unwell: Sequence[Finding], session: Session) -> None:
    """End the command with a line a finding when the site is as its file says and yet does not work."""
    if not unwell:
        return
    causes = [f"{finding.check.name}: {finding.verdict.cause}" for finding in unwell]
    fixes = dict.fromkeys(finding.verdict.fix for finding in unwell if finding.verdict.fix)
    raise Failure(
        "\n       ".join(["the site is as its file says, and not well:", *causes]),
        "\n       ".join([*fixes, f"`{session.command('doctor')}` checks all of it"]),
    )


def raise_unless_ok(outcome: Outcome, session: Session, screen: Screen) -> None:
    """End the command with one message when an operation of the engine did not succeed."""
    if outcome.ok:
        return
    again = session.command(click.get_current_context().info_name or "up")
    before = f"before that: {summary(outcome.changes)}"
    if outcome.cancelled:
        raise Failure(f"stopped as asked; {before}", f"`{again}` goes on from here; log: {screen.log.path}")
    failed = dict.fromkeys(
        f"{s.kind} {s.name}" for s in outcome.steps if s.stage == "failed" and is_ours(s.urn)
    )
    lines = [f"{', '.join(failed)} failed"] if failed else []
    lines += outcome.errors or ["the engine gave no reason"]
    raise Failure(
        "\n       ".join([*lines, before]),
        f"mend the cause and run `{again}` again, it goes on from here; log: {screen.log.path}",
    )
