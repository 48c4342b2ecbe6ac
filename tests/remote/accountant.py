"""What the operator keeps of one site, as a process to be killed: ``python -m tests.remote.accountant``.

Arguments: the Slurm's folder, its SSH port, the ledger's URL. The site's worker asks the real Slurm, the
accounts write to the ledger, and jobs that a line on stdin wants (a name, GPUs, seconds) are let go by the
check ``budget`` as the dispatch's are. A line on stdout, in JSON, for each thing that happens: ``ready``,
``wrote`` and ``failed`` (to write), ``read`` (the accounting, since when), ``holds`` (with the reason),
``lets``.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from operators.api.remote_job import Attempt
from operators.catalog import FAMILIES
from operators.dispatch import checks
from operators.dispatch.placement import Place
from operators.dispatch.reservations import Reservations
from operators.dispatch.site_worker import SiteWorker
from operators.dispatch.tasks import Answering, Looked, Result, Submit
from operators.exposition.store import Store
from operators.ledger.opening import opened
from operators.ledger.remote import Read, RemoteLedger
from operators.ledger.remote_entry import RemoteEntry
from operators.ledger.trouble import told
from operators.sites.access import RemoteJobRow, Submission
from operators.sites.slurm.access import SlurmAccess
from operators.tenancy import Allocation, Tenant
from operators.usage.accounts import RemoteAccounts
from operators.usage.remote import RemoteUsage
from tests.remote.slurm import PROJECT, SlurmSite

EVERY = 0.5
"""Seconds between two polls."""
OVERLAP = 3.0
"""Seconds. Outages last longer, and at times slurmctld takes longer to tell the accounting of an end."""
TENANT = "vib"
UNIT = "gpu-hours"


def tell(what: str, **others: Any) -> None:
    """A line, written at once and whole."""
    os.write(1, (json.dumps({"at": time.time(), "what": what, **others}) + "\n").encode())


class Access(SlurmAccess):
    """Says what it read of the accounting."""

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        rows = super().ended(since)
        tell("read", since=since, ended=[row.id for row in rows])
        return rows


def partner(site: str) -> Tenant:
    """Who has the project."""
    today = datetime.now(UTC).date()
    day = timedelta(days=1)
    grant = Allocation(site, PROJECT, Fraction(10**6), UNIT, today - day, today + 9 * day)
    return Tenant(TENANT, "VIB", "flanders", ("science-research",), ("vib",), {}, allocations=(grant,))


def main(folder: Path, port: int, url: str) -> None:
    """Until told to end, or killed."""
    logging.basicConfig(level=logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    wanted: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    threading.Thread(target=lambda: [wanted.put(line.split()) for line in sys.stdin], daemon=True).start()
    slurm = SlurmSite(folder, port, folder / "key", folder / "known_hosts", {})
    site = replace(slurm.site, access=replace(slurm.site.access, poll_floor_seconds=1))
    ledger = opened(lambda: RemoteLedger(url), stop)
    if ledger is None:
        return
    written = ledger.write

    def write(entries: Sequence[RemoteEntry], read: Read | None = None) -> None:
        try:
            written(entries, read)
        except SQLAlchemyError as error:
            tell("failed", why=told(error))
            raise
        tell("wrote")

    ledger.write = write  # type: ignore[method-assign]
    tell("ready")
    accounts = RemoteAccounts(RemoteUsage(Store(FAMILIES), ledger))
    accounts.configure((site,), (partner(site.name),))
    access = Access(**slurm.access_options)
    worker = SiteWorker(site.name, access, result, accounts=accounts, every=EVERY, overlap=OVERLAP)
    threading.Thread(target=worker.run, args=(stop,), daemon=True).start()
    let_go(worker, accounts, wanted, stop)


def result(one: Result) -> None:
    """What came of it, unless it is a look."""
    if not isinstance(one, Looked | Answering):
        tell("result", of=repr(one))


def let_go(
    worker: SiteWorker, accounts: RemoteAccounts, wanted: queue.SimpleQueue[list[str]], stop: threading.Event
) -> None:
    """Each job that is wanted, as soon as the check lets it; as ``dispatch.jobs`` asks it."""
    reservations, held = Reservations(accounts, time.time), ""
    while not stop.is_set():
        try:
            name, gpus, seconds = wanted.get(timeout=0.2)
        except queue.Empty:
            continue
        place = Place(worker.site, "small-g", PROJECT, UNIT, False, 1, int(gpus), None, None)
        judged = time.time()
        while not (verdict := _verdict(reservations, accounts, place)).ready:
            if verdict.message != held:
                tell("holds", why=verdict.message)
            held = verdict.message
            time.sleep(0.05)
            judged = time.time()
        tell("lets", name=name, judged=judged)
        attempt = Attempt(
            number=1,
            name=name,
            since=0,
            asked=int(time.time()),
            site=place.site,
            partition="small-g",
            project=PROJECT,
        )
        submission = Submission(
            name=name,
            comment=name,
            project=PROJECT,
            partition="small-g",
            nodes=1,
            seconds=600,
            script=f"#!/bin/sh\nsleep {seconds}\n",
            gpus_per_node=int(gpus),
            cores_per_task=1,
            memory_mib_per_node=1024,
        )
        worker.put(Submit(name, attempt, submission, lambda: True))


def _verdict(reservations: Reservations, accounts: RemoteAccounts, place: Place) -> checks.Verdict:
    trouble = accounts.trouble(place.site)
    left = None if trouble else reservations.left((TENANT, place.site, UNIT))
    return checks.budget(place, "Slurm", Fraction(1), remaining=left, reserved=Fraction(0), trouble=trouble)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
