"""The figures of queues, jobs and nodes, recomputed from what the API server says, in the plainest way.

Nothing here knows the operator: whole lists of plain dicts in, every figure anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

QUEUE, TENANT, SITE = "queue", "tenant", "local"
GPU = "nvidia.com/gpu"
KUEUE = "kueue.x-k8s.io/v1beta2"
SUFFIXES = {"m": Fraction(1, 1000), "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1000, "M": 10**6}
FAMILIES = {"gpus": GPU, "cpu_cores": "cpu", "memory_bytes": "memory"}


def amount(text):
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if str(text).endswith(suffix):
            return Fraction(str(text).removesuffix(suffix)) * SUFFIXES[suffix]
    return Fraction(str(text))


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def condition(obj, kind):
    for one in obj.get("status", {}).get("conditions", ()):
        if one["type"] == kind:
            return one
    return {"status": "Unknown", "reason": "", "message": ""}


def holds(obj, kind):
    return condition(obj, kind)["status"] == "True"


class Lists:
    """What the API server holds at about one moment; equal to another that shows the same versions."""

    def __init__(self, cluster):
        kinds = (
            *(("batch/v1", "Job"), (KUEUE, "Workload"), (KUEUE, "ClusterQueue"), (KUEUE, "LocalQueue")),
            *(("v1", "Pod"), ("v1", "Node"), ("v1", "Namespace")),
        )
        # What nobody has looked at yet has no status.
        self.by_kind = {
            kind: [{"status": {}, **obj} for obj in cluster.list_objects(version, kind)]
            for version, kind in kinds
        }
        self.versions = {
            (kind, o["metadata"]["uid"]): o["metadata"]["resourceVersion"]
            for kind, objects in self.by_kind.items()
            for o in objects
        }

    def __eq__(self, other):
        return self.versions == other.versions

    def __hash__(self):
        return hash(frozenset(self.versions.items()))

    def __getitem__(self, kind):
        return self.by_kind[kind]

    def workload_of(self, job):
        """Of the slices of an elastic job the one that it runs with, else the one that it waits with."""
        uid = job["metadata"]["uid"]
        own = [w for w in self["Workload"] if w["metadata"]["labels"].get("kueue.x-k8s.io/job-uid") == uid]
        live = [w for w in own if not holds(w, "Finished")] or own
        running = sorted(
            (w for w in live if holds(w, "Admitted")),
            key=lambda w: seconds(condition(w, "Admitted")["lastTransitionTime"]),
        )
        return next(iter([*running[::-1], *live]), None)

    def tenant(self, namespace):
        for one in self["Namespace"]:
            if one["metadata"]["name"] == namespace:
                return one["metadata"].get("labels", {}).get("antenna.be/tenant", "")
        return ""

    def queue(self, namespace, name):
        for one in self["LocalQueue"]:
            if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, name):
                return one["spec"]["clusterQueue"]
        return ""

    def place(self, job):
        metadata = job["metadata"]
        name = metadata.get("labels", {}).get("kueue.x-k8s.io/queue-name", "")
        return self.queue(metadata["namespace"], name), self.tenant(metadata["namespace"])

    def owner(self, queue):
        for one in self["ClusterQueue"]:
            if one["metadata"]["name"] == queue:
                return one["metadata"].get("labels", {}).get("antenna.be/tenant", "")
        return ""


def state(job, workload=None):
    if holds(job, "Complete"):
        return "succeeded"
    if holds(job, "Failed"):
        return "failed"
    if "deletionTimestamp" in job["metadata"]:
        return "cancelled"
    status = job["status"]
    uncounted = status.get("uncountedTerminatedPods", {})
    ended = (
        status.get("succeeded", 0)
        + status.get("failed", 0)
        + len(uncounted.get("succeeded", ()))
        + len(uncounted.get("failed", ()))
    )
    before = workload and workload["status"].get("accumulatedPastExecutionTimeSeconds")
    again = bool(before or (workload and evictions(workload)))
    begun = status.get("ready", 0) or (ended and not again)
    return "running" if begun and not job["spec"].get("suspend") else "pending"


def asked(workload, resource):
    """What the pods of a Workload ask for together, of one resource."""
    total = Fraction(0)
    for pods in workload["spec"]["podSets"]:
        for container in pods["template"]["spec"]["containers"]:
            limits, requests = (container.get("resources", {}).get(k, {}) for k in ("limits", "requests"))
            total += amount(requests.get(resource, limits.get(resource, 0))) * pods["count"]
    return total


def gauges(lists):
    """(family, labels) -> value, of every gauge of queues, jobs and nodes but for ages."""
    figures = Counter()
    for queue in lists["ClusterQueue"]:
        name = queue["metadata"]["name"]
        key = (SITE, name, lists.owner(name))
        for one in ("pending", "running", "succeeded", "failed", "cancelled"):
            figures["antenna_queue_jobs", (*key, one)] += 0
        reserved = defaultdict(Fraction)
        requested = Counter()
        for workload in lists["Workload"]:
            metadata, status = workload["metadata"], workload["status"]
            admission = status.get("admission")
            target = (
                admission["clusterQueue"]
                if admission
                else lists.queue(metadata["namespace"], workload["spec"]["queueName"])
            )
            off = admission is None and workload["spec"].get("active") is False
            if target != name or holds(workload, "Finished") or off:
                continue
            gone = {pods["name"]: pods["count"] for pods in status.get("reclaimablePods", ())}
            for family, resource in FAMILIES.items():
                if admission is None:
                    requested[family] += asked(workload, resource)
                    continue
                counts = {pods["name"]: pods["count"] for pods in workload["spec"]["podSets"]}
                for given in admission["podSetAssignments"]:
                    name_, count = given["name"], given["count"]
                    remain = min(count, counts[name_] - gone.get(name_, 0))
                    left = Fraction(remain, count) if count else 0
                    held = amount(given["resourceUsage"].get(resource, 0)) * left
                    requested[family] += held
                    if resource in given["flavors"]:  # remote work asks for resources of its own
                        reserved[family, given["flavors"][resource]] += held
        for family, resource in FAMILIES.items():
            figures[f"antenna_queue_{family}_requested", key] = requested[family]
            local = (g for g in queue["spec"]["resourceGroups"] if resource in g["coveredResources"])
            for group in local:
                for flavor in group["flavors"]:
                    (quota,) = (
                        amount(r["nominalQuota"]) for r in flavor["resources"] if r["name"] == resource
                    )
                    labels = (*key, flavor["name"])
                    held = reserved[family, flavor["name"]]
                    figures[f"antenna_queue_{family}_quota", labels] = quota
                    figures[f"antenna_queue_{family}_reserved", labels] = held
                    figures[f"antenna_queue_{family}_borrowed", labels] = max(Fraction(0), held - quota)
    for job in lists["Job"]:
        figures["antenna_queue_jobs", (SITE, *lists.place(job), state(job, lists.workload_of(job)))] += 1
        figures.update(job_gauges(lists, job))
    figures.update(node_gauges(lists))
    figures.update(partner_gauges(lists))
    return {key: float(value) for key, value in figures.items()}


def job_gauges(lists, job):
    metadata, status = job["metadata"], job["status"]
    key = (SITE, metadata["namespace"], metadata["name"])
    workload = lists.workload_of(job)
    figures = {
        ("antenna_job_state", (*key, state(job, workload))): 1,
        ("antenna_job_info", (*key, metadata["uid"], *lists.place(job), "")): 1,
        ("antenna_job_created_timestamp_seconds", key): seconds(metadata["creationTimestamp"]),
        ("antenna_job_restarts", key): restarts(job),
        ("antenna_job_evictions", key): sum(evictions(workload).values()) if workload else 0,
    }
    if "startTime" in status:
        figures["antenna_job_started_timestamp_seconds", key] = seconds(status["startTime"])
    if (end := finished(job)) is not None:
        figures["antenna_job_finished_timestamp_seconds", key] = end
    if workload and holds(workload, "Admitted"):
        since = condition(workload, "Admitted")["lastTransitionTime"]
        figures["antenna_job_admitted_timestamp_seconds", key] = seconds(since)
    template = {"spec": {"podSets": [{"count": job["spec"]["parallelism"], **job["spec"]}]}}
    for family, resource in FAMILIES.items():
        figures[f"antenna_job_{family}", key] = asked(workload or template, resource)
    return figures


def node_gauges(lists):
    figures = Counter()
    for node in lists["Node"]:
        name, labels = node["metadata"]["name"], node["metadata"].get("labels", {})
        key, model = (SITE, name), labels.get("nvidia.com/gpu.product", "")
        status = node["status"]
        held = sum(
            amount(c.get("resources", {}).get("requests", {}).get(GPU, 0))
            for pod in lists["Pod"]
            if pod["spec"].get("nodeName") == name and pod["status"]["phase"] not in ("Succeeded", "Failed")
            for c in pod["spec"]["containers"]
        )
        has = amount(status["allocatable"].get(GPU, 0))
        figures["antenna_node_ready", key] = int(holds(node, "Ready"))
        figures["antenna_node_schedulable", key] = int(not node["spec"].get("unschedulable", False))
        if not held and GPU not in status["capacity"]:
            continue
        figures["antenna_node_gpus_capacity", (*key, model)] = max(
            amount(status["capacity"].get(GPU, 0)), int(labels.get("nvidia.com/gpu.count", 0))
        )
        figures["antenna_node_gpus_allocatable", (*key, model)] = has
        figures["antenna_node_gpus_allocated", (*key, model)] = held
        figures["antenna_gpus_allocatable", (SITE, model)] += has
        figures["antenna_gpus_allocated", (SITE, model)] += held
    return figures


def partner_gauges(lists):
    figures = Counter()
    for one in lists["Namespace"]:
        if tenant := lists.tenant(one["metadata"]["name"]):
            figures["antenna_tenant_gpus_running", (SITE, tenant)] = sum(
                amount(c.get("resources", {}).get("requests", {}).get(GPU, 0))
                for pod in lists["Pod"]
                if pod["metadata"]["namespace"] == one["metadata"]["name"] and on_a_node(pod)
                for c in pod["spec"]["containers"]
            )
    return figures


def on_a_node(pod):
    """Whether it runs there, or is about to: it has not ended and was not told to end."""
    ends = pod["status"]["phase"] in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]
    return bool(pod["spec"].get("nodeName")) and not ends


def finished(job):
    if holds(job, "Complete"):
        return seconds(job["status"]["completionTime"])
    if holds(job, "Failed"):
        return seconds(condition(job, "Failed")["lastTransitionTime"])
    return None


def restarts(job):
    status = job["status"]
    return status.get("failed", 0) + len(status.get("uncountedTerminatedPods", {}).get("failed", ()))


def evictions(workload):
    found = Counter()
    for one in workload.get("status", {}).get("schedulingStats", {}).get("evictions", ()):
        found[one["reason"]] += one["count"]
    return found


@dataclass
class Integral:
    """GPU-seconds of one Workload, from each of its states in turn: what it holds, since when."""

    total: Fraction = Fraction(0)
    past: int = 0
    since: float | None = None
    """When the present admission began."""
    turned: float = 0
    """Since when it holds as many GPUs as now."""
    gpus: Fraction = Fraction(0)

    def see(self, workload):
        status = workload.get("status", {})
        past = status.get("accumulatedPastExecutionTimeSeconds", 0)
        told = condition(workload, "Admitted")
        admitted = seconds(told["lastTransitionTime"]) if told["status"] == "True" else None
        if self.since is not None and admitted != self.since:
            # The end of an admission is Kueue's to tell, in whole seconds.
            self.total += self.gpus * (past - self.past - (self.turned - self.since))
            self.since = None
        self.past = past
        if admitted is None:
            return
        gpus = given(workload)
        if self.since is None:
            self.since = self.turned = admitted
        elif gpus != self.gpus:
            written = max(seconds(one["time"]) for one in workload["metadata"]["managedFields"])
            self.total += self.gpus * (written - self.turned)
            self.turned = written
        self.gpus = gpus

    def until(self, end):
        """With the present admission, once that has ended."""
        lasts = self.since is not None and end is not None
        return self.total + (self.gpus * Fraction(end - self.turned) if lasts else 0)


def given(workload):
    """The GPUs that an admitted Workload holds: of its pods some may have ended and given theirs back."""
    counts = {pods["name"]: pods["count"] for pods in workload["spec"]["podSets"]}
    gone = {pods["name"]: pods["count"] for pods in workload["status"].get("reclaimablePods", ())}
    total = Fraction(0)
    for one in workload["status"]["admission"]["podSetAssignments"]:
        if one["count"]:
            remain = min(one["count"], counts[one["name"]] - gone.get(one["name"], 0))
            total += amount(one["resourceUsage"].get(GPU, 0)) * remain / one["count"]
    return total


@dataclass(frozen=True)
class Life:
    """A job as it was last, with all Workloads that it had as they were last."""

    job: dict
    gone: bool
    admitted: float | None
    """When it was admitted for the first time."""
    workloads: tuple
    integrals: dict
    """Integral by the uid of the Workload."""

    def outcome(self):
        """None of a job that is there and has not ended."""
        if finished(self.job) is not None:
            return state(self.job)
        return "cancelled" if self.gone else None

    def held(self):
        """Seconds of the last admission; None while it lasts, and where the last Workload has none."""
        if not self.workloads or not holds(self.workloads[-1], "Admitted"):
            return None
        workload = self.workloads[-1]
        since = seconds(condition(workload, "Admitted")["lastTransitionTime"])
        end = finished(self.job)
        if end is None:
            end = ended(workload)
        return None if end is None else end - since

    def untold(self):
        """Whether its Workload went while it was admitted, with no time: only who saw it go knows its run."""
        if not (self.gone and self.workloads and self.held() is None):
            return False
        return holds(self.workloads[-1], "Admitted")

    def gpu_seconds(self):
        """GPUs x the time of all admissions that are over."""
        end = finished(self.job)
        return sum(
            self.integrals[workload["metadata"]["uid"]].until(ended(workload) if end is None else end)
            for workload in self.workloads
        )


def ended(workload):
    """When it lost what it held without its Job's end: Kueue missed its owner, or it was deleted."""
    told = condition(workload, "Finished")
    stamps = [told["lastTransitionTime"]] if told["reason"] == "OwnerNotFound" else []
    if "deletionTimestamp" in workload["metadata"]:
        stamps.append(workload["metadata"]["deletionTimestamp"])
    return min(map(seconds, stamps), default=None)


