"""What an explanation is made from: the few facts of a job, its queue, its pods and the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from operators.reasons import Condition

Amounts = Mapping[str, Decimal]
"""Resource name to amount, in Kubernetes' base units: GPUs, CPU cores, bytes."""


@dataclass(frozen=True)
class Toleration:
    """As of a pod. An empty ``key`` tolerates every taint, an empty ``effect`` every effect."""

    key: str = ""
    value: str = ""
    effect: str = ""
    exists: bool = False


@dataclass(frozen=True)
class Taint:
    """As of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Node:
    """``allocatable`` and ``used`` by the pods on it."""

    name: str
    allocatable: Amounts
    used: Amounts = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True

    def free(self, resource: str) -> Decimal:
        """What no pod holds."""
        return self.allocatable.get(resource, Decimal(0)) - self.used.get(resource, Decimal(0))


@dataclass(frozen=True)
class Pod:
    """A pod of the job. ``asks`` is what the scheduler must find on one node."""

    name: str
    asks: Amounts
    phase: str
    node: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    unschedulable: str = ""
    """What the scheduler says; empty unless it has tried in vain."""
    stuck: str = ""
    """Why a container does not start (``ImagePullBackOff``); empty while nothing is wrong."""
    stuck_message: str = ""
    image: str = ""
    """The image of that container."""
    since: datetime | None = None
    """When it was found unschedulable, or was made."""


@dataclass(frozen=True)
class Refusal:
    """The API server refused a pod of the job."""

    message: str
    since: datetime | None


@dataclass(frozen=True)
class Quota:
    """One resource of one flavor of a queue or cohort. ``reserved`` is given out, borrowed included."""

    nominal: Decimal
    borrowing_limit: Decimal | None = None
    lending_limit: Decimal | None = None
    reserved: Decimal = Decimal(0)


Quotas = Mapping[tuple[str, str], Quota]
"""(flavor, resource) to quota."""


@dataclass(frozen=True)
class Queue:
    """A ClusterQueue. ``groups`` are the flavors of each resource group, in Kueue's order."""

    name: str
    cohort: str
    quotas: Quotas
    groups: tuple[tuple[str, ...], ...]
    active: bool = True
    problem: str = ""
    """Why it is not active, as Kueue says."""
    held: bool = False
    strict: bool = False
    pending: int = 0
    running: int = 0


@dataclass(frozen=True)
class Cohort:
    """Queues that lend to each other, the own one included, and what belongs to none of them."""

    name: str
    queues: tuple[Queue, ...]
    """Those that name it; those of its children are theirs."""
    pool: Quotas
    children: tuple[Cohort, ...] = ()
    """Cohorts that name it as their parent, and lend and borrow through it."""

    @property
    def everybody(self) -> tuple[Queue, ...]:
        """The queues of the whole tree."""
        return self.queues + tuple(queue for child in self.children for queue in child.everybody)


@dataclass(frozen=True)
class Check:
    """An admission check of the Workload; ``controller`` answers it."""

    name: str
    state: str
    message: str = ""
    controller: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Waiting:
    """Another Workload that waits in the same ClusterQueue."""

    namespace: str
    job: str
    asks: Amounts
    place: tuple[int, datetime, str]
    """Its place in Kueue's order: minus the priority, the queue-order timestamp, the uid."""


@dataclass(frozen=True)
class Work:
    """The job's Workload."""

    name: str
    queue: str
    """Its LocalQueue."""
    asks: Amounts
    place: tuple[int, datetime, str]
    created: datetime
    queued: datetime
    """Since when it queues, or queued last."""
    active: bool = True
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    changed: Mapping[str, datetime] = field(default_factory=dict)
    """When each condition last changed."""
    checks: tuple[Check, ...] = ()
    retry_at: datetime | None = None
    """Not considered before."""

    def holds(self, condition: str) -> bool:
        """Whether that condition is True."""
        return self.conditions.get(condition, Condition("Unknown")).status == "True"


@dataclass(frozen=True)
class Job:
    """A batch/v1 Job."""

    namespace: str
    name: str
    tenant: str
    created: datetime
    pod_asks: Amounts = field(default_factory=dict)
    """Of one pod."""
    parallelism: int = 1
    """Pods that it should have now: fewer once some have succeeded."""
    paused: bool = False
    """Its owner wants no pod: its parallelism is 0."""
    suspended: bool = False
    queue_label: str = ""
    started: datetime | None = None
    active: int = 0
    ready: int = 0
    succeeded: int = 0
    outcome: str = ""
    """``Complete`` or ``Failed`` once it has ended."""
    outcome_message: str = ""
    ended: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """All that is known of one job at the moment ``now``."""

    now: datetime
    job: Job
    work: Work | None = None
    local_queues: tuple[str, ...] = ()
    """The LocalQueues of its namespace."""
    local_queue_held: bool = False
    queue_name: str = ""
    """The ClusterQueue that its LocalQueue leads to; empty without such a LocalQueue."""
    queue: Queue | None = None
    cohort: Cohort | None = None
    """The root of the tree that its queue is in."""
    waiting: tuple[Waiting, ...] = ()
    pods: tuple[Pod, ...] = ()
    refusal: Refusal | None = None
    nodes: tuple[Node, ...] = ()
