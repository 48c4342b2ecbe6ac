"""Lists of Kubernetes' own kinds in its protobuf encoding, read into the structs that JSON is read into.

The API server writes it in a fraction of the time and of the bytes that JSON takes; kinds of a
CustomResourceDefinition have no such encoding, and the events of a watch are few. What is sent is wrapped in
``Unknown``, behind a magic number: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message

from operators.kube import objects as o
from operators.stream import kubernetes_pb2 as pb

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_ALIKE: Final = 1024
"""Templates of pods that are kept as read: many Jobs are made from the same."""


@dataclass(frozen=True)
class Lists:
    """How the lists of one kind are read."""

    message: Callable[[], Any]
    read: Callable[[Any], Any]

    def objects(self, body: bytes) -> tuple[list[Any], str]:
        """The objects of a page, and its version. Raises msgspec.DecodeError where it is no such list."""
        page = self._parsed(body)
        return [self.read(item) for item in page.items], page.metadata.resource_version

    def more(self, body: bytes) -> str:
        """The token of the page that follows this one, empty on the last one. Raises as ``objects`` does."""
        return str(self._parsed(body).metadata.continue_token)

    def _parsed(self, body: bytes) -> Any:
        page, unknown = self.message(), pb.Unknown()
        try:
            _parse(unknown, body.removeprefix(_MAGIC))
            _parse(page, unknown.raw)
        except DecodeError as error:
            raise msgspec.DecodeError(f"no list in protobuf: {error}") from error
        if not page.HasField("metadata"):
            raise msgspec.DecodeError("no list in protobuf: it has no version")
        return page


def is_protobuf(body: bytes) -> bool:
    """Whether an answer is in this encoding: a server that does not know it answers with JSON."""
    return body.startswith(_MAGIC)


def _parse(message: Message, encoded: bytes) -> None:
    # Less than all of it is no answer: what it lacks would count as gone.
    if message.MergeFromString(encoded) != len(encoded):
        raise DecodeError("it ends too early")


def _job(job: pb.Job) -> o.Job:
    spec, status = job.spec, job.status
    return o.Job(
        metadata=o.JobMetadata(
            *_metadata(job.metadata),
            o.JobLabels(job.metadata.labels.get("kueue.x-k8s.io/queue-name", "")),
            _owners(job.metadata),
        ),
        spec=o.JobSpec(
            spec.suspend,
            spec.parallelism if spec.HasField("parallelism") else None,
            spec.completions if spec.HasField("completions") else None,
            o.PodTemplate(_template_spec(spec.template.spec)),
        ),
        status=o.JobStatus(
            [_condition(c) for c in status.conditions],
            _time(status.start_time) if status.HasField("start_time") else None,
            _time(status.completion_time) if status.HasField("completion_time") else None,
            status.active,
            status.ready if status.HasField("ready") else None,
            status.succeeded,
            status.failed,
            _uncounted(status.uncounted_terminated_pods)
            if status.HasField("uncounted_terminated_pods")
            else None,
        ),
    )


def _pod(pod: pb.Pod) -> o.Pod:
    status = pod.status
    return o.Pod(
        metadata=o.PodMetadata(*_metadata(pod.metadata), _owners(pod.metadata)),
        spec=_pod_spec(pod.spec),
        status=o.PodStatus(
            status.phase,
            [_condition(c) for c in status.conditions],
            [_container_status(c) for c in status.init_container_statuses],
            [_container_status(c) for c in status.container_statuses],
        ),
    )


def _node(node: pb.Node) -> o.Node:
    status = node.status
    return o.Node(
        metadata=o.NodeMetadata(
            *_metadata(node.metadata),
            o.NodeLabels(
                node.metadata.labels.get(o.GPU_PRODUCT, ""), node.metadata.labels.get(o.GPU_COUNT, "")
            ),
        ),
        spec=o.NodeSpec(node.spec.unschedulable),
        status=o.NodeStatus(
            _amounts(status.allocatable),
            _amounts(status.capacity),
            [_condition(c) for c in status.conditions],
        ),
    )


def _metadata(metadata: pb.ObjectMeta) -> tuple[str, str, str, str, datetime | None, datetime | None]:
    """The fields of ``objects.Metadata``, in their order."""
    return (
        metadata.name,
        metadata.namespace,
        metadata.uid,
        metadata.resource_version,
        _time(metadata.creation_timestamp) if metadata.HasField("creation_timestamp") else None,
        _time(metadata.deletion_timestamp) if metadata.HasField("deletion_timestamp") else None,
    )


def _owners(metadata: pb.ObjectMeta) -> list[o.OwnerReference]:
    return [
        o.OwnerReference(
            owner.kind, owner.name, owner.uid, owner.controller if owner.HasField("controller") else None
        )
        for owner in metadata.owner_references
    ]


def _condition(condition: pb.Condition) -> o.Condition:
    return o.Condition(
        condition.type,
        condition.status,
        condition.reason,
        condition.message,
        _time(condition.last_transition_time) if condition.HasField("last_transition_time") else None,
    )


def _container_status(status: pb.ContainerStatus) -> o.ContainerStatus:
    state = status.state
    return o.ContainerStatus(
        o.ContainerState(o.Waits(state.waiting.reason) if state.HasField("waiting") else None)
    )


def _uncounted(pods: pb.UncountedPods) -> o.UncountedPods:
    return o.UncountedPods(list(pods.succeeded), list(pods.failed))


@lru_cache(maxsize=_ALIKE)
def _template_spec(encoded: bytes) -> o.PodSpec:
    spec = pb.PodSpec()
    _parse(spec, encoded)
    return _pod_spec(spec)


def _pod_spec(spec: pb.PodSpec) -> o.PodSpec:
    return o.PodSpec(
        [_container(c) for c in spec.containers],
        [_container(c) for c in spec.init_containers],
        spec.node_name,
        _amounts(spec.overhead) if spec.overhead else None,
        o.PodResources(_of_pod(spec.resources.requests), _of_pod(spec.resources.limits))
        if spec.HasField("resources")
        else None,
    )


def _of_pod(amounts: Mapping[str, pb.Quantity]) -> o.PodResourceList:
    return o.PodResourceList(
        amounts["cpu"].string if "cpu" in amounts else None,
        amounts["memory"].string if "memory" in amounts else None,
    )


def _container(container: pb.Container) -> o.Container:
    resources = container.resources
    return o.Container(
        o.Resources(_amounts(resources.requests), _amounts(resources.limits)), container.restart_policy
    )


def _amounts(amounts: Mapping[str, pb.Quantity]) -> o.ResourceList:
    # To ask for an entry that is not there would make it.
    return o.ResourceList(
        amounts["cpu"].string if "cpu" in amounts else None,
        amounts["memory"].string if "memory" in amounts else None,
        amounts["nvidia.com/gpu"].string if "nvidia.com/gpu" in amounts else None,
    )


def _time(time: pb.Time) -> datetime:
    return datetime.fromtimestamp(time.seconds, UTC)


LISTS: Final[Mapping[type, Lists]] = {
    o.Job: Lists(pb.JobList, _job),
    o.Pod: Lists(pb.PodList, _pod),
    o.Node: Lists(pb.NodeList, _node),
}
"""By the struct that an object is read into."""
