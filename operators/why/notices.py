"""Says on a Workload and its Job, as an Event, why they wait: ``kubectl describe`` shows it.

What waits is known from the operator's own stream of Workloads. An object has one Event, which changes
when the reason does, at most once a minute; work that has waited for less than ``PATIENCE`` has none.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from operators.kube.client import Cluster, Object
from operators.kube.errors import ApiError, KubernetesError
from operators.kube.objects import Workload
from operators.kube.time import written
from operators.kube.workload import Place, asks, in_line, place, waits_since
from operators.kube.workload import conditions as said
from operators.queues import API_VERSION, GPU
from operators.reasons import SETTLED, Reason, of_workload
from operators.stream.source import Listener
from operators.why.explain import explain
from operators.why.explanation import Explanation
from operators.why.facts import Waiting
from operators.why.gathering import Surroundings, doors, facts, surroundings

PATIENCE: Final = 10.0  # seconds
QUIET: Final = 60.0  # seconds between two Events of one object
AGAIN: Final = 60.0  # seconds after which an unchanged Workload is looked at again: nodes may have changed
TICK: Final = 5.0  # seconds
BUDGET: Final = 0.5  # seconds of CPU time a tick
AT_ONCE: Final = 20  # objects a tick
COMPONENT: Final = "antenna-operator"

_UNSAID: Final = frozenset({*SETTLED, Reason.STARTING})
_HELPLESS: Final = frozenset(
    {
        Reason.QUOTA_USED_UP,
        Reason.BEHIND_OTHERS,
        Reason.PREEMPTED,
        Reason.EVICTED,
        Reason.ADMISSION_CHECK_PENDING,
        Reason.NODES_FULL,
    }
)
"""What time mends: these are no warnings."""

_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, gc=False):
    """A Workload that waits. Times are seconds since the epoch; ``told`` and ``looked`` are 0 for never."""

    namespace: str
    name: str
    uid: str
    job: str
    queue: str
    """Its LocalQueue."""
    place: Place
    """In Kueue's order."""
    asks: tuple[int, int, int]
    """GPUs, thousandths of CPU cores, bytes."""
    in_line: bool
    """Whether it has no quota yet."""
    hint: str
    """The reason that the Workload itself tells; when it changes, it is time to look again."""
    since: float
    reason: str = ""
    told: float = 0
    looked: float = 0
    fresh: bool = True
    """Not looked at since the hint changed."""

    @property
    def waiting(self) -> Waiting:
        """As another's explanation counts it."""
        gpus, millicores, memory = self.asks
        asks = {GPU: Decimal(gpus), "cpu": Decimal(millicores) / 1000, "memory": Decimal(memory)}
        return Waiting(
            namespace=self.namespace,
            job=self.job or self.name,
            asks={resource: amount for resource, amount in asks.items() if amount},
            place=self.place,
        )


