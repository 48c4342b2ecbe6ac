"""A month of work of several partners at three sites, as the operator's documents tell of it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from fractions import Fraction

from operators.catalog import FAMILIES
from operators.documents import documents
from operators.exposition.store import Store
from operators.ledger.entry import Entry
from operators.ledger.ledger import Ledger
from operators.ledger.remote import RemoteLedger
from operators.ledger.remote_entry import Payer
from operators.sites.access import Granted, RemoteJobRow, Resources
from operators.usage.budgets import Allocation
from operators.usage.remote import RemoteUsage
from tests.unit.remote_sites import JUPITER, LUMI

FIRST, LAST = date(2026, 2, 1), date(2026, 2, 28)
START = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
NOW = int(datetime(2026, 2, 28, 18, tzinfo=UTC).timestamp())
DAY = 86400

PAYERS = {
    "imec": Payer("imec", "flanders", "digital-services"),
    "ku-leuven": Payer("ku-leuven", "flanders", "science-research"),
    "ugent": Payer("ugent", "flanders", "science-research"),
    "ulb": Payer("ulb", "brussels-capital", "science-research"),
    "vib": Payer("vib", "flanders", "health-biotech-life-sciences"),
    "sck-cen": Payer("sck-cen", "federal", "science-research"),
}


def _grant(tenant, site, project, unit, amount):
    return Allocation(tenant, site, project, unit, Fraction(amount), date(2026, 1, 1), date(2026, 6, 30))


ALLOCATIONS = (
    _grant("ku-leuven", "lumi", "project_465000001", "gpu-hours", 20000),
    _grant("ugent", "lumi", "project_465000002", "gpu-hours", 4000),
    _grant("vib", "lumi", "project_465000003", "gpu-hours", 500),
    _grant("imec", "jupiter", "antenna-imec", "core-hours", 3000000),
    _grant("ulb", "jupiter", "antenna-ulb", "core-hours", 600000),
)
_WORK = (
    # (allocation, partition, nodes, cores, GPUs, mean jobs a day, mean hours)
    (0, "standard-g", 4, 224, 32, 3, 7),
    (0, "small-g", 1, 14, 2, 6, 9),
    (1, "small-g", 1, 28, 4, 9, 6),
    (2, "small-g", 1, 7, 1, 8, 5),
    (3, "booster", 8, 2304, 32, 3, 5),
    (4, "booster", 2, 576, 8, 2, 6),
)


def make(where):
    """(the documents by path, the ledgers to close)."""
    chance = random.Random(7)  # noqa: S311 (no secret)
    jobs, remote = Ledger(where), RemoteLedger(where)
    usage = RemoteUsage(Store(FAMILIES), remote, clock=lambda: NOW)
    usage.configure((LUMI, JUPITER), ALLOCATIONS, PAYERS.values())
    ended = {"lumi": [], "jupiter": []}
    for which, partition, nodes, cores, gpus, often, hours in _WORK:
        for day in range(28):
            busy = 0.3 if day % 7 in (0, 6) else 1
            for _ in range(round(chance.uniform(0.4, 1.6) * often * busy)):
                started = min(START + day * DAY + chance.randrange(DAY), NOW - 60)
                length = round(chance.uniform(0.2, 1.8) * hours * 3600)
                ended[ALLOCATIONS[which].site].append(
                    RemoteJobRow(
                        id=len(ended[ALLOCATIONS[which].site]) + 1,
                        name="train",
                        comment="",
                        project=ALLOCATIONS[which].project,
                        partition=partition,
                        user="antenna",
                        state=chance.choice(["succeeded"] * 9 + ["failed"]),
                        raw_state="COMPLETED",
                        submitted=started - 60,
                        started=started,
                        ended=min(started + length, NOW),
                        resources=Resources(nodes, cores, gpus, 0),
                    )
                )
    runs = RemoteJobRow(
        id=99999,
        name="runs",
        comment="",
        project=ALLOCATIONS[1].project,
        partition="standard-g",
        user="antenna",
        state="running",
        raw_state="RUNNING",
        submitted=NOW - 7200,
        started=NOW - 3600,
        resources=Resources(4, 224, 32, 0),
        limit=DAY,
    )
    usage.queue("lumi", [runs])
    usage.queue("jupiter", [])
    usage.granted("lumi", Granted(ALLOCATIONS[1].project, "gpu-hours", 4000, 1000.5, as_of=NOW - 3600))
    for site, rows in ended.items():
        usage.ended(site, rows)
    local = []
    for tenant, often in (("ulb", 5), ("sck-cen", 3), ("imec", 2), ("ugent", 1)):
        whose = PAYERS[tenant]._asdict()
        for n in range(28 * often):
            at = min(START + n * DAY // often + chance.randrange(3600), NOW - DAY // 2)
            ran = chance.randrange(600, 5 * 3600)
            of = {"wait": 60, "ran": ran, "run": ran, "finished": min(at + ran, NOW), "outcome": "succeeded"}
            name = f"{tenant}-{n}"
            local.append(
                Entry(
                    uid=name,
                    namespace="n",
                    job=name,
                    queue=tenant,
                    created=at,
                    gpus=2,
                    gone=True,
                    **of,
                    **whose,
                )
            )
    jobs.commit(local, {}, seen=float(NOW))
    return documents(usage, remote, clock=lambda: NOW), (jobs, remote)
