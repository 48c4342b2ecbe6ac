"""A tunnel that is cut again and again under load, on demand: ANTENNA_TEST_CUTS="30 30 120", in seconds."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.live.site_under_test import SiteUnderTest, eventually

CUTS = [int(word) for word in os.environ.get("ANTENNA_TEST_CUTS", "").split()]
pytestmark = pytest.mark.skipif(not CUTS, reason='minutes a cut: ANTENNA_TEST_CUTS="30 30 120"')

TENANTS = ("imec", "ku-leuven", "ugent", "ulb", "vib", "vub")
EVERY = 5.0  # seconds between two jobs
BETWEEN = 45.0  # seconds between two cuts, in which it is connected to again
NOTICED = 75  # seconds of a cut after which the site must be known not to answer
SETTLED = 300
OVER = ("succeeded", "failed", "cancelled")


def job(name: str, tenant: str, site: str = "lumi") -> dict[str, Any]:
    where = {"site": site, **({"partition": "small-g"} if site != "any" else {})}
    return {
        "apiVersion": "antenna.be/v1alpha1",
        "kind": "RemoteJob",
        "metadata": {"name": name, "namespace": f"tenant-{tenant}", "labels": {"test": "cuts"}},
        "spec": {**where, "gpusPerNode": 4 if site == "any" else 1, "timeLimit": "5m", "script": "sleep 6"},
    }


@contextmanager
def cut(site: SiteUnderTest, machine: str) -> Iterator[None]:
    """Nothing of the tunnel gets through at its far end; the machine's management does."""
    ports = "{ 51820, 51821 }"
    rules = (
        f"add table inet cut; add chain inet cut in {{ type filter hook input priority -300; }};"
        f" add chain inet cut out {{ type filter hook output priority -300; }};"
        f" add rule inet cut in udp dport {ports} drop; add rule inet cut out udp sport {ports} drop"
    )
    site.on(machine, f"nft '{rules}'")
    try:
        yield
    finally:
        site.on(machine, "nft delete table inet cut")


@contextmanager
def load(site: SiteUnderTest, sent: list[str]) -> Iterator[None]:
    """Jobs for LUMI, one now and then, of each partner in turn."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(EVERY):
            name = f"cut-{len(sent):04}"
            made = job(name, TENANTS[len(sent) % len(TENANTS)])
            site.kubectl("create", "-f", "-", given=json.dumps(made))
            sent.append(name)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def told(site: SiteUnderTest) -> dict[str, dict[str, Any]]:
    """The jobs' statuses by name."""
    jobs = site.get("remotejobs", "-A", "-l", "test=cuts")["items"]
    return {j["metadata"]["name"]: {"uid": j["metadata"]["uid"], **j.get("status", {})} for j in jobs}


def test_nothing_is_lost_or_doubled_and_new_work_is_held_or_goes_elsewhere(site: SiteUnderTest) -> None:
    sent: list[str] = []
    elsewhere: list[str] = []
    began = site.on("lumi", "date +%Y-%m-%dT%H:%M:%S").strip()
    try:
        with load(site, sent):
            for number, seconds in enumerate(CUTS):
                time.sleep(BETWEEN)
                with cut(site, "lumi"):
                    end = time.monotonic() + seconds
                    if seconds > NOTICED:
                        time.sleep(NOTICED)
                        elsewhere.append(f"any-{number:03}")
                        anywhere = job(elsewhere[-1], "imec", "any")
                        site.kubectl("create", "-f", "-", given=json.dumps(anywhere))
                        held = told(site)
                        late = [held[n] for n in sent[-3:] if n in held]
                        assert all(one.get("state", "pending") == "pending" for one in late), late
                        assert any("does not answer" in one.get("message", "") for one in late), late
                    time.sleep(max(0.0, end - time.monotonic()))
                assert not any(s.get("state") in ("failed", "cancelled") for s in told(site).values())

        def all_over() -> bool:
            statuses = told(site)
            return len(statuses) == len(sent) + len(elsewhere) and all(
                status.get("state") in OVER for status in statuses.values()
            )

        eventually("every job is over", all_over, SETTLED, every=3)
        statuses = told(site)
        assert Counter(s["state"] for s in statuses.values()) == {"succeeded": len(sent) + len(elsewhere)}
        assert {statuses[name]["site"] for name in elsewhere} <= {"jupiter"}
        # Slurm's own accounting: each job once, and nothing else of ours.
        rows = site.on("lumi", f"sacct -a -X -n -P -S {began} -u antenna -o JobName,State").splitlines()
        ran = Counter(row.split("|")[0] for row in rows)
        assert ran == {f"antenna-{statuses[name]['uid']}": 1 for name in sent}
        assert {row.split("|")[1] for row in rows} == {"COMPLETED"}
        print(f"{len(CUTS)} cuts, {len(sent)} jobs to LUMI, {len(elsewhere)} to any: 0 lost, 0 doubled")
    finally:
        site.kubectl(
            "delete",
            "remotejobs",
            "--all-namespaces",
            "-l",
            "test=cuts",
            "--wait=false",
            "--ignore-not-found",
        )
