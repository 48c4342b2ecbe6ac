"""`antenna why JOB`: in one sentence, why a job waits, and what would unblock it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from infra import paths
from infra.cli.failure import WrongInput
from infra.cli.session import Session, Verb, epilog, options
from operators import k8s
from operators.api import API_VERSION, remote_job
from operators.k8s import Cluster
from operators.k8s_errors import NotFound
from operators.tenancy import namespace_name
from operators.why import Explanation, explain
from operators.why.gathering import facts, surroundings
from operators.why.remote import explain_remote

Object = dict[str, Any]


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna why train-7",
        "antenna why train-7 --tenant imec",
        "antenna why train-7 --json | jq -r .unblock",
    ),
)
@click.argument("job")
@click.option(
    "--namespace", "-n", metavar="NAME", help="Where the job is. Needed when its name is not unique."
)
@click.option("--tenant", metavar="NAME", help="Whose the job is, in place of the namespace.")
@options("stack", "json")
@click.pass_obj
def why(session: Session, job: str, namespace: str | None, tenant: str | None) -> None:
    """Say why a job waits: for what, since when, what is ahead of it, what would unblock it.

    For a job that runs or has ended it says so.
    """
    screen = session.begin("why")
    if namespace and tenant:
        raise WrongInput("--namespace and --tenant are two names for one thing: give one of them")
    api = k8s.connect(paths.kubeconfig(session.stack))
    found = find(api, job, namespace_name(tenant) if tenant else namespace)
    now = datetime.now(UTC)
    if found["kind"] == remote_job.KIND:
        queue, told = found["metadata"]["namespace"].removeprefix("tenant-"), explain_remote(found)
    else:
        known = facts(api, found, surroundings(api, now))
        queue, told = known.queue_name, explain(known)
    if session.json:
        namespace = found["metadata"]["namespace"]
        about = {"stack": session.stack, "job": job, "namespace": namespace, "queue": queue}
        click.echo(json.dumps({**about, **told.document(now)}, indent=2))
        return
    for line in lines(told):
        screen.say(line)


def lines(told: Explanation) -> list[str]:
    """The explanation for a person."""
    ahead = told.ahead
    parts = list(ahead.names)
    if more := ahead.count - ahead.others - len(ahead.names):
        parts.append(f"{more} more")
    if ahead.others:
        parts.append(f"{ahead.others} of other namespaces")
    return [
        told.text,
        *([f"ahead: {', '.join(parts)}"] if parts else []),
        *([f"next:  {told.unblock}"] if told.unblock else []),
    ]


def find(api: Cluster, name: str, namespace: str | None) -> Object:
    """The Job or RemoteJob of that name. Raises WrongInput where there is none, or more than one."""
    found = _jobs(api, namespace, fields=f"metadata.name={name}")
    if len(found) == 1:
        return found[0]
    if found:
        there = ", ".join(sorted(j["metadata"]["namespace"] for j in found))
        raise WrongInput(
            f"there are {len(found)} jobs {name}: in {there}", "add --namespace and one of these"
        )
    where = f" in {namespace}" if namespace else ""
    raise WrongInput(f"there is no job {name}{where}", _advice(api, name, namespace))


def _jobs(api: Cluster, namespace: str | None = None, fields: str = "") -> list[Object]:
    """Jobs and RemoteJobs. A site that was last brought up before there were RemoteJobs has none."""
    found = api.list_objects("batch/v1", "Job", namespace, fields=fields)
    with suppress(NotFound):
        found += api.list_objects(API_VERSION, remote_job.KIND, namespace, fields=fields)
    return found


def _advice(api: Cluster, name: str, namespace: str | None) -> str:
    """The names that come near, of that namespace or else of all."""
    every = _jobs(api)
    inside = [j for j in every if j["metadata"]["namespace"] == namespace]
    near = _near(name, inside or every)
    if not near:
        return "`kubectl get jobs --all-namespaces` lists all"
    return "did you mean " + " or ".join(near) + "?"


def _near(name: str, jobs: Sequence[Object]) -> list[str]:
    """``NAME`` or ``NAME --namespace NS`` of the jobs whose names are most alike."""
    names = {j["metadata"]["name"]: j["metadata"]["namespace"] for j in jobs}
    alike = [n for n in names if n != name and (n in name or name in n)]
    close = difflib.get_close_matches(name, names, 3, 0.7)
    same = [n for n in names if n == name]
    return [f"{n} --namespace {names[n]}" for n in dict.fromkeys([*same, *close, *alike])][:3]
