"""The few fields of Kubernetes objects that the metrics are made from, as typed structs.

Decoded with msgspec straight from the API server's JSON: what is not named here is skipped, and costs
next to nothing. Timestamps are seconds since the epoch; the API's own are whole seconds.
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from operators.queues import quantity

GPU_PRODUCT: Final = "nvidia.com/gpu.product"
GPU_COUNT: Final = "nvidia.com/gpu.count"
"""The labels that NVIDIA's feature discovery gives a node: the model of its GPUs, and how many it has."""


class _Part(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Part of an object. Not tracked by the garbage collector: these hold no cycles."""


class Metadata(_Part, frozen=True):
    """What every object has."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class Condition(_Part, frozen=True):
    """A condition of a status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Amounts(NamedTuple):
    """Resources in whole units, so that sums stay exact."""

    gpus: int = 0
    millicores: int = 0
    bytes: int = 0

    def times(self, count: int) -> Amounts:
        """What ``count`` pods of this have together."""
        if count == 1:
            return self
        return Amounts(self.gpus * count, self.millicores * count, self.bytes * count)

    def plus(self, other: Amounts) -> Amounts:
        """The sum of both."""
        return Amounts(self[0] + other[0], self[1] + other[1], self[2] + other[2])


NOTHING: Final = Amounts()


class ResourceList(_Part, rename={"gpu": "nvidia.com/gpu"}, frozen=True):
    """The resources that quotas are about; others are skipped."""

    cpu: str | int | None = None
    memory: str | int | None = None
    gpu: str | int | None = None

    @property
    def amounts(self) -> Amounts:
        """As whole units; 0 for what is not named."""
        return Amounts(units(self.gpu or 0), milli(self.cpu or 0), units(self.memory or 0))


class Resources(_Part, frozen=True):
    """What a container asks for, and may use at most."""

    requests: ResourceList = ResourceList()
    limits: ResourceList = ResourceList()

    @property
    def amounts(self) -> Amounts:
        """Requests; where a resource has none, its limit, as the API server defaults pods."""
        asked, most = self.requests, self.limits
        return Amounts(
            units((most.gpu if asked.gpu is None else asked.gpu) or 0),
            milli((most.cpu if asked.cpu is None else asked.cpu) or 0),
            units((most.memory if asked.memory is None else asked.memory) or 0),
        )


class PodResourceList(_Part, frozen=True):
    """The resources that may be asked for a whole pod."""

    cpu: str | int | None = None
    memory: str | int | None = None


class PodResources(_Part, frozen=True):
    """What is said of a whole pod, beside or in place of its containers' own."""

    requests: PodResourceList = PodResourceList()
    limits: PodResourceList = PodResourceList()


class Container(_Part, frozen=True):
    """A container of a pod."""

    resources: Resources = Resources()
    restart_policy: str = ""


class PodSpec(_Part, frozen=True):
    """The part of a pod that says what it needs and where it runs."""

    containers: list[Container] = []
    init_containers: list[Container] = []
    node_name: str = ""
    overhead: ResourceList | None = None
    resources: PodResources | None = None

    @property
    def amounts(self) -> Amounts:
        """What the scheduler counts for the pod.

        The formula and its source: ``pod_requests``.
        """
        total = self._of_containers
        if self.resources is not None:
            total = _of_whole(self.resources, total)
        return total if self.overhead is None else total.plus(self.overhead.amounts)

    @property
    def _of_containers(self) -> Amounts:
        total = NOTHING
        for container in self.containers:
            total = total.plus(container.resources.amounts)
        if not self.init_containers:
            return total
        sidecars = peak = NOTHING
        for container in self.init_containers:
            needs = container.resources.amounts
            if container.restart_policy == "Always":
                sidecars = sidecars.plus(needs)
                peak = _largest(peak, sidecars)
            else:
                peak = _largest(peak, sidecars.plus(needs))
        return _largest(total.plus(sidecars), peak)


class PodTemplate(_Part, frozen=True):
    """What pods are made from."""

    spec: PodSpec = PodSpec()


class OwnerReference(_Part, frozen=True):
    """Who an object belongs to."""

    kind: str
    name: str
    uid: str
    controller: bool | None = None


# Jobs


class JobLabels(_Part, rename={"queue_name": "kueue.x-k8s.io/queue-name"}, frozen=True):
    """The label that puts a Job into a LocalQueue."""

    queue_name: str = ""


class JobMetadata(Metadata, frozen=True):
    """Metadata of a Job."""

    labels: JobLabels = JobLabels()
    owner_references: list[OwnerReference] = []


class JobSpec(_Part, frozen=True):
    """Spec of a Job."""

    suspend: bool = False
    parallelism: int | None = None
    completions: int | None = None
    template: PodTemplate = PodTemplate()


class UncountedPods(_Part, frozen=True):
    """Pods that have ended and are not in the Job's counts yet."""

    succeeded: list[str] = []
    failed: list[str] = []


class JobStatus(_Part, frozen=True):
    """Status of a Job."""

    conditions: list[Condition] = []
    start_time: datetime | None = None
    completion_time: datetime | None = None
    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    uncounted_terminated_pods: UncountedPods | None = None


class Job(_Part, frozen=True):
    """``batch/v1`` Job."""

    metadata: JobMetadata
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


# Kueue


class WorkloadLabels(_Part, rename={"job_uid": "kueue.x-k8s.io/job-uid"}, frozen=True):
    """The label by which Kueue joins a Workload to its Job."""

    job_uid: str = ""


class ManagedFields(_Part, frozen=True):
    """When somebody wrote some fields of an object last."""

    time: datetime | None = None


class WorkloadMetadata(Metadata, frozen=True):
    """Metadata of a Workload."""

    labels: WorkloadLabels = WorkloadLabels()
    owner_references: list[OwnerReference] = []
    managed_fields: list[ManagedFields] = []


class PodSet(_Part, frozen=True):
    """Pods of one shape."""

    name: str = "main"
    count: int = 1
    min_count: int | None = None
    template: PodTemplate = PodTemplate()


class WorkloadSpec(_Part, frozen=True):
    """Spec of a Workload."""

    pod_sets: list[PodSet] = []
    queue_name: str = ""
    priority: int | None = None
    active: bool | None = None


class ResourceFlavors(_Part, rename={"gpu": "nvidia.com/gpu"}, frozen=True):
    """The flavor that each resource was given."""

    cpu: str = ""
    memory: str = ""
    gpu: str = ""


class PodSetAssignment(_Part, frozen=True):
    """The quota that a pod set has."""

    name: str = "main"
    flavors: ResourceFlavors = ResourceFlavors()
    resource_usage: ResourceList = ResourceList()
    count: int | None = None


class Admission(_Part, frozen=True):
    """The quota that a Workload has, and of which ClusterQueue."""

    cluster_queue: str = ""
    pod_set_assignments: list[PodSetAssignment] = []


class ReclaimablePods(_Part, frozen=True):
    """Pods of a pod set whose quota is needed no more."""

    name: str = ""
    count: int = 0


class AdmissionCheckState(_Part, frozen=True):
    """How far an admission check is."""

    state: str = ""


class EvictionCount(_Part, frozen=True):
    """How often a Workload was put back for a reason."""

    reason: str = ""
    count: int = 0


class SchedulingStats(_Part, frozen=True):
    """What Kueue counts of a Workload."""

    evictions: list[EvictionCount] = []


class WorkloadStatus(_Part, frozen=True):
    """Status of a Workload."""

    conditions: list[Condition] = []
    admission: Admission | None = None
    admission_checks: list[AdmissionCheckState] = []
    reclaimable_pods: list[ReclaimablePods] = []
    accumulated_past_execution_time_seconds: int | None = None
    scheduling_stats: SchedulingStats | None = None


class Workload(_Part, frozen=True):
    """``kueue.x-k8s.io/v1beta2`` Workload."""

    metadata: WorkloadMetadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class TenantLabels(
    _Part, rename={"tenant": "antenna.be/tenant", "ecosystem": "antenna.be/ecosystem"}, frozen=True
):
    """Whose an object is."""

    tenant: str = ""
    ecosystem: str = ""


class TenantAnnotations(
    _Part, rename={"title": "antenna.be/title", "sectors": "antenna.be/sectors"}, frozen=True
):
    """What does not fit into labels."""

    title: str = ""
    sectors: str = ""


class OwnedMetadata(Metadata, frozen=True):
    """Metadata of what a tenant is given."""

    labels: TenantLabels = TenantLabels()
    annotations: TenantAnnotations = TenantAnnotations()


class ResourceQuota(_Part, frozen=True):
    """Quota of one resource of a flavor."""

    name: str
    nominal_quota: str | int = 0


class FlavorQuotas(_Part, frozen=True):
    """Quotas of one flavor."""

    name: str
    resources: list[ResourceQuota] = []


class ResourceGroup(_Part, frozen=True):
    """Flavors that the same resources come from."""

    flavors: list[FlavorQuotas] = []


class ClusterQueueSpec(_Part, frozen=True):
    """Spec of a ClusterQueue."""

    resource_groups: list[ResourceGroup] = []


class ClusterQueue(_Part, frozen=True):
    """``kueue.x-k8s.io/v1beta2`` ClusterQueue."""

    metadata: OwnedMetadata
    spec: ClusterQueueSpec = ClusterQueueSpec()


class LocalQueueSpec(_Part, frozen=True):
    """Spec of a LocalQueue."""

    cluster_queue: str = ""


class LocalQueue(_Part, frozen=True):
    """``kueue.x-k8s.io/v1beta2`` LocalQueue."""

    metadata: Metadata
    spec: LocalQueueSpec = LocalQueueSpec()


# Tenants


class Namespace(_Part, frozen=True):
    """``v1`` Namespace."""

    metadata: OwnedMetadata


class TenantSpec(_Part, frozen=True):
    """Spec of a Tenant."""

    title: str = ""
    ecosystem: str = ""
    sectors: list[str] = []


class TenantStatus(_Part, frozen=True):
    """Status of a Tenant."""

    conditions: list[Condition] = []


class Tenant(_Part, frozen=True):
    """``antenna.be/v1alpha1`` Tenant."""

    metadata: Metadata
    spec: TenantSpec = TenantSpec()
    status: TenantStatus = TenantStatus()


# Nodes and pods


class PodMetadata(Metadata, frozen=True):
    """Metadata of a pod."""

    owner_references: list[OwnerReference] = []


class Waits(_Part, frozen=True):
    """Why a container does not run."""

    reason: str = ""


class ContainerState(_Part, frozen=True):
    """What a container is at."""

    waiting: Waits | None = None


class ContainerStatus(_Part, frozen=True):
    """Status of a container."""

    state: ContainerState = ContainerState()


class PodStatus(_Part, frozen=True):
    """Status of a pod."""

    phase: str = ""
    conditions: list[Condition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class Pod(_Part, frozen=True):
    """``v1`` Pod."""

    metadata: PodMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class NodeLabels(_Part, rename={"model": GPU_PRODUCT, "gpus": GPU_COUNT}, frozen=True):
    """The labels that tell of a node's GPUs."""

    model: str = ""
    gpus: str = ""


class NodeMetadata(Metadata, frozen=True):
    """Metadata of a node."""

    labels: NodeLabels = NodeLabels()


class NodeSpec(_Part, frozen=True):
    """Spec of a node."""

    unschedulable: bool = False


class NodeStatus(_Part, frozen=True):
    """Status of a node."""

    allocatable: ResourceList = ResourceList()
    capacity: ResourceList = ResourceList()
    conditions: list[Condition] = []


class Node(_Part, frozen=True):
    """``v1`` Node."""

    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


@lru_cache(maxsize=8192)
def units(amount: str | int) -> int:
    """A quantity of GPUs or memory, in GPUs or bytes; rounded up, as Kubernetes does."""
    return math.ceil(quantity(amount))


@lru_cache(maxsize=8192)
def milli(amount: str | int) -> int:
    """A quantity of CPU, in thousandths of a core; rounded up."""
    return math.ceil(quantity(amount) * 1000)


def seconds(moment: datetime | None) -> int | None:
    """A timestamp as seconds since the epoch."""
    return None if moment is None else int(moment.timestamp())


def _of_whole(pod: PodResources, containers: Amounts) -> Amounts:
    """What is said of the whole pod, else what its containers ask for, else the limit of the whole."""
    asked, most = pod.requests, pod.limits
    cpu = asked.cpu if asked.cpu is not None or containers.millicores else most.cpu
    memory = asked.memory if asked.memory is not None or containers.bytes else most.memory
    return Amounts(
        containers.gpus,
        containers.millicores if cpu is None else milli(cpu),
        containers.bytes if memory is None else units(memory),
    )


def _largest(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(*map(max, one, other))
