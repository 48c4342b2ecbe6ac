"""The live tables of `antenna demo`, and their lines in a log. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.cli.views.kube import Object
from infra.cli.work.burst import Row
from infra.cli.work.burst_remote import SiteRow


@dataclass(frozen=True)
class Look:
    """The burst at one moment."""

    rows: list[Row]
    holders: dict[str, int]
    borrowed: int
    ended: bool
    jobs: list[Object]
    workloads: list[Object]
    sites: list[SiteRow]


def total_of(holders: Mapping[str, int]) -> int:
    """GPUs of all holders together."""
    return sum(holders.values())


def render(now: Look, total: int, seconds: float) -> Group:
    """The live tables: partners here, and below them the remote sites."""
    parts: list[RenderableType] = [_partners(now, total, seconds)]
    if now.sites:
        parts += [Text(), _away(now.sites)]
    return Group(*parts)


def _away(rows: Sequence[SiteRow]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("REMOTE SITE")
    for title in ("QUEUED", "RUNNING", "DONE", "FAILED", "GPUS"):
        table.add_column(title, justify="right")
    table.add_column("")
    for row in rows:
        counts = [str(n) if n else "·" for n in (row.queued, row.running, row.done)]
        failed = Text(str(row.failed or "·"), "red" if row.failed else "dim")
        bar = Text("█" * row.running, "green")
        bar.append("░" * row.queued, "dim")
        table.add_row(row.site, *counts, failed, str(row.gpus or "·"), bar)
    return table


def _partners(now: Look, total: int, seconds: float) -> Table:
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
        ("GPUS", f"{total_of(now.holders)}/{total}"),
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


def line(now: Look, total: int, seconds: float) -> str:
    """The same in one line."""
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
    away = "".join(
        f"  {r.site} {r.queued}+{r.running}, {r.done} done" + (f", {r.failed} failed" if r.failed else "")
        for r in now.sites
    )
    return f"{counts}  GPUs {total_of(now.holders)}/{total}" + (f"  {holders}" if holders else "") + away