class Notices:
    """Follows the Workloads that wait, and tells why. ``run`` is a thread's work."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    @property
    def listener(self) -> Listener[Workload]:
        """What listens to the stream of Workloads. Figures do not wait for it."""
        return Listener(_Sink(self), read=sighting, essential=False)

    def note(self, uid: str, entry: Entry | None) -> None:
        """A Workload is as this now; None: it does not wait."""
        with self._lock:
            before = self._entries.get(uid)
            if entry is None:
                self._entries.pop(uid, None)
                return
            if before is not None:
                entry.reason, entry.told, entry.looked = before.reason, before.told, before.looked
                entry.fresh = before.fresh or before.hint != entry.hint
            self._entries[uid] = entry

    def keep(self, uids: set[str]) -> None:
        """No other Workload waits."""
        with self._lock:
            for uid in self._entries.keys() - uids:
                del self._entries[uid]

    def waiting(self) -> list[Entry]:
        """What waits now."""
        with self._lock:
            return list(self._entries.values())

    def run(self, stop: threading.Event) -> None:
        """Tell until stopped. While the API server does not answer nothing is told, and nothing is lost."""
        while not stop.wait(TICK):
            try:
                self.tell()
            except KubernetesError as error:
                _log.warning("why: %s", error)
            except Exception:
                _log.exception("why: a round failed")

    def tell(self) -> int:
        """One round; how many Events were written. Raises KubernetesError."""
        now = self._clock()
        due = self._due(now)
        if not due:
            return 0
        around = surroundings(
            self._cluster, datetime.fromtimestamp(now, UTC), room=any(not e.in_line for e in due)
        )
        line = self._line()
        began, written = time.thread_time(), 0
        for entry in due:
            if time.thread_time() - began > BUDGET:
                break
            try:
                written += self._look(entry, around, line, now)
            except ApiError as error:
                # It may be on its way out, and its namespace with it.
                _log.info("why: %s/%s: %s", entry.namespace, entry.name, error)
        return written

    def _due(self, now: float) -> list[Entry]:
        """Those to look at, the new ones first and then who has not been looked at longest."""
        due = [
            e
            for e in self.waiting()
            if e.job
            and now - e.since >= PATIENCE
            and now - e.told >= QUIET
            and (e.fresh or now - e.looked >= AGAIN)
        ]
        return sorted(due, key=lambda e: (not e.fresh, e.looked, e.since))[:AT_ONCE]

    def _line(self) -> dict[tuple[str, str], list[Entry]]:
        """What waits for quota, by LocalQueue."""
        line: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self.waiting():
            if entry.in_line:
                line[entry.namespace, entry.queue].append(entry)
        return line

    def _look(
        self, entry: Entry, around: Surroundings, line: dict[tuple[str, str], list[Entry]], now: float
    ) -> int:
        entry.looked, entry.fresh = now, False
        job = self._cluster.find("batch/v1", "Job", entry.job, entry.namespace)
        workload = self._cluster.find(API_VERSION, "Workload", entry.name, entry.namespace)
        if job is None or workload is None:
            return 0

        def waiting(queue: str) -> tuple[Waiting, ...]:
            return tuple(e.waiting for door in doors(around, queue) for e in line.get(door, ()))

        told = explain(facts(self._cluster, job, around, workload=workload, waiting=waiting))
        if told.reason in _UNSAID or told.reason == entry.reason:
            return 0
        for obj in (workload, job):
            self._cluster.apply(event(obj, told, now), manager=COMPONENT)
        # What is written is kept on what the stream has put in its place meanwhile, too.
        with self._lock:
            for kept in {id(e): e for e in (entry, self._entries.get(entry.uid, entry))}.values():
                kept.reason, kept.told, kept.looked = str(told.reason), now, now
        return 2


class Sighting(NamedTuple):
    """A Workload as the notices keep it."""

    uid: str
    entry: Entry | None


def sighting(workload: Workload) -> Sighting:
    """What is kept of a Workload, and whose it is."""
    return Sighting(workload.metadata.uid, entry(workload))


class _Sink:
    """The notices' side of the stream of Workloads."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    def replace(self, objects: Iterable[Sighting]) -> None:
        """All Workloads that there are."""
        waiting = set()
        for uid, kept in objects:
            if kept is not None:
                waiting.add(uid)
                self._notices.note(uid, kept)
        self._notices.keep(waiting)

    def apply(self, obj: Sighting) -> None:
        """One is new or has changed."""
        self._notices.note(obj.uid, obj.entry)

    def delete(self, obj: Sighting) -> None:
        """One is gone."""
        self._notices.note(obj.uid, None)


def event(about: Object, told: Explanation, now: float) -> Object:
    """The one Event of an object. Its name stays, so that a new reason takes the old one's place."""
    metadata = about["metadata"]
    moment = written(datetime.fromtimestamp(now, UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{metadata['uid'][:13]}.why",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Normal" if told.reason in _HELPLESS else "Warning",
        "reason": str(told.reason),
        "message": f"{told.text} {told.unblock}".strip()[:1024],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def entry(workload: Workload) -> Entry | None:
    """What is kept of a Workload that waits; None for one that runs or has ended."""
    metadata, spec, status = workload.metadata, workload.spec, workload.status
    conditions = said(workload)
    reason = of_workload(
        conditions,
        active=spec.active is not False,
        checks=[check.state for check in status.admission_checks],
    )
    stands, since = place(workload, conditions), waits_since(workload, conditions)
    if reason in SETTLED or stands is None or since is None:
        return None
    true = {kind for kind, c in conditions.items() if c.status == "True"}
    return Entry(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        job=next((owner.name for owner in metadata.owner_references if owner.kind == "Job"), ""),
        queue=spec.queue_name,
        place=stands,
        asks=asks(workload),
        in_line=in_line(workload),
        hint=sys.intern(" ".join([reason, *sorted(true)])),
        since=since.timestamp(),
    )
