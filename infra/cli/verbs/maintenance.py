"""`antenna maintenance`: a site that is worked on is sent no job, and nobody is woken up for it."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta

import click

from infra import paths
from infra.cli.failure import WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.work import alerts as alert_facts
from infra.cli.work import silences
from infra.suggestion import suggestion
from operators.api import API_VERSION
from operators.api.names import REMOTE_SITE
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
@click.option("--because", "reason", metavar="TEXT", help="Why; shown to whoever waits.")
@click.option("--over", is_flag=True, help="It is over: jobs go there, and alerts are told again.")
@options("stack", "config-file", "json")
@click.pass_obj
def maintenance(session: Session, site: str, lasts: str | None, reason: str | None, over: bool) -> None:
    """Send no new job to a remote site while it is worked on, and tell nobody of its alerts; ends by itself.

    Jobs wait, with the reason in `antenna why`; those that are there go on. Alerts of the site and of its
    links fire as before, and `antenna alerts` shows them as silenced.
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
    begin = datetime.now(UTC)
    end = begin + time
    told = alert_facts.is_sent(api)
    if told:
        # What was announced before is replaced, not added to.
        for silence in silences.announced(alert_facts.ask(api, "silences"), site):
            alert_facts.ask(api, f"silence/{silence}", method="DELETE")
        links = [link.name for link in known.links if link.site == site]
        wanted = silences.wanted(
            site, links, begin=begin, lasts=time, author=getpass.getuser(), reason=str(reason)
        )
        for body in () if over else wanted:
            alert_facts.ask(api, "silences", method="POST", body=body)
    announced = None if over else {"until": end.isoformat(timespec="seconds"), "because": reason}
    api.patch(API_VERSION, REMOTE_SITE, site, None, {"spec": {"maintenance": announced}})
    if session.json:
        until = None if over else end.isoformat(timespec="seconds")
        click.echo(json.dumps({"stack": session.stack, "site": site, "until": until, "reason": reason}))
        return
    if over:
        screen.say(f"{site} is sent jobs again{', and its alerts are told again' if told else ''}", "bold")
    else:
        silent = ", nobody is told of its alerts" if told else " (alerts are sent to nobody here anyway)"
        screen.say(f"no new job is sent to {site} until {end.astimezone():%Y-%m-%d %H:%M}{silent}", "bold")


def _lasts(text: str) -> timedelta:
    try:
        return silences.duration(text)
    except ValueError as error:
        raise WrongInput(str(error)) from None
