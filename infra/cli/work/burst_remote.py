"""The demo's jobs for remote sites. Pure: plain objects in, plain data out.

A site that does not answer is sent nothing: what the demo shows is work that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.cli.views.kube import Object, is_true
from infra.cli.views.overview import held_gpus
from infra.cli.work.burst import RUN_LABEL
from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.tenancy import namespace_name

_LIMIT: Final = "5m"
_GPUS: Final = (1, 2, 4)


@dataclass(frozen=True)
class RemoteWork:
    """One job. ``gpus`` a node; None: whole nodes, all that they have."""

    name: str
    tenant: str
    site: str
    partition: str
    gpus: int | None
    seconds: int


@dataclass(frozen=True)
class SiteRow:
    """A site's line of the live table: jobs by state, and GPUs of what runs."""

    site: str
    queued: int
    running: int
    done: int
    failed: int
    gpus: int


@dataclass(frozen=True)
class _Place:
    site: str
    partition: str
    whole: bool


def plan(
    sites: Iterable[Object], tenants: Iterable[Object], run: str, *, jobs: int
) -> tuple[list[RemoteWork], list[str]]:
    """Which jobs to submit, spread over places and over the partners that have projects there.

    Second, the sites that are left out since they do not answer.
    """
    sites = sorted(sites, key=lambda s: str(s["metadata"]["name"]))
    partners: dict[str, list[str]] = {}
    for tenant in sorted(tenants, key=lambda t: str(t["metadata"]["name"])):
        for name in {a["site"] for a in tenant["spec"].get("allocations") or ()}:
            partners.setdefault(name, []).append(tenant["metadata"]["name"])
    # A site where nobody has a project is not asked, and lacks nothing here.
    sites = [site for site in sites if site["metadata"]["name"] in partners]
    silent = [site["metadata"]["name"] for site in sites if not is_true(site, "Answers")]
    places = [place for site in sites if site["metadata"]["name"] not in silent for place in _places(site)]
    works = []
    for i in range(jobs if places else 0):
        turn, at = divmod(i, len(places))
        place = places[at]
        there = partners[place.site]
        works.append(
            RemoteWork(
                name=f"demo-{run}-r{i:02d}",
                # Each place begins at another partner and goes on from there turn by turn.
                tenant=there[(turn + at) % len(there)],
                site=place.site,
                partition=place.partition,
                gpus=None if place.whole else _GPUS[turn % len(_GPUS)],
                seconds=5 + (i * 3) % 5,
            )
        )
    return works, silent


def remote_job(work: RemoteWork, run: str) -> dict[str, Any]:
    """The RemoteJob."""
    spec = {
        "site": work.site,
        "partition": work.partition,
        "timeLimit": _LIMIT,
        "script": f"#!/bin/sh\nhostname\nsleep {work.seconds}\n",
        **({} if work.gpus is None else {"gpusPerNode": work.gpus}),
    }
    metadata = {"name": work.name, "namespace": namespace_name(work.tenant), "labels": {RUN_LABEL: run}}
    return {"apiVersion": API_VERSION, "kind": REMOTE_JOB, "metadata": metadata, "spec": spec}


def outcome(job: Object) -> str:
    """queued, running, done or failed; queued is here or at its site."""
    state = job.get("status", {}).get("state", "pending")
    return {"running": "running", "succeeded": "done", "failed": "failed", "cancelled": "failed"}.get(
        state, "queued"
    )


def table(works: Sequence[RemoteWork], jobs: Iterable[Object], sites: Iterable[Object]) -> list[SiteRow]:
    """A row a site, by name."""
    found = {job["metadata"]["name"]: job for job in jobs}
    by_name = {site["metadata"]["name"]: site for site in sites}
    rows = []
    for name in sorted({work.site for work in works}):
        here = [work for work in works if work.site == name]
        states = [outcome(found[w.name]) if w.name in found else "queued" for w in here]
        held = (
            held_gpus(found[w.name], by_name[name])
            for w, state in zip(here, states, strict=True)
            if state == "running"
        )
        queued, running, done, failed = map(states.count, ("queued", "running", "done", "failed"))
        rows.append(SiteRow(name, queued, running, done, failed, sum(held)))
    return rows


def _places(site: Object) -> list[_Place]:
    """A site's partitions with GPUs: the first of whole nodes, and the first of parts."""
    chosen: dict[bool, _Place] = {}
    for partition in site["spec"]["partitions"]:
        whole = bool(partition.get("wholeNodes"))
        if partition.get("gpusPerNode"):
            chosen.setdefault(whole, _Place(site["metadata"]["name"], partition["name"], whole))
    return list(chosen.values())
