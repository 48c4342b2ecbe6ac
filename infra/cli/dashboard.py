"""`antenna dashboard`: the site's graphs and alerts, at a loopback address of this host."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import click

from infra import paths
from infra.cli.failure import Failure
from infra.cli.session import Session, Verb, epilog, options
from infra.tools.kubectl import kubectl
from monitoring.manifests import NAME, NAMESPACE, STORE_PORT

PAGE = "/vmui/#/dashboards"
ADDRESS = f"http://127.0.0.1:{STORE_PORT}{PAGE}"
"""Where they are while the command runs, unless it is told another port."""

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


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
    with forward(session.stack, port) as (process, address):
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


@contextmanager
def forward(stack: str, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """kubectl forwarding, and the address that it listens on. Raises Failure when it cannot."""
    process = subprocess.Popen(
        [
            *(str(kubectl()), "--kubeconfig", str(paths.kubeconfig(stack)), "--namespace", NAMESPACE),
            *("port-forward", "--address", "127.0.0.1", f"deployment/{NAME}", f"{port}:{STORE_PORT}"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # It says so once it listens; without that line it has ended, and its errors say why.
        line = process.stdout.readline() if process.stdout else ""
        if not (found := _FORWARDING.match(line)):
            reason = process.communicate()[1].strip() or "kubectl gave no reason"
            raise Failure(
                f"the site's graphs cannot be reached: {reason}",
                "another port: --port 0; another cause: `antenna doctor`",
            )
        yield process, f"127.0.0.1:{found.group(1)}"
    finally:
        process.terminate()
        process.wait()
