"""A list in protobuf is read into exactly what the same list in JSON is read into."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from operators.kube.client import Cluster
from operators.kube.errors import patiently
from operators.kube.objects import GPU_COUNT, GPU_PRODUCT, Job, Node, Pod
from operators.stream import protobuf
from operators.stream.source import Source
from operators.stream.wire import Page, Wire
from tests.cluster.light import OWN_KUBELET
from tests.cluster.patience import eventually

AT = "2026-03-01T02:03:04Z"
RESOURCES = {
    "requests": {"cpu": "1500m", "memory": "64Gi", "nvidia.com/gpu": "2", "example.com/nic": "1"},
    "limits": {"cpu": "2", "memory": "65Gi", "nvidia.com/gpu": "2", "example.com/nic": "1"},
}
PLAIN = {"name": "a", "image": "registry.example.org/a:1", "resources": RESOURCES}
SIDECAR = {
    "name": "s",
    "image": "registry.example.org/s:1",
    "restartPolicy": "Always",
    "resources": RESOURCES,
}
INIT = {"name": "i", "image": "registry.example.org/i:1"}
AGAIN = {"name": "b", "image": "registry.example.org/b:1", "restartPolicy": "OnFailure"}
WHOLE = {
    "resources": {"requests": {"cpu": "9", "memory": "199Gi"}, "limits": {"cpu": "10", "memory": "200Gi"}}
}
OVERHEAD = {"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"}
RUNTIME = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "handler": "runc",
    "overhead": {"podFixed": OVERHEAD},
    "status": {},
}
OWNERS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1", "controller": True},
    {"apiVersion": "v1", "kind": "ConfigMap", "name": "p", "uid": "u-2"},
]
LABELS = {
    "kueue.x-k8s.io/queue-name": "elsewhere",
    GPU_PRODUCT: "NVIDIA-H100",
    GPU_COUNT: "8",
    "other": "label",
}


def metadata(name: str, **others: Any) -> dict[str, Any]:
    return {"labels": LABELS, "ownerReferences": OWNERS, **others, "name": name}


def job(name: str, status: dict[str, Any], *, labels: bool = True, **spec: Any) -> dict[str, Any]:
    pod = {"nodeName": "nowhere", "containers": [PLAIN, AGAIN], "initContainers": [SIDECAR, INIT]}
    pod |= {**WHOLE, "overhead": OVERHEAD} if labels else {}
    template = {"spec": {"restartPolicy": "Never", **pod}}
    named = metadata(name, finalizers=["antenna.be/test"]) if labels else {"name": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": named,
        "spec": {"template": template, "managedBy": "antenna.be/test", **spec},
        "status": status,
    }


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    said = {"reason": f"{kind}Reason", "message": 'ünïcode, "quotes"\nand lines'}
    return {"type": kind, "status": status, "lastTransitionTime": AT, "lastProbeTime": AT, **said}


JOBS = (
    job("waits", {}, labels=False, suspend=True),
    job(
        "runs",
        {
            "startTime": AT,
            "active": 3,
            "ready": 1,
            "failed": 2,
            "uncountedTerminatedPods": {"succeeded": ["u-1", "u-2"], "failed": ["u-3"]},
        },
        parallelism=3,
        completions=5,
        completionMode="Indexed",
        backoffLimit=9,
    ),
    job(
        "ended",
        {
            "startTime": AT,
            "completionTime": "2026-03-01T03:03:04Z",
            "succeeded": 1,
            "ready": 0,
            "uncountedTerminatedPods": {},
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        },
        parallelism=0,
        completions=1,
    ),
)
WAITS = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}


def container(name: str, state: dict[str, Any]) -> dict[str, Any]:
    named = {"name": name, "image": name, "imageID": ""}
    return {**named, "ready": False, "restartCount": 1, "state": state}


PODS = (
    {
        "apiVersion": "v1",
        "kind": "Pod",
        # Without the label of a queue: Kueue would gate it.
        "metadata": metadata("pod", labels={}, annotations=OWN_KUBELET, finalizers=["antenna.be/test"]),
        "spec": {**WHOLE, "nodeName": "nowhere", "containers": [PLAIN, AGAIN], "initContainers": [SIDECAR]},
        "status": {
            "phase": "Running",
            "conditions": [condition("Ready"), condition("PodScheduled", "False")],
            "initContainerStatuses": [container("s", WAITS)],
            "containerStatuses": [container("a", WAITS), container("b", {})],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "annotations": OWN_KUBELET},
        "spec": {"nodeName": "nowhere", "containers": [INIT]},
        "status": {},
    },
)
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "labels": LABELS,
        "annotations": {"kwok.x-k8s.io/node": "nobody"},
        "finalizers": ["antenna.be/test"],
    },
    "spec": {"unschedulable": True},
    "status": {
        "capacity": {"cpu": "64", "memory": "1Ti", "nvidia.com/gpu": "8", "example.com/nic": "4"},
        "allocatable": {"cpu": "63500m", "memory": "1000Gi", "nvidia.com/gpu": "7"},
        "conditions": [{**condition("Ready"), "lastHeartbeatTime": AT}],
    },
}


@pytest.fixture
def everything(cluster: Cluster, namespace: str, name: str) -> Iterator[None]:
    """Objects of each kind, in which every field that is read differs from its default somewhere."""
    objects = [{**o, "metadata": {**o["metadata"], "namespace": namespace}} for o in (*JOBS, *PODS)]
    objects.append({**NODE, "metadata": {**NODE["metadata"], "name": name}})
    # Only of a class may a pod have an overhead.
    objects.insert(0, {**RUNTIME, "metadata": {"name": name, "finalizers": ["antenna.be/test"]}})
    objects = [
        {**o, "spec": {**o["spec"], "runtimeClassName": name}} if o["metadata"]["name"] == "pod" else o
        for o in objects
    ]
    for obj in objects:
        for attempt in patiently(20, lambda _: None):  # a new namespace's ServiceAccount takes a moment
            with attempt:
                cluster.create(obj)
        place = obj["apiVersion"], obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace")
        if obj["status"]:
            cluster.patch(*place, {"status": obj["status"]}, subresource="status")
        if obj["metadata"].get("finalizers"):
            cluster.delete(*place)
    yield
    for obj in objects:
        place = obj["apiVersion"], obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace")
        if obj["metadata"].get("finalizers"):
            cluster.patch(*place, {"metadata": {"finalizers": None}})


def listed(
    cluster: Cluster, source: Source[Any], accept: str, limit: int
) -> tuple[list[Page[Any]], set[bool]]:
    """The pages of a list, and in which encodings they came."""
    wire, more, pages, encodings = Wire(source), "", [], set()
    while True:
        path = cluster.path(source.api_version, source.kind)
        body = cluster.read(path, {"limit": str(limit), "continue": more}, accept=accept)
        encodings.add(protobuf.is_protobuf(body))
        pages.append(wire.page(body))
        more = wire.more(body)
        if not more:
            return pages, encodings


SOURCES = (
    Source("jobs", "batch/v1", "Job", Job),
    Source("pods", "v1", "Pod", Pod),
    Source("nodes", "v1", "Node", Node),
)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_both_encodings_of_a_list_are_read_alike(cluster: Cluster, source: Source[Any]) -> None:
    binary: list[Page[Any]] = []

    def alike() -> bool:
        text, as_text = listed(cluster, source, "application/json", 500)
        binary[:], as_binary = listed(cluster, source, Wire(source).accept, 1)
        assert (as_text, as_binary) == ({False}, {True})
        return [o for page in binary for o in page.objects] == [o for page in text for o in page.objects]

    eventually(alike)  # a controller may write to an object between the two
    assert all(page.version and not page.broken for page in binary)
    told = {path for page in binary for obj in page.objects for path in _told(obj)}
    untold = set(_fields(source.decode)) - told - ({"metadata.namespace"} if source.kind == "Node" else set())
    assert not untold, f"no object of the test has {untold}: nobody knows whether it is read"


@pytest.mark.usefixtures("everything")
def test_a_list_in_protobuf_that_was_cut_off_is_no_list(cluster: Cluster) -> None:
    source = SOURCES[0]
    body = cluster.read("/apis/batch/v1/jobs", {}, accept=Wire(source).accept)
    for end in (4, 5, len(body) // 2, len(body) - 1):
        with pytest.raises(msgspec.DecodeError):
            Wire(source).page(body[:end])


def _fields(struct: Any, before: str = "") -> Iterator[str]:
    """Every field of a struct and of those in it, by its path."""
    for field in msgspec.inspect.type_info(struct).fields:
        yield before + field.name
        kinds = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        for kind in kinds:
            inner = kind.item_type if isinstance(kind, msgspec.inspect.ListType) else kind
            if isinstance(inner, msgspec.inspect.StructType):
                yield from _fields(inner.cls, f"{before}{field.name}.")


def _told(obj: Any, before: str = "") -> Iterator[str]:
    """The paths of those that are not empty in an object."""
    for name in obj.__struct_fields__:
        value = getattr(obj, name)
        if value or (value is not None and isinstance(value, datetime | msgspec.Struct)):
            yield before + name
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, msgspec.Struct):
                yield from _told(one, f"{before}{name}.")
