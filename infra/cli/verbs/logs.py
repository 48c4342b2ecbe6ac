"""`antenna logs JOB`: the end of what a job has printed, here or at a remote site."""

from __future__ import annotations

import click

from infra.cli.failure import Failure
from infra.cli.people.access import open_access
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.verbs.why import find
from operators.api.names import REMOTE_JOB
from operators.kube.client import Cluster, Object
from operators.kube.errors import ApiError

LINES = 200


@click.command(cls=Verb, epilog=epilog("antenna logs train-7 --tenant imec"))
@click.argument("job")
@click.option("--tenant", metavar="NAME", help="Whose the job is.")
@options("stack", "kubeconfig")
@click.pass_obj
def logs(session: Session, job: str, tenant: str | None) -> None:
    """Show the end of a job's output."""
    session.begin("logs")
    with open_access(session) as access:
        found = find(access.api, job, access.within(tenant), access.namespace or None)
        text = remote_output(found) if found["kind"] == REMOTE_JOB else local_output(access.api, found)
    click.echo(text, nl=not text.endswith("\n"))


def remote_output(job: Object) -> str:
    """What the operator has read of it. Raises Failure where there is none."""
    status = job.get("status") or {}
    if status.get("logTail"):
        return str(status["logTail"])
    name = job["metadata"]["name"]
    raise Failure(f"{name} has printed nothing that is known here", f"antenna why {name}")


def local_output(api: Cluster, job: Object) -> str:
    """The ends of its pods' logs. Raises Failure where there are none."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    labels = f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}"
    parts = []
    for pod in api.list_objects("v1", "Pod", namespace, labels=labels):
        path = api.path("v1", "Pod", namespace, pod["metadata"]["name"]) + "/log"
        try:
            parts.append(api.read(path, {"tailLines": str(LINES)}).decode("utf-8", "replace"))
        except ApiError:
            continue  # it has not started
    if not parts:
        raise Failure(f"{name} has printed nothing yet", f"antenna why {name}")
    return "\n".join(parts)
