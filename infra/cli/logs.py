"""`antenna logs JOB`: the end of what a job has printed, here or at a remote site."""

from __future__ import annotations

import click

from infra import paths
from infra.cli.failure import Failure
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.why import find
from operators import k8s
from operators.api.remote_job import KIND
from operators.k8s import Cluster, Object
from operators.k8s_errors import ApiError
from operators.tenancy import namespace_name

LINES = 200


@click.command(cls=Verb, epilog=epilog("antenna logs train-7 --tenant imec"))
@click.argument("job")
@click.option("--tenant", metavar="NAME", help="Whose the job is.")
@options("stack")
@click.pass_obj
def logs(session: Session, job: str, tenant: str | None) -> None:
    """Show the end of a job's output."""
    session.begin("logs")
    api = k8s.connect(paths.kubeconfig(session.stack))
    found = find(api, job, namespace_name(tenant) if tenant else None)
    text = remote_output(found) if found["kind"] == KIND else local_output(api, found)
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
