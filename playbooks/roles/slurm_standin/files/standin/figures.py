"""What each project has used, by the site's own billing rules, from Slurm's accounting.

Like the sites' own tools it is refreshed from time to time: what these tell is as old as the last refresh.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from calendar import timegm
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import entry

FILE = Path("/var/lib/antenna/standin/figures.json")
HOUR = 3600
GIB = 1024.0
_SCALE = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


@dataclass(frozen=True)
class Job:
    """A job's share of a month: project, partition, what it was allocated, for how many seconds."""

    project: str
    partition: str
    month: str
    seconds: int
    nodes: int
    cores: int
    gpus: int
    memory_mib: float


def units(rule: Mapping[str, Any], job: Job) -> float:
    """What a job costs by a partition's billing rule, as ``infra/site/remote.py`` states them. Pure."""
    hours = job.seconds / HOUR
    match rule["rule"]:
        case "whole-nodes":
            return float(rule["per_node_hour"]) * job.nodes * hours
        case "largest-share":
            cores, gibibytes = int(rule["cores_per_slot"]), int(rule["memory_gib_per_slot"])
            slots = max(math.ceil(job.cores / cores), math.ceil(job.memory_mib / GIB / gibibytes), job.gpus)
            return float(rule.get("factor") or 1.0) * slots * hours
        case _:
            return job.cores * hours


def total(site: Mapping[str, Any], jobs: Iterable[Job]) -> dict[str, dict[str, dict[str, float]]]:
    """project -> unit -> month (YYYY-MM) -> used. Pure. Partitions that the site lacks are not billed."""
    rules = {partition["name"]: partition["billing"] for partition in site["partitions"]}
    used: dict[str, dict[str, dict[str, float]]] = {}
    for job in jobs:
        if rule := rules.get(job.partition):
            months = used.setdefault(job.project, {}).setdefault(rule["unit"], {})
            months[job.month] = months.get(job.month, 0.0) + units(rule, job)
    return used


def parse(text: str, now: float) -> list[Job]:
    """From sacct's Account|Partition|Start|End|AllocTRES, times in seconds since the epoch. Pure."""
    jobs = []
    for line in text.splitlines():
        project, partition, start, end, tres = line.split("|")
        if not start.isdigit():
            continue
        until = int(end) if end.isdigit() else int(now)
        amounts = dict(part.split("=", 1) for part in tres.split(",") if "=" in part)
        for month, seconds in months(int(start), until):
            jobs.append(
                Job(
                    project,
                    partition,
                    month,
                    seconds,
                    int(amounts.get("node", 0)),
                    int(amounts.get("cpu", 0)),
                    int(amounts.get("gres/gpu", 0)),
                    mebibytes(amounts.get("mem", "0")),
                )
            )
    return jobs


def months(start: int, end: int) -> list[tuple[str, int]]:
    """(YYYY-MM, seconds) of each UTC month that an interval touches. Pure."""
    found = []
    while start < end:
        year, month = time.gmtime(start)[:2]
        following = (year + month // 12, month % 12 + 1)
        until = min(end, timegm((*following, 1, 0, 0, 0)))
        found.append((f"{year}-{month:02}", until - start))
        start = until
    return found


def mebibytes(text: str) -> float:
    """Slurm's amounts of memory: 480G, 1.50T, 512M, or MiB without a letter. Pure."""
    matched = re.fullmatch(r"([0-9.]+)([KMGT]?)", text)
    return float(matched[1]) * _SCALE.get(matched[2], 1.0) if matched else 0.0


def main() -> None:
    """Refresh the figures."""
    now = time.time()
    argv = ["sacct", "--allocations", "--allusers", "--duplicates", "--noheader", "--parsable2"]
    argv += ["--starttime=2020-01-01", "--format=Account,Partition,Start,End,AllocTRES"]
    environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC0", "SLURM_TIME_FORMAT": "%s"}
    text = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment).stdout
    used = total(entry.read().site, parse(text, now))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    fresh = FILE.with_suffix(".new")
    fresh.write_text(json.dumps({"at": int(now), "used": used}))
    fresh.chmod(0o644)
    fresh.replace(FILE)


def read(path: Path = FILE) -> tuple[int, dict[str, dict[str, dict[str, float]]]]:
    """When the figures were made (seconds since the epoch), and what ``total`` said; 0 before the first."""
    if not path.is_file():
        return 0, {}
    told = json.loads(path.read_text())
    return told["at"], told["used"]


if __name__ == "__main__":
    main()
