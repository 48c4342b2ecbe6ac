"""`antenna dashboard`: the site's graphs and alerts, at a loopback address of this host."""

from __future__ import annotations

import json
import signal

import click

from infra.cli.failure import Failure
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.work.forward import forward
from monitoring.manifests import NAME, STORE_PORT
from monitoring.parts import NAMESPACE

PAGE = "/vmui/#/dashboards"
ADDRESS = f"http://127.0.0.1:{STORE_PORT}{PAGE}"
"""Where they are while the command runs, unless it is told another port."""


@click.command(
    cls=Verb,
    epilog=epilog("antenna dashboard", "antenna dashboard --port 0   any port that is free"),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=STORE_PORT,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes one that is free.",
)
@options("stack", "json")
@click.pass_obj
def dashboard(session: Session, port: int) -> None:
    """Serve the site's graphs and alerts at a loopback address, until Ctrl-C.

    The way there is a forward through the API server, with the site's kubeconfig: nothing in the cluster
    listens for it.
    """
    screen = session.begin("dashboard")
    # Whoever ends this ends the forward with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    where = (session.stack, NAMESPACE, NAME, STORE_PORT)
    with forward(*where, here=port, what="the site's graphs") as (process, address):
        url = f"http://{address}{PAGE}"
        screen.say(f"{url}   (Ctrl-C ends it)", "bold")
        if session.json:
            click.echo(json.dumps({"stack": session.stack, "url": url}))
        try:
            # Not wait: it has a line to say of every connection.
            process.communicate()
        except KeyboardInterrupt:
            return
        raise Failure(
            "the forward to the cluster ended: its pod was stopped or replaced",
            session.command("dashboard"),
        )
