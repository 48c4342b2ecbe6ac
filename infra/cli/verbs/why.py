"""`antenna why JOB`: in one sentence, why a job waits, and what would unblock it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from infra.cli.failure import WrongInput
from infra.cli.people.access import Access, open_access
from infra.cli.session import Session, Verb, epilog, options
from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.kube.client import Cluster
from operators.kube.errors import NotFound
from operators.tenancy import namespace_name
from operators.why import Explanation, explain
from operators.why.gathering import facts, surroundings
from operators.why.own import own_explanation
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
@options("stack", "json", "kubeconfig")
@click.pass_obj
def why(session: Session, job: str, namespace: str | None, tenant: str | None) -> None:
    """Say why a job waits: for what, since when, what is ahead of it, what would unblock it.

    For a job that runs or has ended it says so.
    """
    screen = session.begin("why")
    now = datetime.now(UTC)
    with open_access(session) as access:
        found = find(access.api, job, access.within(tenant, namespace), access.namespace or None)
        queue, told = explanation(access, found, now)
    if session.json:
        namespace = found["metadata"]["namespace"]
        about = {"stack": session.stack, "job": job, "namespace": namespace, "queue": queue}
        click.echo(json.dumps({**about, **told.document(now)}, indent=2))
        return
    for line in lines(told):
        screen.say(line)


def explanation(access: Access, job: Object, now: datetime) -> tuple[str, Explanation]:
    """(ClusterQueue, why the job waits), from what these rights may read."""
    if job["kind"] == REMOTE_JOB:
        return job["metadata"]["namespace"].removeprefix(namespace_name("")), explain_remote(job)
    if access.namespace:
        return own_explanation(access.api, job, now)
    known = facts(access.api, job, surroundings(access.api, now))
    return known.queue_name, explain(known)


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


def find(api: Cluster, name: str, namespace: str | None, own: str | None = None) -> Object:
    """The Job or RemoteJob of that name. Raises WrongInput where there is none, or more than one.

    ``own`` is the only namespace that may be searched for names that come near; None: all of them may.
    """
    found = _jobs(api, namespace, fields=f"metadata.name={name}")
    if len(found) == 1:
        return found[0]
    if found:
        there = ", ".join(sorted(j["metadata"]["namespace"] for j in found))
        raise WrongInput(
            f"there are {len(found)} jobs {name}: in {there}", "add --namespace and one of these"
        )
    where = f" in {namespace}" if namespace else ""
    raise WrongInput(f"there is no job {name}{where}", _advice(api, name, namespace, own))


def _jobs(api: Cluster, namespace: str | None = None, fields: str = "") -> list[Object]:
    """Jobs and RemoteJobs. A site that was last brought up before there were RemoteJobs has none."""
    found = api.list_objects("batch/v1", "Job", namespace, fields=fields)
    with suppress(NotFound):
        found += api.list_objects(API_VERSION, REMOTE_JOB, namespace, fields=fields)
    return found


def _advice(api: Cluster, name: str, namespace: str | None, own: str | None) -> str:
    """The names that come near, of that namespace or else of all that may be searched."""
    every = _jobs(api, own)
    inside = [j for j in every if j["metadata"]["namespace"] == namespace]
    near = _near(name, inside or every)
    if not near:
        where = f"--namespace {own}" if own else "--all-namespaces"
        return f"`kubectl get jobs {where}` lists all"
    return "did you mean " + " or ".join(near) + "?"


def _near(name: str, jobs: Sequence[Object]) -> list[str]:
    """``NAME`` or ``NAME --namespace NS`` of the jobs whose names are most alike."""
    names = {j["metadata"]["name"]: j["metadata"]["namespace"] for j in jobs}
    alike = [n for n in names if n != name and (n in name or name in n)]
    close = difflib.get_close_matches(name, names, 3, 0.7)
    same = [n for n in names if n == name]
    return [f"{n} --namespace {names[n]}" for n in dict.fromkeys([*same, *close, *alike])][:3]
