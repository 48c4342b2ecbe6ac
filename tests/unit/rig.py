"""The collectors with a store and a ledger, fed with objects as the API server would write them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from operators.collectors import collectors
from operators.exposition.store import Store
from operators.ledger.ledger import Ledger

START = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
FIRST = ("namespaces", "localqueues", "clusterqueues", "workloads", "jobs")
"""What must have been listed before figures of work show."""


class StillLedger(Ledger):
    """A ledger that is written when the test says so."""

    def start(self, tick, seconds=0.0):
        self.tick = tick


class Rig:
    """One operator's collectors. Times are seconds after START."""

    def __init__(self, where):
        self.now = 0.0
        self.store = Store(FAMILIES)
        self.ledger = StillLedger(where)
        self.streams = collectors(self.store, self.ledger, clock=lambda: START + self.now)

    def lists(self, *, told=True, **objects):
        """First lists, of everything that figures wait for; what is not named is empty.

        ``told``: what was missed is told too; None of it was.
        """
        for name in {**dict.fromkeys(FIRST, ()), **objects}:
            self.relist(name, *objects.get(name, ()))
        for stream in self.streams.values():
            if stream.past is not None and told:
                stream.past.caught_up()
        return self

    def apply(self, name, *objects):
        stream = self.streams[name]
        for obj in objects:
            sink_of(stream).apply(read(stream, obj))

    def delete(self, name, *objects):
        stream = self.streams[name]
        for obj in objects:
            sink_of(stream).delete(read(stream, obj))

    def relist(self, name, *objects):
        stream = self.streams[name]
        sink_of(stream).replace(iter([read(stream, obj) for obj in objects]))

    def commit(self):
        self.ledger.tick()

    def shown(self, family):
        """labels -> value of every series of a family; a histogram's series by (name, labels)."""
        return self.all_shown(family)[family]

    def all_shown(self, *families):
        """The same by family, of several."""
        found = {family: {} for family in families}
        for one in read_text(b"".join(self.store.render(False)).decode()):
            for sample in one.samples:
                if sample.name in found:
                    found[sample.name][tuple(sample.labels.items())] = sample.value
        return found

    def figure(self, family, **labels):
        """The one series of a family with these labels; None where there is none."""
        found = [
            value for series, value in self.shown(family).items() if labels.items() <= dict(series).items()
        ]
        assert len(found) <= 1, f"several series of {family} have {labels}"
        return found[0] if found else None


def sink_of(stream):
    """The sink of a stream that only its collector listens to."""
    (listener,) = stream.listeners
    return listener.sink


def read(stream, obj):
    """What the collector is given of an object."""
    (listener,) = stream.listeners
    decoded = msgspec.convert(obj, stream.source.decode)
    return decoded if listener.read is None else listener.read(decoded)


def stamp(seconds):
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def partner(name, *, sectors="agri-food,construction", gpus="4"):
    """Namespace, LocalQueue and ClusterQueue of a partner, as streams name them."""
    labels = {"antenna.be/tenant": name, "antenna.be/ecosystem": "wallonia"}
    namespace = {
        "metadata": {
            "name": f"tenant-{name}",
            "labels": labels,
            "annotations": {"antenna.be/sectors": sectors},
        }
    }
    local = {
        "metadata": {"name": "default", "namespace": f"tenant-{name}"},
        "spec": {"clusterQueue": f"cq-{name}"},
    }
    quotas = [
        {"name": "cpu", "nominalQuota": "8"},
        {"name": "memory", "nominalQuota": "16Gi"},
        {"name": "nvidia.com/gpu", "nominalQuota": gpus},
    ]
    queue = {
        "metadata": {"name": f"cq-{name}", "labels": labels},
        "spec": {"resourceGroups": [{"flavors": [{"name": "h100", "resources": quotas}]}]},
    }
    return {"namespaces": [namespace], "localqueues": [local], "clusterqueues": [queue]}


def template(gpus, cpu="1500m", memory="2Gi"):
    requests = {"cpu": cpu, "memory": memory, "nvidia.com/gpu": str(gpus)}
    return {"spec": {"containers": [{"resources": {"requests": requests}}]}}


def job(name, *, tenant="a", gpus=1, created=0, queue="default", status=None, owner=None, **spec):
    """A Job that is suspended unless told otherwise."""
    metadata = {
        "name": name,
        "namespace": f"tenant-{tenant}",
        "uid": f"uid-{name}",
        "creationTimestamp": stamp(created),
        "labels": {"kueue.x-k8s.io/queue-name": queue} if queue else {},
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "uid": "x", "controller": True}]
    return {
        "metadata": metadata,
        "spec": {"suspend": True, "parallelism": 1, "template": template(gpus), **spec},
        "status": status or {},
    }


def running(name, *, started=0, **others):
    status = {"startTime": stamp(started), "active": 1, "ready": 1}
    return job(name, suspend=False, status=status, **others)


def ended(name, *, at, started=0, outcome="Complete", failed=0, **others):
    condition = {"type": outcome, "status": "True", "lastTransitionTime": stamp(at)}
    status = {"startTime": stamp(started), "conditions": [condition], "failed": failed}
    if outcome == "Complete":
        status |= {"completionTime": stamp(at), "succeeded": 1}
    return job(name, suspend=False, status=status, **others)


def workload(
    of,
    *,
    tenant="a",
    gpus=1,
    admitted=None,
    pods=1,
    past=0,
    evictions=None,
    finished=False,
    waits="",
    **status,
):
    """The Workload of a Job; with quota and admitted at a time, or waiting for quota with a message."""
    conditions = []
    if admitted is not None:
        conditions = [
            {"type": kind, "status": "True", "reason": kind, "lastTransitionTime": stamp(admitted)}
            for kind in ("QuotaReserved", "Admitted")
        ]
        usage = {"cpu": f"{1500 * pods}m", "memory": f"{2 * pods}Gi", "nvidia.com/gpu": str(gpus * pods)}
        status["admission"] = {
            "clusterQueue": f"cq-{tenant}",
            "podSetAssignments": [
                {
                    "name": "main",
                    "count": pods,
                    "flavors": {"cpu": "h100", "memory": "h100", "nvidia.com/gpu": "h100"},
                    "resourceUsage": usage,
                }
            ],
        }
    elif waits:
        conditions = [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": waits}]
    if finished:
        conditions.append({"type": "Finished", "status": "True", "reason": "Succeeded"})
    if past:
        status["accumulatedPastExecutionTimeSeconds"] = past
    if evictions:
        counts = [{"reason": reason, "count": count} for reason, count in evictions.items()]
        status["schedulingStats"] = {"evictions": counts}
    return {
        "metadata": {
            "name": f"job-{of}",
            "namespace": f"tenant-{tenant}",
            "uid": f"workload-{of}",
            "labels": {"kueue.x-k8s.io/job-uid": f"uid-{of}"},
        },
        "spec": {
            "queueName": "default",
            "podSets": [{"name": "main", "count": pods, "template": template(gpus)}],
        },
        "status": {"conditions": conditions, **status},
    }


def orphaned(of, *, at, **others):
    """A Workload whose Job Kueue has found gone."""
    obj = workload(of, finished=True, **others)
    obj["status"]["conditions"][-1] |= {"reason": "OwnerNotFound", "lastTransitionTime": stamp(at)}
    return obj


def deleted(obj, *, at):
    """The same object once its deletion has begun."""
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": stamp(at)}}
