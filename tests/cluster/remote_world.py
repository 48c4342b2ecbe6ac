"""Remote sites without machines: a scheduler in this process, and the dispatch as the operator runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from operators.dispatch.decide import Bounds
from operators.dispatch.run import Dispatch, Settings
from operators.kube.client import connect
from operators.sites.access import Granted as SiteGrant
from operators.sites.access import NodeRow, RemoteJobRow, SiteAccess, Submission, Unreachable
from operators.sites.model import (
    Access,
    Accounting,
    LargestShare,
    Partition,
    Site,
    WholeNodes,
)
from operators.tenancy import Tenant
from tests.cluster.tenant_controller import NAMESPACE


def lumi(name: str) -> Site:
    """Two GPU partitions and one of CPUs, by LUMI's rules."""
    share = LargestShare("gpu-hours", Fraction(1, 2), 8, 64)
    return Site(
        name=name,
        title="LUMI",
        access=Access("ssh", "lumi.invalid"),
        accounting=Accounting("sacct", "at-once", "project"),
        project_pattern="project_46[0-9]{7}",
        partitions=(
            Partition(
                name="small-g",
                billing=share,
                max_seconds=72 * 3600,
                max_nodes=1,
                gpus_per_node=8,
                cores_per_node=56,
                memory_gib_per_node=480,
            ),
            Partition(
                name="standard-g",
                billing=WholeNodes("gpu-hours", Fraction(4)),
                max_seconds=48 * 3600,
                max_nodes=1024,
                whole_nodes=True,
                gpus_per_node=8,
                cores_per_node=56,
                memory_gib_per_node=480,
            ),
            Partition(
                name="standard",
                billing=WholeNodes("core-hours", Fraction(128)),
                max_seconds=48 * 3600,
                max_nodes=512,
                whole_nodes=True,
                cores_per_node=128,
                memory_gib_per_node=224,
            ),
        ),
    )


def jupiter(name: str) -> Site:
    """Whole nodes only."""
    return Site(
        name=name,
        title="JUPITER",
        access=Access("ssh", "jupiter.invalid"),
        accounting=Accounting("sacct", "at-once", "month", 1),
        project_pattern="[a-z][a-z0-9_-]{1,31}",
        partitions=(
            Partition(
                name="booster",
                billing=WholeNodes("core-hours", Fraction(288)),
                max_seconds=12 * 3600,
                max_nodes=6000,
                whole_nodes=True,
                gpus_per_node=4,
                cores_per_node=288,
            ),
        ),
    )


@dataclass
class Scheduler:
    """A site's scheduler: jobs run until they are ended by the test."""

    site: Site
    down: bool = False
    rows: list[RemoteJobRow] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    served: list[tuple[str, ...]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, id: int, code: int = 0) -> None:
        """A job ends by itself."""
        state, raw = ("failed", "FAILED") if code else ("succeeded", "COMPLETED")
        self._change(id, state=state, raw_state=raw, exit_code=code, ended=int(time.time()))

    def named(self, name: str) -> list[RemoteJobRow]:
        """The jobs of a name."""
        with self._lock:
            return [row for row in self.rows if row.name == name]

    # SiteAccess

    def serve(self, projects: Sequence[str]) -> None:
        self.served.append(tuple(projects))

    def submit(self, job: Submission) -> int:
        self._reachable()
        with self._lock:
            self.submissions.append(job)
            id = 1000 + len(self.rows)
            now = int(time.time())
            self.rows.append(
                RemoteJobRow(
                    *(id, job.name, job.comment, job.project, job.partition, job.login, "running"),
                    *("RUNNING", now, now),
                )
            )
            return id

    def cancel(self, job: RemoteJobRow) -> None:
        self._reachable()
        self._change(job.id, state="cancelled", raw_state="CANCELLED", ended=int(time.time()))

    def check(self) -> None:
        self._reachable()

    def find(self, name: str, since: int, login: str) -> Sequence[RemoteJobRow]:
        self._reachable()
        return [row for row in self.named(name) if row.user == login]

    def queue(self) -> Sequence[RemoteJobRow]:
        self._reachable()
        with self._lock:
            return [row for row in self.rows if not row.ended]

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        self._reachable()
        with self._lock:
            return [row for row in self.rows if row.ended and row.ended >= since]

    def nodes(self) -> Sequence[NodeRow]:
        return ()

    def granted(self, project: str) -> SiteGrant:
        return SiteGrant(project, "gpu-hours", 0, 0)

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        self._reachable()
        return f"epoch 1 of {job.name}\n\x1b[31mdone\n".encode()

    def close(self) -> None:
        return

    def _reachable(self) -> None:
        if self.down:
            raise Unreachable("no route to host")

    def _change(self, id: int, **others: object) -> None:
        with self._lock:
            self.rows = [replace(row, **others) if row.id == id else row for row in self.rows]  # type: ignore[arg-type]


class Schedulers:
    """``dispatch.access.Logins``: each partner's login has its name; a site's share its scheduler."""

    def __init__(self, schedulers: Mapping[str, SiteAccess]) -> None:
        self._schedulers = schedulers

    def name(self, site: Site, tenant: str) -> str:
        return tenant or "reader"

    def open(self, site: Site, tenant: str, projects: tuple[str, ...]) -> SiteAccess:
        return self._schedulers[site.name]


class Granted:
    """Accounts of partners that have used nothing: all that was granted is left."""

    def __init__(self) -> None:
        self._granted: dict[tuple[str, str, str], Fraction] = {}

    def configure(self, sites: Iterable[Site], partners: Iterable[Tenant]) -> None:
        self._granted = {(p.name, a.site, a.unit): a.amount for p in partners for a in p.allocations}

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        return self._granted.get((tenant, site, unit))

    def since(self, site: str) -> int | None:
        return None

    def queued(self, site: str, rows: Sequence[RemoteJobRow]) -> None:
        return

    def trouble(self, site: str) -> str:
        return ""

    def ended(self, site: str, rows: Sequence[RemoteJobRow], until: int | None) -> None:
        return

    def looked(self, site: str, access: SiteAccess) -> None:
        return


@contextmanager
def dispatch(
    kubeconfig: Path, schedulers: dict[str, Scheduler], *, namespace: str = NAMESPACE
) -> Iterator[Dispatch]:
    """Running when entered, ended when left. ``namespace`` has its Lease."""
    cluster = connect(kubeconfig, long_lived=True)
    settings = Settings(
        namespace=namespace,
        identity="test",
        bounds=Bounds(window=50, sending=45, margin=5, again=0.5, stale=3),
        look_every=0.5,
    )
    one = Dispatch(cluster, settings, access=Schedulers(schedulers), accounts=Granted())
    try:
        with running(one, 30):
            yield one
    finally:
        cluster.close()


@contextmanager
def running(one: Dispatch, seconds: float) -> Iterator[None]:
    """Runs when entered, and has ended within so many seconds when left."""
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,), name="dispatch")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(seconds)
    assert not thread.is_alive()
