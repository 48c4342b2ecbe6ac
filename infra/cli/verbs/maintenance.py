"""`antenna maintenance`: nobody is woken up for a site that is worked on."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta

import click

from infra import paths
from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.work import alerts as alert_facts
from infra.cli.work import silences
from infra.suggestion import suggestion
from operators.kube import client


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna maintenance lumi --for 2h --because 'new switches, announced by CSC'",
        "antenna maintenance lumi --over",
    ),
)
@click.argument("site")
@click.option("--for", "lasts", metavar="DURATION", help="How long: 90m, 2h, 1d; 14d at most.")
@click.option("--because", "reason", metavar="TEXT", help="Why; shown beside what is silent.")
@click.option("--over", is_flag=True, help="It is over: alerts are told again.")
@options("stack", "config-file", "json")
@click.pass_obj
def maintenance(session: Session, site: str, lasts: str | None, reason: str | None, over: bool) -> None:
    """Tell nobody of alerts of a remote site, and of its links, while it is worked on; ends by itself.

    Alerts fire as before, and `antenna alerts` shows them as silenced. Jobs go there as before, too.
    """
    screen = session.begin("maintenance")
    known = session.site()
    names = [remote.name for remote in known.sites]
    if site not in names:
        raise WrongInput(f"there is no remote site {site}", suggestion(site, names))
    if over == bool(lasts or reason) or (not over and not (lasts and reason)):
        raise WrongInput("say for how long and why, or that it is over", "--for 2h --because TEXT, or --over")
    time = _lasts(lasts) if lasts else timedelta()
    api = client.connect(paths.kubeconfig(session.stack))
    if not alert_facts.is_sent(api):
        raise Failure("alerts are sent to nobody here, so that there is nothing to silence", "site:oncall")
    # What was announced before is replaced, not added to.
    for silence in silences.announced(alert_facts.ask(api, "silences"), site):
        alert_facts.ask(api, f"silence/{silence}", method="DELETE")
    begin = datetime.now(UTC)
    if not over:
        links = [link.name for link in known.links if link.site == site]
        for body in silences.wanted(
            site, links, begin=begin, lasts=time, author=getpass.getuser(), reason=str(reason)
        ):
            alert_facts.ask(api, "silences", method="POST", body=body)
    end = begin + time
    if session.json:
        click.echo(
            json.dumps({"stack": session.stack, "site": site, "until": end.isoformat(), "reason": reason})
        )
    elif over:
        screen.say(f"alerts of {site} are told again", "bold")
    else:
        screen.say(f"nobody is told of alerts of {site} until {end.astimezone():%Y-%m-%d %H:%M}", "bold")


def _lasts(text: str) -> timedelta:
    try:
        return silences.duration(text)
    except ValueError as error:
        raise WrongInput(str(error)) from None
