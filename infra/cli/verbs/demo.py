"""`antenna demo`: a burst of real jobs of several partners, here and at remote sites, watched to its end."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click

from infra import paths
from infra.cli.engines.open import open_quietly
from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views import overview
from infra.cli.views.demo import Look, line, render, total_of
from infra.cli.views.kube import Object
from infra.cli.views.screen import Screen
from infra.cli.work import burst, burst_remote
from infra.cli.work.burst import Work
from infra.cli.work.burst_remote import RemoteWork, SiteRow
from infra.cli.work.own_objects import own_objects
from operators import queues
from operators.api import API_VERSION
from operators.kube import client
from operators.kube.client import Cluster
from operators.kube.errors import NotFound, patiently

POLL_SECONDS = 0.5
# In a log, the burst is told this often.
LOG_SECONDS = 3.0
# Kueue's webhooks may still be coming up when a demo follows an `up` at once.
PATIENCE_SECONDS = 60.0
# At a real site jobs cost what was granted: there they are asked for.
REMOTE_JOBS = 16


@click.command(
    cls=Verb,
    epilog=epilog("antenna demo", "antenna demo --jobs 48 --partners 8", "antenna demo --json --keep"),
)
@click.option("--jobs", type=click.IntRange(1, 400), default=24, show_default=True, help="How many jobs.")
@click.option(
    "--partners", type=click.IntRange(1, 50), default=5, show_default=True, help="From how many partners."
)
@click.option(
    "--timeout", type=click.IntRange(10), default=600, show_default=True, help="Seconds to wait for all."
)
@click.option(
    "--remote-jobs",
    type=click.IntRange(0, 400),
    help=f"How many more go to remote sites. Default: {REMOTE_JOBS} where these are played here, else none.",
)
@click.option("--keep", is_flag=True, help="Leave the jobs in the cluster afterwards.")
@options("stack", "json")
@click.pass_obj
def demo(
    session: Session, /, jobs: int, partners: int, timeout: int, *, remote_jobs: int | None, keep: bool
) -> None:
    """Submit a burst of real GPU jobs of several partners and watch them queue, borrow and run.

    Together they ask for more GPUs than there are; others go to remote sites. Exits with 1 when a job
    fails, or when more GPUs were admitted at once than the site has.
    """
    screen = session.begin("demo")
    api = client.connect(paths.kubeconfig(session.stack))
    total, largest = _gpus(api)
    if not total:
        raise Failure("the cluster offers no GPUs", session.command("doctor"))
    run = secrets.token_hex(3)
    found = burst.queues(
        *(api.list_objects(queues.API_VERSION, k) for k in ("ClusterQueue", "LocalQueue", "Cohort"))
    )
    if len({q.partner for q in found}) < partners:
        raise WrongInput(
            f"{len(found)} partners have a queue that can hold GPU jobs, {partners} are asked for"
        )
    works = burst.plan(found, run, largest=largest, jobs=jobs, partners=partners)
    screen.log.open()
    asked = sum(w.gpus for w in works)
    screen.say(f"{len(works)} jobs of {partners} partners ask for {asked} GPUs; the site has {total}")
    sites = own_objects(api, "RemoteSite")
    wanted = remote_jobs if remote_jobs is not None else REMOTE_JOBS if _made_here(session) else 0
    away, silent = burst_remote.plan(sites, own_objects(api, "Tenant") if sites else [], run, jobs=wanted)
    if silent and wanted:
        screen.say(f"nothing is sent to {', '.join(silent)}, which does not answer", "yellow")
    if away:
        places = dict.fromkeys(f"{w.site} {w.partition}" for w in away)
        screen.say(f"{len(away)} jobs of {len({w.tenant for w in away})} partners go to {', '.join(places)}")
    plan = _Plan(run, works, away, sites)
    with _jobs(api, plan, screen, keep=keep):
        result = _watch(api, plan, total, timeout=timeout, screen=screen)
    if session.json:
        click.echo(json.dumps({"stack": session.stack, **result.document()}, indent=2))
    _sum_up(result, screen)
    if result.problems:
        raise Failure(
            "; ".join(result.problems),
            f"read {screen.log.path}; {session.command('demo')} --keep, then kubectl describe the jobs",
        )


@dataclass(frozen=True)
class _Plan:
    """What is submitted: here, and to remote sites."""

    run: str
    works: Sequence[Work]
    away: Sequence[RemoteWork]
    sites: Sequence[Object]


@contextmanager
def _jobs(api: Cluster, plan: _Plan, screen: Screen, *, keep: bool) -> Iterator[None]:
    """The jobs, submitted at once as partners would, and gone afterwards however this ends."""

    def submit(obj: dict[str, Any]) -> None:
        for attempt in patiently(PATIENCE_SECONDS, lambda error: screen.status("demo", f"waiting: {error}")):
            with attempt:
                api.create(obj)

    objects: list[dict[str, Any]] = [burst.job(work, plan.run, keep=keep) for work in plan.works]
    objects += [burst_remote.remote_job(work, plan.run) for work in plan.away]
    try:
        with screen.phase("submitting"), ThreadPoolExecutor(8) as pool:
            list(pool.map(submit, objects))
        yield
    finally:
        if not keep:
            for obj in objects:
                with suppress(NotFound):
                    metadata = obj["metadata"]
                    api.delete(obj["apiVersion"], obj["kind"], metadata["name"], metadata["namespace"])


def _made_here(session: Session) -> bool:
    resources = open_quietly(session).resources()
    return any(r.kind == "Machine" and r.inputs.get("driver") == "nspawn" for r in resources)


def _look(api: Cluster, plan: _Plan) -> Look:
    # All Workloads, not only the burst's: what others hold counts against the site's GPUs too.
    workloads: list[Object] = [*api.list_objects(queues.API_VERSION, "Workload")]
    # After them, so that a Job that ended since is not taken for one that still holds its GPUs.
    jobs: list[Object] = [*api.list_objects("batch/v1", "Job", labels=f"{burst.RUN_LABEL}={plan.run}")]
    sites: list[SiteRow] = []
    if plan.away:
        remote = api.list_objects(API_VERSION, "RemoteJob", labels=f"{burst.RUN_LABEL}={plan.run}")
        sites = burst_remote.table(plan.away, remote, plan.sites)
    states = [burst.outcome(job) for job in jobs]
    holding = burst.of_living_jobs(workloads, jobs)
    rows = burst.table(plan.works, jobs, holding)
    return Look(
        rows=rows,
        holders=burst.holders(holding),
        borrowed=sum(row.borrowed for row in rows),
        ended=len(jobs) == len(plan.works)
        and all(s in ("done", "failed") for s in states)
        and not any(row.queued or row.running for row in sites),
        jobs=jobs,
        workloads=workloads,
        sites=sites,
    )


def _watch(api: Cluster, plan: _Plan, total: int, *, timeout: float, screen: Screen) -> burst.Result:
    began = time.monotonic()
    borrowed = 0
    holders: dict[str, int] = {}
    told = -LOG_SECONDS
    with screen.board() as board:
        while True:
            for attempt in patiently(
                PATIENCE_SECONDS, lambda error: screen.say(f"waiting: {error}", "yellow")
            ):
                with attempt:
                    now = _look(api, plan)
            borrowed = max(borrowed, now.borrowed)
            if total_of(now.holders) > max(total, total_of(holders)):
                _keep_evidence(screen, now)
            holders = max(holders, now.holders, key=total_of)
            seconds = time.monotonic() - began
            board(render(now, total, seconds))
            over = now.ended or seconds > timeout
            if not screen.live and (over or seconds - told >= LOG_SECONDS):
                screen.say(line(now, total, seconds))
                told = seconds
            if over:
                break
            time.sleep(POLL_SECONDS)
    ours = {job["metadata"]["uid"] for job in now.jobs}
    own = [
        w
        for w in now.workloads
        if any(o.get("uid") in ours for o in w["metadata"].get("ownerReferences", []))
    ]
    waits = burst.waits(own)
    holders = max(holders, burst.peak(own, now.jobs), key=total_of)
    if total_of(holders) > total:
        _keep_evidence(screen, now)
    local = {
        "jobs": len(plan.works),
        "succeeded": sum(r.done for r in now.rows),
        "failed": sum(r.failed for r in now.rows),
    }
    sites = {overview.LOCAL: local} | {
        row.site: {
            "jobs": sum(work.site == row.site for work in plan.away),
            "succeeded": row.done,
            "failed": row.failed,
        }
        for row in now.sites
    }
    return burst.Result(
        jobs=sum(counts["jobs"] for counts in sites.values()),
        succeeded=sum(counts["succeeded"] for counts in sites.values()),
        failed=sum(counts["failed"] for counts in sites.values()),
        sites=sites,
        partners=sorted({w.queue.partner for w in plan.works} | {w.tenant for w in plan.away}),
        gpus=total,
        gpus_requested=sum(w.gpus for w in plan.works),
        peak_gpus=total_of(holders),
        peak_holders=holders,
        peak_borrowed=borrowed,
        wait_seconds_mean=round(sum(waits) / len(waits), 1) if waits else 0.0,
        wait_seconds_max=max(waits, default=0.0),
        seconds=round(time.monotonic() - began, 1),
    )


def _keep_evidence(screen: Screen, now: Look) -> None:
    """Into the log: who held what and since when, to tell a wrong reckoning from a wrong admission."""
    screen.log.write(json.dumps({"workloads": burst.stamps(now.workloads), "jobs": burst.stamps(now.jobs)}))


def _gpus(api: Cluster) -> tuple[int, int]:
    """(GPUs of all Ready nodes, GPUs of the largest)."""
    counts = [n.gpus for n in overview.nodes(api.list_objects("v1", "Node"), []) if n.ready]
    return sum(counts), max(counts, default=0)


def _sum_up(result: burst.Result, screen: Screen) -> None:
    away = [
        f"{name} {counts['succeeded']}" for name, counts in result.sites.items() if name != overview.LOCAL
    ]
    screen.say(
        f"demo: {result.succeeded} of {result.jobs} jobs succeeded in {result.seconds:.0f} s; "
        f"at most {result.peak_gpus} of {result.gpus} GPUs at once, {result.peak_borrowed} borrowed; "
        f"wait {result.wait_seconds_mean:.0f} s on average, {result.wait_seconds_max:.0f} s at most"
        + (f"; of these {', '.join(away)} at remote sites" if away else ""),
        "bold red" if result.problems else "bold green",
    )
