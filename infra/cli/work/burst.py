"""The demo's burst of jobs and its bookkeeping. Pure: plain objects in, plain data out.

GPUs are counted from what Kueue reserved for Workloads, not from what Jobs ask: the reservation is
what is promised to a partner and taken from all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from infra.cli.views.kube import Object, condition, gpu_quotas, gpus, is_true, nominal
from operators.kube.time import instant
from operators.queues import GPU, QUEUE_LABEL
from operators.tenancy import TENANT_LABEL

RUN_LABEL = "antenna.be/demo"
TTL_SECONDS = 600
IMAGE = "antenna.be/sample-work:1"

# Mixed sizes, mostly small, as fine-tuning and tests are. Seven, so that each partner gets
# each size.
_SIZES = (1, 2, 1, 4, 1, 2, 3)


@dataclass(frozen=True)
class Queue:
    """A partner's way in. ``most`` is what one of its jobs could ever get, borrowing included."""

    partner: str
    namespace: str
    local_queue: str
    cluster_queue: str
    nominal: int
    most: int


@dataclass(frozen=True)
class Work:
    """One job of the burst."""

    name: str
    queue: Queue
    gpus: int
    seconds: int


@dataclass(frozen=True)
class Row:
    """A partner's line of the live table: jobs by state, GPUs held now, of which borrowed."""

    partner: str
    queued: int
    running: int
    done: int
    failed: int
    gpus: int
    borrowed: int


@dataclass(frozen=True)
class Result:
    """What the burst showed, local and remote jobs together.

    ``sites``: site -> {jobs, succeeded, failed}. What is said of GPUs and waits is about the local site:
    ``gpus`` is what it has; a wait is from a job's creation to its quota.
    """

    jobs: int
    succeeded: int
    failed: int
    sites: dict[str, dict[str, int]]
    partners: list[str]
    gpus: int
    gpus_requested: int
    peak_gpus: int
    peak_holders: dict[str, int]
    """Who held them: a Workload's NAMESPACE/NAME and its GPUs."""
    peak_borrowed: int
    wait_seconds_mean: float
    wait_seconds_max: float
    seconds: float

    @property
    def problems(self) -> list[str]:
        """Why the demo did not show what it must; empty when it did."""
        found = []
        if self.failed:
            found.append(f"{self.failed} of {self.jobs} jobs failed")
        if unfinished := self.jobs - self.succeeded - self.failed:
            found.append(f"{unfinished} of {self.jobs} jobs did not finish in time")
        if self.peak_gpus > self.gpus:
            who = ", ".join(f"{name} {count}" for name, count in sorted(self.peak_holders.items()))
            found.append(f"{self.peak_gpus} GPUs were admitted at once, the site has {self.gpus}: {who}")
        return found

    def document(self) -> dict[str, Any]:
        """The stable keys of `antenna demo --json`."""
        return {**asdict(self), "problems": self.problems}


def queues(
    cluster_queues: Iterable[Object], local_queues: Iterable[Object], cohorts: Iterable[Object]
) -> list[Queue]:
    """The partners' queues that can hold GPU jobs, by partner."""
    by_name = {q["metadata"]["name"]: q for q in cluster_queues}
    total = {c["metadata"]["name"]: nominal(c) for c in cohorts}
    for found in by_name.values():
        total[_cohort(found)] = total.get(_cohort(found), 0) + nominal(found)
    rows = []
    for local in local_queues:
        meta, name = local["metadata"], local["spec"]["clusterQueue"]
        if name not in by_name:
            continue
        own, cohort = nominal(by_name[name]), _cohort(by_name[name])
        limits = [entry.get("borrowingLimit") for entry in gpu_quotas(by_name[name])]
        most = total[cohort] if cohort else own
        if limits and None not in limits:
            most = min(most, own + sum(map(gpus, limits)))
        if most > 0:
            partner = (meta.get("labels") or {}).get(TENANT_LABEL, meta["namespace"])
            rows.append(Queue(partner, meta["namespace"], meta["name"], name, own, most))
    return sorted(rows, key=lambda q: (q.partner, q.local_queue))


def plan(found: Sequence[Queue], run: str, *, largest: int, jobs: int = 24, partners: int = 5) -> list[Work]:
    """Which jobs to submit: half the partners with the most quota, half with the least, so that the
    latter borrow. ``largest`` is the GPUs of the largest node: a job's pod runs on one node.
    """
    ranked = sorted(found, key=lambda q: (-q.nominal, q.partner))
    rich = (partners + 1) // 2
    chosen = ranked[:rich] + ranked[rich:][-(partners - rich) :] if partners > rich else ranked[:rich]
    works = []
    for i in range(jobs if chosen else 0):
        queue = chosen[i % len(chosen)]
        gpus = max(1, min(_SIZES[i % len(_SIZES)], largest, queue.most))
        works.append(Work(f"demo-{run}-{i:02d}", queue, gpus, 5 + (i * 3) % 5))
    return works


