"""`antenna submit SCRIPT`: a batch job for a remote site, queued with everything else of its partner."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from infra.cli.failure import WrongInput
from infra.cli.people.access import Access, open_access
from infra.cli.session import Session, Verb, epilog, options
from operators.api import API_VERSION
from operators.api.names import ANY, REMOTE_JOB
from operators.api.remote_job import RemoteJobSpec
from operators.kube.errors import Invalid, NotFound
from operators.tenancy import namespace_name

Object = dict[str, Any]


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna submit train.sh --tenant ugent --site lumi --partition small-g --gpus 1 --time 2h",
        "antenna submit train.sh --gpus 4 --time 30m    as a person of a partner: for your own",
        "antenna submit train.sh --tenant ugent --gpus 4 --time 30m    wherever there is room and budget",
    ),
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", metavar="NAME", help="The partner that it is for; a person's own otherwise.")
@click.option("--site", default=ANY, show_default=True, metavar="NAME", help="Where it runs.")
@click.option("--partition", metavar="NAME", help="Of that site; needed unless the site is any.")
@click.option("--nodes", default=1, show_default=True, help="How many nodes.")
@click.option("--gpus", type=int, help="GPUs of each node; none: all of a whole node.")
@click.option("--cores", type=int, help="Cores of each node.")
@click.option("--memory", type=int, metavar="GIB", help="Memory of each node.")
@click.option("--time", "limit", required=True, metavar="1h30m", help="The longest that it may run.")
@click.option("--directory", metavar="PATH", help="Where it runs at the site.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="PATH",
    help="A file at the site that it does not start without.",
)
@click.option(
    "--output", "outputs", multiple=True, metavar="PATH", help="A file at the site that it must have written."
)
@click.option("--name", metavar="NAME", help="Its name; one is made of the script's otherwise.")
@options("stack", "json", "kubeconfig")
@click.pass_obj
def submit(session: Session, /, script: Path, tenant: str | None, name: str | None, **asked: Any) -> None:
    """Queue a batch script for a remote site. It is sent once; `antenna why` says what it waits for."""
    screen = session.begin("submit")
    with open_access(session) as access:
        partner = tenant or access.tenant
        if not partner:
            raise WrongInput("whose is it? an administrator works for no partner", "add --tenant NAME")
        made = _create(access, remote_job(script.name, script.read_text(), partner, name, asked))["metadata"]
    if session.json:
        click.echo(json.dumps({"stack": session.stack, "job": made["name"], "namespace": made["namespace"]}))
        return
    screen.say(f"{made['name']} is queued for {partner}")
    screen.say(f"next:  antenna why {made['name']} --tenant {partner}")


def _create(access: Access, obj: Object) -> Object:
    try:
        return access.api.create(obj)
    except NotFound:
        tenant = obj["metadata"]["namespace"].removeprefix(namespace_name(""))
        raise WrongInput(f"there is no tenant {tenant}", "`antenna status` shows all of them") from None
    except Invalid as error:
        raise WrongInput("; ".join(error.causes) or str(error)) from None


def remote_job(file: str, text: str, tenant: str, name: str | None, asked: Object) -> Object:
    """The RemoteJob. Raises WrongInput for what the server would refuse too."""
    spec = {
        "site": asked["site"],
        "partition": asked["partition"],
        "nodes": asked["nodes"],
        "gpusPerNode": asked["gpus"],
        "cores": asked["cores"],
        "memoryGiB": asked["memory"],
        "timeLimit": asked["limit"],
        "directory": asked["directory"],
        "input": asked["inputs"] or None,
        "output": asked["outputs"] or None,
        "script": text,
    }
    given = {key: value for key, value in spec.items() if value is not None}
    try:
        RemoteJobSpec.model_validate(given)
    except ValidationError as error:
        told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors())
        raise WrongInput("; ".join(told)) from None
    stem = re.sub(r"[^a-z0-9]+", "-", Path(file).stem.lower()).strip("-")[:40] or "job"
    called = {"name": name} if name else {"generateName": f"{stem}-"}
    metadata = {**called, "namespace": namespace_name(tenant)}
    return {"apiVersion": API_VERSION, "kind": REMOTE_JOB, "metadata": metadata, "spec": given}
