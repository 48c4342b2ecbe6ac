"""A job's line in the ledger. Pure."""

from __future__ import annotations

import msgspec

CANCELLED = "cancelled"
"""The outcome of a job that was deleted before it ended."""
UNKNOWN = "unknown"
"""The outcome of a job that had not ended when it was last seen, and that went unseen."""


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
    """Those that it holds, or held last."""
    banked: int = 0
    """GPU-seconds beside those of ``gpus`` for the whole of the last admission: of earlier ones, and what was
    more or less of the last one while it held more or fewer GPUs than now."""
    resized: int | None = None
    """When ``gpus`` last changed during the last admission."""
    wait: int | None = None
    """From creation to the first admission."""
    running_since: int | None = None
    """The last admission, while it lasts."""
    earlier: int = 0
    """Admitted time under Workloads that are gone."""
    past: int = 0
    """Admitted time before the last admission, under the present Workload."""
    over: bool = False
    """The last admission is over."""
    ran: int = 0
    """Its time, if it is over."""
    began: int | None = None
    """And when it began: the end may be told more exactly later."""
    run: int | None = None
    """From the last admission to the end: ``ran``, once there can be no further admission."""
    outcome: str | None = None
    finished: int | None = None
    restarts: int = 0
    evictions: tuple[tuple[str, int], ...] = ()
    """(Kueue's reason, how often)."""
    workload: str = ""
    """The uid of its Workload, or of the last one that it had."""
    evictions_before: tuple[tuple[str, int], ...] = ()
    """Those of ``evictions`` that former Workloads had."""
    gone: bool = False
    """Neither the job nor a Workload of it is in the API any longer."""

    @property
    def gpu_seconds(self) -> int:
        """The integral of the GPUs that it held, without what ``gpus`` add since ``running_since``."""
        return self.banked + self.gpus * self.ran
