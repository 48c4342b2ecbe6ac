"""`antenna demo`: a burst of real GPU jobs from several partners, watched until they are done."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import click
from rich.table import Table
from rich.text import Text

from infra import paths
from infra.cli import burst, overview
from infra.cli.burst import Row, Work
from infra.cli.failure import Failure, WrongInput
from infra.cli.kube import Object
from infra.cli.screen import Screen
from infra.cli.session import Session, Verb, epilog, options
from operators import k8s, queues
from operators.k8s import Cluster
from operators.k8s_errors import NotFound, patiently

POLL_SECONDS = 0.5
# In a log, the burst is told this often.
LOG_SECONDS = 3.0
# Kueue's webhooks may still be coming up when a demo follows an `up` at once.
PATIENCE_SECONDS = 60.0


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
@click.option("--keep", is_flag=True, help="Leave the jobs in the cluster afterwards.")
@options("stack", "json")
@click.pass_obj
def demo(session: Session, jobs: int, partners: int, timeout: int, keep: bool) -> None:
    """Submit a burst of real GPU jobs from several partners and watch them queue, borrow, run, finish.

    Together they ask for more GPUs than there are. Exits with 1 when a job fails, or when more GPUs were
    admitted at once than the site has.
    """
    screen = session.begin("demo")
    api = k8s.connect(paths.kubeconfig(session.stack))
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
    with _jobs(api, works, run, screen, keep=keep):
        result = _watch(api, works, run, total, timeout=timeout, screen=screen)
    if session.json:
        click.echo(json.dumps({"stack": session.stack, **result.document()}, indent=2))
    _sum_up(result, screen)
    if result.problems:
        raise Failure(
            "; ".join(result.problems),
            f"read {screen.log.path}; {session.command('demo')} --keep, then kubectl describe the jobs",
        )


@contextmanager
def _jobs(api: Cluster, works: Sequence[Work], run: str, screen: Screen, *, keep: bool) -> Iterator[None]:
    """The jobs, submitted at once as partners would, and gone afterwards however this ends."""

    def submit(work: Work) -> None:
        for attempt in patiently(PATIENCE_SECONDS, lambda error: screen.status("demo", f"waiting: {error}")):
            with attempt:
                api.create(burst.job(work, run, keep=keep))

    try:
        with screen.phase("submitting"), ThreadPoolExecutor(8) as pool:
            list(pool.map(submit, works))
        yield
    finally:
        if not keep:
            for work in works:
                with suppress(NotFound):
                    api.delete("batch/v1", "Job", work.name, work.queue.namespace)


@dataclass(frozen=True)
class _Look:
    """The burst at one moment."""

    rows: list[Row]
    holders: dict[str, int]
    borrowed: int
    ended: bool
    jobs: list[Object]
    workloads: list[Object]


def _look(api: Cluster, works: Sequence[Work], run: str) -> _Look:
    # All Workloads, not only the burst's: what others hold counts against the site's GPUs too.
    workloads: list[Object] = [*api.list_objects(queues.API_VERSION, "Workload")]
    # After them, so that a Job that ended since is not taken for one that still holds its GPUs.
    jobs: list[Object] = [*api.list_objects("batch/v1", "Job", labels=f"{burst.RUN_LABEL}={run}")]
    states = [burst.outcome(job) for job in jobs]
    holding = burst.of_living_jobs(workloads, jobs)
    rows = burst.table(works, jobs, holding)
    return _Look(
        rows=rows,
        holders=burst.holders(holding),
        borrowed=sum(row.borrowed for row in rows),
        ended=len(jobs) == len(works) and all(s in ("done", "failed") for s in states),
        jobs=jobs,
        workloads=workloads,
    )


def _watch(
    api: Cluster, works: Sequence[Work], run: str, total: int, *, timeout: float, screen: Screen
) -> burst.Result:
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
                    now = _look(api, works, run)
            borrowed = max(borrowed, now.borrowed)
            if _gpus_of(now.holders) > max(total, _gpus_of(holders)):
                _keep_evidence(screen, now)
            holders = max(holders, now.holders, key=_gpus_of)
            seconds = time.monotonic() - began
            board(_render(now, total, seconds))
            over = now.ended or seconds > timeout
            if not screen.live and (over or seconds - told >= LOG_SECONDS):
                screen.say(_line(now, total, seconds))
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
    holders = max(holders, burst.peak(own, now.jobs), key=_gpus_of)
    if _gpus_of(holders) > total:
        _keep_evidence(screen, now)
    return burst.Result(
        jobs=len(works),
        succeeded=sum(r.done for r in now.rows),
        failed=sum(r.failed for r in now.rows),
        partners=sorted({w.queue.partner for w in works}),
        gpus=total,
        gpus_requested=sum(w.gpus for w in works),
        peak_gpus=_gpus_of(holders),
        peak_holders=holders,
        peak_borrowed=borrowed,
        wait_seconds_mean=round(sum(waits) / len(waits), 1) if waits else 0.0,
        wait_seconds_max=max(waits, default=0.0),
        seconds=round(time.monotonic() - began, 1),
    )


def _keep_evidence(screen: Screen, now: _Look) -> None:
    """Into the log: who held what and since when, to tell a wrong reckoning from a wrong admission."""
    screen.log.write(json.dumps({"workloads": burst.stamps(now.workloads), "jobs": burst.stamps(now.jobs)}))


def _gpus_of(holders: dict[str, int]) -> int:
    return sum(holders.values())


def _gpus(api: Cluster) -> tuple[int, int]:
    """(GPUs of all Ready nodes, GPUs of the largest)."""
    counts = [n.gpus for n in overview.nodes(api.list_objects("v1", "Node"), []) if n.ready]
    return sum(counts), max(counts, default=0)


def _render(now: _Look, total: int, seconds: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_footer=True)
    done, all_ = (
        sum(r.done for r in now.rows),
        sum(r.queued + r.running + r.done + r.failed for r in now.rows),
    )
    table.add_column("PARTNER", footer=f"{done}/{all_} done, {seconds:.0f}s")
    for title, footer in (
        ("QUEUED", sum(r.queued for r in now.rows)),
        ("RUNNING", sum(r.running for r in now.rows)),
        ("DONE", done),
        ("FAILED", sum(r.failed for r in now.rows)),
        ("GPUS", f"{_gpus_of(now.holders)}/{total}"),
        ("BORROWED", now.borrowed),
    ):
        table.add_column(title, footer=str(footer), justify="right")
    table.add_column("")
    for r in now.rows:
        bar = Text("█" * r.gpus, "green")
        bar.append("░" * r.queued, "dim")
        failed = Text(str(r.failed or "·"), "red" if r.failed else "dim")
        counts = [str(n) if n else "·" for n in (r.queued, r.running, r.done)]
        table.add_row(r.partner, *counts, failed, str(r.gpus or "·"), str(r.borrowed or "·"), bar)
    return table


def _line(now: _Look, total: int, seconds: float) -> str:
    queued, running = sum(r.queued for r in now.rows), sum(r.running for r in now.rows)
    done, failed = sum(r.done for r in now.rows), sum(r.failed for r in now.rows)
    counts = f"  {seconds:>3.0f}s  queued {queued:>3}  running {running:>2}  done {done:>3}" + (
        f"  failed {failed}" if failed else ""
    )
    holders = ", ".join(
        f"{r.partner} {r.gpus}" + (f" ({r.borrowed} borrowed)" if r.borrowed else "")
        for r in now.rows
        if r.gpus
    )
    return f"{counts}  GPUs {_gpus_of(now.holders)}/{total}" + (f"  {holders}" if holders else "")


def _sum_up(result: burst.Result, screen: Screen) -> None:
    screen.say(
        f"demo: {result.succeeded} of {result.jobs} jobs succeeded in {result.seconds:.0f} s; "
        f"at most {result.peak_gpus} of {result.gpus} GPUs at once, {result.peak_borrowed} borrowed; "
        f"wait {result.wait_seconds_mean:.0f} s on average, {result.wait_seconds_max:.0f} s at most",
        "bold red" if result.problems else "bold green",
    )
