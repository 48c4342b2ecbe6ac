"""A job's line in the ledger. Pure."""

from __future__ import annotations

import msgspec

CANCELLED = "cancelled"
"""The outcome of a job that was deleted before it ended."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one job adds to the totals. Times are whole seconds since the epoch, durations seconds.

    Whose it is (queue, tenant, ecosystem, sector) is as it was when the job was first accounted for:
    a total never moves from one partner to another.
    """

    uid: str
    namespace: str
    job: str
    queue: str
    tenant: str
    ecosystem: str
    sector: str
    created: int
    gpus: int = 0
    wait: int | None = None
    """From creation to the first admission."""
    running_since: int | None = None
    """The last admission, while it lasts."""
    earlier: int = 0
    """Admitted time under Workloads that are gone."""
    past: int = 0
    """Admitted time before the last admission, under the present Workload."""
    ran: int = 0
    """The last admission's time, once the job has ended."""
    run: int | None = None
    """From the last admission to the end."""
    outcome: str | None = None
    finished: int | None = None
    restarts: int = 0
    evictions: tuple[tuple[str, int], ...] = ()
    """(Kueue's reason, how often)."""
    gone: bool = False
    """The job is no longer in the API."""

    @property
    def gpu_seconds(self) -> int:
        """GPUs times admitted time, without the admission that still lasts."""
        return self.gpus * (self.earlier + self.past + self.ran)


def closed(entry: Entry, at: int) -> Entry:
    """The entry of a job that is gone; one that had not ended was cancelled, at ``at``."""
    if entry.outcome is not None:
        return msgspec.structs.replace(entry, gone=True)
    since = entry.running_since
    ran = max(0, at - since) if since is not None else entry.ran
    return msgspec.structs.replace(
        entry,
        ran=ran,
        run=entry.run if since is None else ran,
        running_since=None,
        outcome=CANCELLED,
        finished=at,
        gone=True,
    )
