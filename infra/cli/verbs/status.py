"""`antenna status`: machines, nodes and queues on one screen."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra import paths
from infra.cli.checks import operator as operator_checks
from infra.cli.checks import operator_facts
from infra.cli.engines.events import Resource
from infra.cli.engines.open import open_quietly
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views import overview
from infra.cli.views.overview import Machine, Overview, Queue, Site
from infra.cli.views.screen import Screen
from infra.cli.work import alerts as alert_facts
from infra.cli.work.own_objects import own_objects
from infra.provider import container
from operators import queues
from operators.kube import client
from operators.kube.errors import KubernetesError

CONNECT_SECONDS = 2.0
WATCH_SECONDS = 2.0


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna status", "antenna status --watch", "antenna status --json | jq '.queues[].pending'"
    ),
)
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until Ctrl-C.")
@options("stack", "config-file", "engine", "json")
@click.pass_obj
def status(session: Session, watch: bool) -> None:
    """Show machines, nodes and queues on one screen: what runs, who waits, for how long.

    Exits with 1 when something is not as it should be.
    """
    screen = session.begin("status")
    if watch and screen.live and not session.json:
        _watch(session, screen)
        return
    shown = look(session)
    if session.json:
        click.echo(json.dumps(shown.document(), indent=2))
    else:
        screen.show(render(shown, session))
    if not shown.healthy:
        raise click.exceptions.Exit(1)


def look(session: Session) -> Overview:
    """What is there now. Never raises for a site that is down: the overview says so."""
    resources = [r for r in open_quietly(session).resources() if r.kind == "Machine"]
    if not resources:
        return Overview(session.stack, [], [], [], f"not up; `{session.command('up')}` raises it")
    with ThreadPoolExecutor() as pool:
        machines = sorted(pool.map(machine, resources), key=lambda m: m.name)
    try:
        api = client.connect(paths.kubeconfig(session.stack))
        pods = api.list_objects("v1", "Pod", fields="status.phase!=Succeeded,status.phase!=Failed")
        nodes = overview.nodes(api.list_objects("v1", "Node"), pods)
        lists = [
            api.list_objects(queues.API_VERSION, kind) for kind in ("ClusterQueue", "LocalQueue", "Workload")
        ]
        remote, sent = (own_objects(api, kind) for kind in ("RemoteSite", "RemoteJob"))
        unasked = operator_facts.unasked(api) if remote else ""
        runs = operator_checks.judge(operator_facts.look(api), session.command("up"))
        critical = alert_facts.critical(api)[0] if alert_facts.is_sent(api) else ()
    except KubernetesError as error:
        return Overview(session.stack, machines, [], [], str(error))
    found = overview.queues(lists[0], lists[1], lists[2], datetime.now(UTC))
    sites = overview.sites(remote, sent, lists[2], nodes, unasked)
    return Overview(session.stack, machines, nodes, found, "", sites, runs, critical)


def machine(resource: Resource) -> Machine:
    """Whether a machine of the state runs: its container is up and its SSH port is open."""
    inputs = {**resource.inputs, **resource.outputs}
    name, driver, address = resource.name, str(inputs.get("driver")), str(inputs.get("address"))
    if driver == "nspawn" and not container.is_running(inputs["stack"], name):
        return Machine(name, driver, address, False, "stopped")
    try:
        socket.create_connection((address, int(inputs.get("port") or 22)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return Machine(name, driver, address, False, f"SSH: {error.strerror or error}")
    return Machine(name, driver, address, True, "")


def render(shown: Overview, session: Session) -> RenderableType:
    """The screen."""
    machines = _table("MACHINE", "STATE", "ADDRESS", "DRIVER")
    for m in shown.machines:
        machines.add_row(m.name, _state(m.running, "running", m.reason), m.address, m.driver)
    nodes = _table("NODE", "STATE", "GPUS", "IN USE", numbers=("GPUS", "IN USE"))
    for n in shown.nodes:
        state = _state(n.ready, n.reason or "Ready", n.reason)
        nodes.add_row(n.name, state, str(n.gpus), str(n.gpus_used))
    total, used = sum(n.gpus for n in shown.nodes), sum(n.gpus_used for n in shown.nodes)
    waiting = sum(q.pending for q in shown.queues)
    summary = f"stack {shown.stack}: {used} of {total} GPUs in use, {waiting} jobs waiting"
    # Side by side, so that fifteen partners still fit below them on 24 lines.
    above = Table.grid(padding=(0, 4, 0, 0))
    above.add_row(machines, nodes)
    parts: list[RenderableType] = [above, Text()] if shown.machines else []
    parts += [_sites(shown.sites), Text()] if shown.sites else []
    parts += [_queues(shown.queues), Text()] if shown.queues else []
    if shown.problem:
        return Group(*parts, Text(f"stack {shown.stack}: {shown.problem}", style="red"))
    parts.append(Text(summary, "bold"))
    if shown.operator and shown.operator.level != "ok":
        told = f"operator: {shown.operator.cause} -> {shown.operator.fix}"
        parts.append(Text(told, "red" if shown.operator.level == "fail" else "yellow"))
    for line in shown.critical:
        parts.append(Text(f"{line} -> {session.command('alerts')}", "red"))
    if not shown.healthy:
        advice = f"something is wrong: `{session.command('doctor')}` says what, and how to mend it"
        parts.append(Text(advice, "red"))
    return Group(*parts)


def _sites(found: Sequence[Site]) -> Table:
    """A row a site, the local one first."""
    counts = ("GPUS", "IN USE", "RUNNING", "WAITING")
    table = _table("SITE", "STATE", *counts, numbers=counts)
    for site in found:
        word = "usable" if site.name == overview.LOCAL else "answers"
        state = _state(site.usable, word if site.asked else f"not asked: {site.reason}", site.reason)
        numbers = (site.gpus, site.gpus_used, site.running, site.waiting)
        table.add_row(site.name, state, *(str(n) if n else "·" for n in numbers))
    return table


def _queues(found: Sequence[Queue]) -> Table:
    """A row a partner, idle ones too; why a queue is not active, where one is not."""
    counts = ("QUOTA", "USED", "BORROWED", "RUNNING", "WAITING", "OLDEST WAIT")
    broken = any(not q.active for q in found)
    table = _table("QUEUE", *counts, *(["PROBLEM"] if broken else []), numbers=counts)
    for q in found:
        numbers = (q.quota, q.used, q.borrowed, q.admitted, q.pending)
        cells = [q.name, *(str(n) if n else "·" for n in numbers), overview.age(q.oldest_wait) or "·"]
        why = [Text(q.reason, "red")] if broken else []
        table.add_row(*cells, *why, style="" if q.used or q.pending or not q.active else "dim")
    return table


def _watch(session: Session, screen: Screen) -> None:
    with Live(
        render(look(session), session), console=screen.console, screen=True, auto_refresh=False
    ) as live:
        try:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(render(look(session), session), refresh=True)
        except KeyboardInterrupt:
            return


def _table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=bool(column))
    return table


def _state(good: bool, word: str, reason: str) -> Text:
    return Text(word, style="green") if good else Text(reason or "not ready", style="red")
