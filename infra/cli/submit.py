"""`antenna submit SCRIPT`: a batch job for a remote site, queued with everything else of its partner."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from infra import paths
from infra.cli.failure import WrongInput
from infra.cli.session import Session, Verb, epilog, options
from operators import k8s
from operators.api import API_VERSION
from operators.api.remote_job import ANY, KIND, RemoteJobSpec
from operators.k8s_errors import Invalid
from operators.tenancy import namespace_name

Object = dict[str, Any]


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna submit train.sh --tenant ugent --site lumi --partition small-g --gpus 1 --time 2h",
        "antenna submit train.sh --tenant ugent --gpus 4 --time 30m    wherever there is room and budget",
    ),
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", required=True, metavar="NAME", help="The partner that it is for.")
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
@options("stack", "json")
@click.pass_obj
def submit(session: Session, /, script: Path, tenant: str, name: str | None, **asked: Any) -> None:
    """Queue a batch script for a remote site. It is sent once; `antenna why` says what it waits for."""
    screen = session.begin("submit")
    obj = remote_job(script.name, script.read_text(), tenant, name, asked)
    api = k8s.connect(paths.kubeconfig(session.stack))
    if api.find("v1", "Namespace", namespace_name(tenant)) is None:
        raise WrongInput(f"there is no tenant {tenant}", "`antenna status` shows all of them")
    try:
        made = api.create(obj)["metadata"]
    except Invalid as error:
        raise WrongInput("; ".join(error.causes) or str(error)) from None
    if session.json:
        click.echo(json.dumps({"stack": session.stack, "job": made["name"], "namespace": made["namespace"]}))
        return
    screen.say(f"{made['name']} is queued for {tenant}")
    screen.say(f"next:  antenna why {made['name']} --tenant {tenant}")


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
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": given}
