"""A remote job's line in the ledger. Pure."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import msgspec

from operators.sites.access import RemoteJobRow
from operators.sites.model import Site
from operators.usage.billing import kilowatts, rate


class Payer(NamedTuple):
    """Whose a project is; all empty for what is nobody's."""

    tenant: str = ""
    ecosystem: str = ""
    sector: str = ""
    """The first of the tenant's."""


NOBODY = Payer()


class RemoteEntry(msgspec.Struct, frozen=True, gc=False):
    """One job of a remote site, and what an hour of it costs.

    A site uses its ids again after a counter's reset: site, id and submission together are the job. Rates
    are as they were when the job was accounted for: a rule that changes does not change the past. Whose it
    is stays as it was first. Times are whole seconds since the epoch.

    From ``started`` to its end it held what it holds: time in which it was suspended is put before that.
    """

    site: str
    id: int
    submitted: int
    name: str
    project: str
    partition: str
    tenant: str
    ecosystem: str
    sector: str
    state: str
    raw_state: str
    started: int | None
    ended: int | None
    seen: int
    """When the site last told of it: until then it certainly held what it holds."""
    nodes: int
    cores: int
    gpus: int
    memory_mib: int
    unit: str
    """Empty for a partition that the site's entry does not name: nobody knows what that costs."""
    rate: str
    """``unit`` an hour, exactly: 7/2."""
    kilowatts: str | None
    """Mean power, where a published average exists."""


def entry(row: RemoteJobRow, site: Site, payer: Payer, seen: int) -> RemoteEntry:
    """The line of a job as the site told of it at ``seen``."""
    held = row.resources
    partition = site.partition(row.partition)
    power = partition and kilowatts(partition, held)
    started = row.held_since
    if started is not None and row.ended is not None:
        # sacct tells of ends before the start, where clocks differ or a job is cancelled as it begins: such a
        # one held nothing, and gives nothing back.
        started = min(started, row.ended)
    return RemoteEntry(
        site=site.name,
        id=row.id,
        submitted=row.submitted,
        name=row.name,
        project=row.project,
        partition=row.partition,
        tenant=payer.tenant,
        ecosystem=payer.ecosystem,
        sector=payer.sector,
        state=row.state,
        raw_state=row.raw_state,
        started=started,
        ended=row.ended,
        seen=seen,
        nodes=held.nodes,
        cores=held.cores,
        gpus=held.gpus,
        memory_mib=held.memory_mib,
        unit=partition.billing.unit if partition else "",
        rate=str(rate(partition.billing, held) if partition else Fraction(0)),
        kilowatts=None if power is None else str(power),
    )


def entry_of_queued(row: RemoteJobRow, site: Site, payer: Payer, now: int) -> RemoteEntry:
    """The line of a job as the site's queue told of it at ``now``.

    One that has ended held what it held until then. Its line stays open: how a job ended, and when, is for
    the accounting to tell, however late that is. It may tell nothing of one that never held anything.
    """
    if row.ended is None or row.held_since is None or row.held_since >= row.ended:
        return entry(row, site, payer, now)
    return entry(replace(row, ended=None), site, payer, min(row.ended, max(now, row.held_since)))