def job(work: Work, run: str, *, keep: bool = False) -> dict[str, Any]:
    """The Job: an ordinary one with a queue label, allowed under Pod Security `restricted`.

    Unless it is to be kept it goes by itself once it has ended, for a demo that is killed.
    """
    labels = {QUEUE_LABEL: work.queue.local_queue, RUN_LABEL: run}
    resources = {"cpu": "10m", "memory": "16Mi"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": work.name, "namespace": work.queue.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "suspend": True,
            **({} if keep else {"ttlSecondsAfterFinished": TTL_SECONDS}),
            "template": {
                "metadata": {"labels": {RUN_LABEL: run}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "work",
                            "image": IMAGE,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["/bin/busybox", "sleep", str(work.seconds)],
                            "resources": {
                                "requests": {**resources, GPU: str(work.gpus)},
                                "limits": {**resources, GPU: str(work.gpus)},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
        },
    }


def reserved(workload: Object) -> int:
    """GPUs that the Workload holds now: quota reserved and not finished."""
    if is_true(workload, "Finished") or not is_true(workload, "QuotaReserved"):
        return 0
    return held(workload)


def held(workload: Object) -> int:
    """GPUs of the Workload's admission, whether it still holds them or not."""
    admission = workload.get("status", {}).get("admission") or {}
    return sum(
        gpus((podset.get("resourceUsage") or {}).get(GPU))
        for podset in admission.get("podSetAssignments", [])
    )


def of_living_jobs(workloads: Iterable[Object], jobs: Iterable[Object]) -> list[Object]:
    """Workloads without those whose Job has ended: these hold no GPU, whatever their own status says.

    A Workload may be seen unfinished once more after its quota went to another, when a controller of
    Kueue's applied what it knew of it before.
    """
    over = {job["metadata"]["uid"] for job in jobs if outcome(job) in ("done", "failed")}
    return [w for w in workloads if over.isdisjoint(_owners(w))]


def holders(workloads: Iterable[Object]) -> dict[str, int]:
    """GPUs that each Workload holds now, by NAMESPACE/NAME; none that hold nothing."""
    found = {_name(workload): reserved(workload) for workload in workloads}
    return {name: count for name, count in found.items() if count}


def stamps(objects: Iterable[Object]) -> dict[str, Any]:
    """What each object's conditions say and since when, by NAMESPACE/NAME: to read after a surprise."""
    return {
        _name(one): {
            "resourceVersion": one["metadata"].get("resourceVersion"),
            **{
                c["type"]: [c["status"], c.get("reason", ""), c.get("lastTransitionTime", "")]
                for c in one.get("status", {}).get("conditions", ())
            },
        }
        for one in objects
    }


def peak(workloads: Iterable[Object], jobs: Iterable[Object] = ()) -> dict[str, int]:
    """Who held the most GPUs that were reserved at one moment, from the objects' own timestamps.

    These have whole seconds: within one second a release counts before a reservation, which is the
    order in which Kueue can do them. Kueue may stamp Finished once more, and later, when it looks at a
    Workload before it has seen its own stamp; so what is held is held to the end of its Job at most.
    """
    ended = {job["metadata"]["uid"]: end for job in jobs if (end := _end(job))}
    steps: list[tuple[datetime, int, str]] = []
    for workload in workloads:
        begin = instant(condition(workload, "QuotaReserved").get("lastTransitionTime"))
        if begin is None or not is_true(workload, "QuotaReserved") or not held(workload):
            continue
        steps.append((begin, held(workload), _name(workload)))
        end = instant(condition(workload, "Finished").get("lastTransitionTime"))
        if end is not None and is_true(workload, "Finished"):
            end = max(begin, min([end, *(ended[uid] for uid in _owners(workload) if uid in ended)]))
            steps.append((end, -held(workload), _name(workload)))
    now: dict[str, int] = {}
    most: dict[str, int] = {}
    for _, change, name in sorted(steps):
        now[name] = now.get(name, 0) + change
        if sum(now.values()) > sum(most.values()):
            most = {holder: count for holder, count in now.items() if count}
    return most


def waits(workloads: Iterable[Object]) -> list[float]:
    """Seconds from creation to quota, of those that got it."""
    found = []
    for workload in workloads:
        made = instant(workload["metadata"].get("creationTimestamp"))
        when = instant(condition(workload, "QuotaReserved").get("lastTransitionTime"))
        if made is not None and when is not None and is_true(workload, "QuotaReserved"):
            found.append((when - made).total_seconds())
    return found


def table(
    works: Sequence[Work],
    jobs: Iterable[Object],
    workloads: Iterable[Object],
) -> list[Row]:
    """A row a partner, by name. What is held beyond the quota is borrowed.

    Kueue's own count of that is in each ClusterQueue's status, which comes a moment later.
    """
    state = {(j["metadata"]["namespace"], j["metadata"]["name"]): outcome(j) for j in jobs}
    holds: dict[str, int] = {}
    for workload in workloads:
        namespace = workload["metadata"]["namespace"]
        holds[namespace] = holds.get(namespace, 0) + reserved(workload)
    rows = []
    for queue in sorted({w.queue for w in works}, key=lambda q: q.partner):
        states = [state.get((queue.namespace, w.name), "queued") for w in works if w.queue == queue]
        rows.append(
            Row(
                partner=queue.partner,
                queued=states.count("queued"),
                running=states.count("running"),
                done=states.count("done"),
                failed=states.count("failed"),
                gpus=holds.get(queue.namespace, 0),
                borrowed=max(0, holds.get(queue.namespace, 0) - queue.nominal),
            )
        )
    return rows


def outcome(job: Object) -> str:
    """queued, running, done or failed."""
    if is_true(job, "Complete"):
        return "done"
    if is_true(job, "Failed"):
        return "failed"
    return "queued" if job.get("spec", {}).get("suspend") else "running"


def _cohort(queue: Object) -> str:
    return str(queue["spec"].get("cohortName") or "")


def _end(job: Object) -> datetime | None:
    for kind in ("Complete", "Failed"):
        if is_true(job, kind):
            return instant(condition(job, kind).get("lastTransitionTime"))
    return None


def _owners(workload: Object) -> list[str]:
    return [owner["uid"] for owner in workload["metadata"].get("ownerReferences") or ()]


def _name(workload: Object) -> str:
    metadata = workload["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