BOUNDS = (
    *("1.0", "5.0", "15.0", "60.0", "300.0", "900.0", "3600.0"),
    *("14400.0", "43200.0", "86400.0", "259200.0", "604800.0", "+Inf"),
)


def totals(lists, lives, tenants):
    """(sample, labels) -> value, of every counter and histogram of these tenants' jobs.

    ``tenants``: name -> (sector, ecosystem).
    """
    figures = Counter()
    for life in lives:
        place = (SITE, *lists.place(life.job))
        tenant = place[-1]
        if tenant not in tenants:
            continue
        if outcome := life.outcome():
            figures["antenna_jobs_finished_total", (*place, outcome)] += 1
        figures["antenna_jobs_restarted_total", place] += restarts(life.job)
        if life.admitted is not None:
            created = seconds(life.job["metadata"]["creationTimestamp"])
            observe(figures, "antenna_job_wait_seconds", place, life.admitted - created)
        if life.outcome() and life.held() is not None:
            observe(figures, "antenna_job_run_seconds", place, life.held())
        figures["antenna_gpu_seconds_total", (SITE, tenant, *tenants[tenant])] += life.gpu_seconds()
        for workload in life.workloads:
            for reason, count in evictions(workload).items():
                figures["antenna_jobs_evicted_total", (*place, reason)] += count
                if reason == "Preempted":
                    figures["antenna_jobs_preempted_total", place] += count
    return figures


def observe(figures, family, place, value):
    for bound in BOUNDS:
        figures[f"{family}_bucket", (*place, bound)] += value <= float(bound)
    figures[f"{family}_sum", place] += value
    figures[f"{family}_count", place] += 1
