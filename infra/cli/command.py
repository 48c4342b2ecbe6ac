"""The `antenna` command with its verbs."""

from __future__ import annotations

import click

from infra.cli.budget import budget
from infra.cli.dashboard import dashboard
from infra.cli.demo import demo
from infra.cli.doctor import doctor
from infra.cli.down import down
from infra.cli.links import links
from infra.cli.logs import logs
from infra.cli.preview import preview
from infra.cli.refresh import refresh
from infra.cli.report import report
from infra.cli.session import Session, epilog, options
from infra.cli.status import status
from infra.cli.submit import submit
from infra.cli.tools import tools
from infra.cli.up import up
from infra.cli.why import why


@click.group(
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


for _verb in (
    up,
    preview,
    refresh,
    down,
    status,
    submit,
    why,
    logs,
    budget,
    report,
    links,
    dashboard,
    demo,
    doctor,
    tools,
):
    main.add_command(_verb)
