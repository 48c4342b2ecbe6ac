"""What came out: tables for people, JSON for later."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.aims import Aim
from bench.figures import Reading, Summary
from infra.tools.pins import KUBERNETES_VERSION

RESULTS = Path(__file__).parent / "results"


def shown(name: str, value: float) -> str:
    """A figure as people read it; the unit is the end of its name."""
    if name.endswith("bytes"):
        return f"{value / 1e6:,.1f} MB"
    if name.endswith("per_cpu_second") or name in ("events", "objects", "series", "scrapes", "never_seen"):
        return f"{value:,.0f}"
    if name.endswith("per_second"):
        return f"{value:,.0f}/s"
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def figures_table(summaries: Iterable[Summary]) -> Table:
    """A row a measurement and program."""
    table = Table(title="Medians", title_justify="left")
    for column in ("measurement", "program", "Jobs", "runs", "figures"):
        table.add_column(column, justify="right" if column in ("Jobs", "runs") else "left")
    for s in summaries:
        figures = "  ".join(
            f"{name.removesuffix('_seconds').removesuffix('_bytes').replace('_', ' ')} {shown(name, value)}"
            for name, value in s.figures.items()
        )
        table.add_row(s.measure, s.program, f"{s.jobs:,}", str(s.runs), figures)
    return table


def aims_table(aims: Iterable[Aim]) -> Table:
    """A row an aim."""
    table = Table(title="Aims", title_justify="left")
    for column in ("aim", "measured", "wanted", ""):
        table.add_column(column, justify="left" if column in ("aim", "") else "right")
    colours = {"met": "green", "missed": "red", "not measured": "dim"}
    for aim in aims:
        measured = "" if aim.measured is None else f"{aim.measured:.3g} {aim.unit}"
        bound = f"{'>=' if aim.least else '<='} {aim.limit:.3g} {aim.unit}"
        table.add_row(aim.name, measured, bound, f"[{colours[aim.verdict]}]{aim.verdict}[/]")
    return table


def print_report(console: Console, summaries: Sequence[Summary], aims: Sequence[Aim]) -> None:
    """Both tables, and which aims were missed."""
    console.print(figures_table(summaries))
    console.print(aims_table(aims))
    console.print(
        "kube-state-metrics was measured elsewhere, on a like machine, with 11 series and 920 bytes a Job."
    )
    missed = [aim.name for aim in aims if aim.verdict == "missed"]
    if missed:
        console.print(f"{len(missed)} missed: {'; '.join(missed)}")


def document(
    readings: Sequence[Reading], summaries: Sequence[Summary], aims: Sequence[Aim]
) -> dict[str, Any]:
    """All of it, with the machine that it was measured on."""
    return {
        "machine": machine(),
        "summaries": [dataclasses.asdict(s) for s in summaries],
        "aims": [{**dataclasses.asdict(aim), "verdict": aim.verdict} for aim in aims],
        "readings": [dataclasses.asdict(r) for r in readings],
    }


def save(content: dict[str, Any], path: Path | None = None) -> Path:
    """As a JSON file; by default one of its own in bench/results."""
    path = path or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was otherwise."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": KUBERNETES_VERSION,
        "commit": commit.stdout.strip(),
        "load_average": list(os.getloadavg()),
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
