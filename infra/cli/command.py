"""The `antenna` command with its verbs."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from infra.cli.session import Session, epilog, options

VERBS: Final = {
    "alerts": "Show what fires and what is pending: since when, how often this night, whom to call, "
    "the next command.",
    "audit": "Say who did what to a partner, from the API server's audit log.",
    "budget": "Show what each partner may use, has used and has left, at every site, and how long it lasts.",
    "dashboard": "Serve the site's graphs and alerts at a loopback address, until Ctrl-C.",
    "demo": "Submit a burst of real GPU jobs of several partners and watch them queue, borrow and run.",
    "doctor": "Check the host, the site, the stack and the cluster.",
    "down": "Take the site down and leave nothing of it on this host.",
    "links": "Show the tunnels to remote sites: handshake, round trip, loss, traffic; or rotate their keys.",
    "login": "Log in as a person of a partner, by a code in the browser.",
    "logout": "Forget who logged in on this host.",
    "logs": "Show the end of a job's output.",
    "maintenance": "Send no new job to a remote site while it is worked on, and tell nobody of its alerts; "
    "ends by itself.",
    "preview": "Show what `up` would change, property by property.",
    "refresh": "Compare machines, nodes and cluster objects with what was made; name each difference.",
    "report": "Write what was used in a period, split by partner, ecosystem, sector and funder, as files.",
    "status": "Show machines, nodes and queues on one screen: what runs, who waits, for how long.",
    "submit": "Queue a batch script for a remote site.",
    "token": "Print the token of who is logged in, for kubectl.",
    "tools": "List, build, carry and clean the pinned tools.",
    "up": "Raise the site, or bring it to what its file says now.",
    "watchdog": "Get a site's beats and pages, show pages, and call when no beat comes, until Ctrl-C.",
    "why": "Say why a job waits: for what, since when, what is ahead of it, what would unblock it.",
}
"""Each verb with the first sentence of its help. Its file is imported when it is used, not before."""


class Verbs(click.Group):
    """The verbs, of which a command imports the one that it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, from the file of its name."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"infra.cli.verbs.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """All of them with what they do, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog(
        "antenna up                     raise the site that Pulumi.embedded.yaml describes",
        "antenna demo                   GPU jobs of five partners queue, borrow, run and finish",
        "antenna status --watch         machines, nodes and queues on one screen",
        "antenna why train-7            why this job waits, and what would unblock it",
        "antenna submit job.sh ...      a batch job for LUMI or JUPITER, queued like any other",
        "antenna budget                 what each partner may use yet at LUMI, JUPITER and here",
        "antenna --stack lab preview    what `up` would change at the site of Pulumi.lab.yaml",
    ),
)
@click.version_option(package_name="antenna")
@options("stack", "config-file", "engine", "json", "yes")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Raise and run an AI Factory Antenna: machines, Kubernetes, partners' GPU queues.

    A site is described by one file, Pulumi.NAME.yaml; NAME is the stack.
    """
    ctx.ensure_object(Session)
