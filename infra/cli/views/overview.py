"""What `antenna status` shows. Pure: Kubernetes objects and the engine's resources in, rows out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from infra.cli.checks.verdict import Verdict
from infra.cli.views.kube import Object, condition, gpus, is_true, nominal, reservation
from operators.api.names import REMOTE_JOB
from operators.kube import workload
from operators.kube.pod_requests import pod_requests
from operators.queues import GPU

LOCAL = "local"
"""The cluster's own name among the sites, as on every metric."""


@dataclass(frozen=True)
class Machine:
    """A machine of the site. ``running`` is whether it answers, not whether it was declared."""

    name: str
    driver: str
    address: str
    running: bool
    reason: str


@dataclass(frozen=True)
class Node:
    """A node of the cluster and its GPUs."""

    name: str
    ready: bool
    reason: str
    gpus: int
    gpus_used: int


@dataclass(frozen=True)
class Queue:
    """A partner's ClusterQueue. GPUs; ``oldest_wait`` in seconds, None when nothing waits."""

    name: str
    active: bool
    reason: str
    quota: int
    used: int
    borrowed: int
    pending: int
    admitted: int
    oldest_wait: float | None


@dataclass(frozen=True)
class Site:
    """The cluster as site ``local``, or a remote one: is it usable, and the jobs of ours that it has.

    ``gpus_used``: of what runs; ``gpus``: in all, None where that is not ours to know.
    """

    name: str
    title: str
    usable: bool
    reason: str
    gpus: int | None
    gpus_used: int
    running: int
    waiting: int
    asked: bool = True
    """Whether anybody asks its scheduler: where no partner has a project there is nothing to ask."""


@dataclass(frozen=True)
class Overview:
    """One screen. ``problem`` says why nodes and queues are not known; empty when they are."""

    stack: str
    machines: list[Machine]
    nodes: list[Node]
    queues: list[Queue]
    problem: str
    sites: list[Site] = field(default_factory=list)
    operator: Verdict | None = None
    """None where there is no cluster to ask."""
    critical: tuple[str, ...] = ()
    """Critical alerts that fire. They outlast what they tell of, so health is not judged by them."""

    @property
    def healthy(self) -> bool:
        """All machines run, all nodes are Ready, queues active, sites usable, and the operator is well."""
        parts = [m.running for m in self.machines] + [n.ready for n in self.nodes]
        parts += [site.usable for site in self.sites]
        parts += [self.operator is None or self.operator.level != "fail"]
        return not self.problem and all(parts + [q.active for q in self.queues])

    def document(self) -> dict[str, Any]:
        """The stable keys of `antenna status --json`."""
        return {
            "stack": self.stack,
            "healthy": self.healthy,
            "problem": self.problem,
            "gpus": {
                "total": sum(n.gpus for n in self.nodes),
                "used": sum(n.gpus_used for n in self.nodes),
            },
            "machines": [asdict(m) for m in self.machines],
            "nodes": [asdict(n) for n in self.nodes],
            "queues": [asdict(q) for q in self.queues],
            "sites": [asdict(s) for s in self.sites],
            "operator": asdict(self.operator) if self.operator else None,
            "critical": list(self.critical),
        }


def nodes(found: Iterable[Object], pods: Iterable[Object]) -> list[Node]:
    """Nodes by name; a GPU is used while a pod that has not ended holds it."""
    used: dict[str, int] = {}
    for pod in pods:
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            name = pod["spec"].get("nodeName", "")
            used[name] = used.get(name, 0) + int(pod_requests(pod["spec"]).get(GPU, 0))
    rows = []
    for node in found:
        name = node["metadata"]["name"]
        ready = condition(node, "Ready")
        is_ready = is_true(node, "Ready")
        reason = "" if is_ready else str(ready.get("message") or ready.get("reason") or "no Ready condition")
        if is_ready and node.get("spec", {}).get("unschedulable"):
            reason = "drained"
        count = gpus((node.get("status", {}).get("allocatable") or {}).get(GPU))
        rows.append(Node(name, is_ready, reason, count, used.get(name, 0)))
    return sorted(rows, key=lambda n: n.name)


def queues(
    cluster_queues: Iterable[Object],
    local_queues: Iterable[Object],
    workloads: Iterable[Object],
    now: datetime,
) -> list[Queue]:
    """ClusterQueues by name, with what waits in them."""
    owner = {
        (q["metadata"]["namespace"], q["metadata"]["name"]): q["spec"]["clusterQueue"] for q in local_queues
    }
    oldest: dict[str, datetime] = {}
    for waiting in workloads:
        name = owner.get((waiting["metadata"]["namespace"], waiting["spec"].get("queueName", "")))
        since = waiting_since(waiting)
        if name and since and since < oldest.get(name, now):
            oldest[name] = since
    rows = []
    for found in cluster_queues:
        name = found["metadata"]["name"]
        status = found.get("status", {})
        active = condition(found, "Active")
        is_active = is_true(found, "Active")
        used, borrowed = reservation(found)
        rows.append(
            Queue(
                name=name,
                active=is_active,
                reason="" if is_active else str(active.get("message") or "Kueue has not seen it yet"),
                quota=nominal(found),
                used=used,
                borrowed=borrowed,
                pending=int(status.get("pendingWorkloads") or 0),
                admitted=int(status.get("admittedWorkloads") or 0),
                oldest_wait=(now - oldest[name]).total_seconds() if name in oldest else None,
            )
        )
    return sorted(rows, key=lambda q: q.name)


def sites(
    remote: Iterable[Object],
    jobs: Iterable[Object],
    workloads: Iterable[Object],
    found: Iterable[Node],
    unasked: str,
) -> list[Site]:
    """The local site first, then the RemoteSites by name with their RemoteJobs. None without remote sites.

    What waits for a site that is not chosen yet (``any``) is counted at none. ``unasked`` says why nobody
    asks any remote site; what their conditions say is old then.
    """
    remote, jobs, found = list(remote), list(jobs), list(found)
    if not remote:
        return []
    here = [w for w in workloads if not any(o["kind"] == REMOTE_JOB for o in _owners(w))]
    local = Site(
        name=LOCAL,
        title="this cluster",
        usable=all(node.ready for node in found),
        reason="; ".join(f"{node.name}: {node.reason}" for node in found if not node.ready),
        gpus=sum(node.gpus for node in found),
        gpus_used=sum(node.gpus_used for node in found),
        running=sum(is_true(w, "Admitted") and not is_true(w, "Finished") for w in here),
        waiting=sum(waiting_since(w) is not None for w in here),
    )
    rows = [_site(site, jobs, unasked) for site in remote]
    return [local, *sorted(rows, key=lambda s: s.name)]


def held_gpus(job: Object, site: Object) -> int:
    """GPUs that a RemoteJob holds while it runs there: of whole nodes all, whatever it asked for."""
    spec, name = job["spec"], job.get("status", {}).get("partition") or job["spec"].get("partition")
    partition: Object = next((p for p in site["spec"]["partitions"] if p["name"] == name), {})
    asked = spec.get("gpusPerNode")
    a_node = partition.get("gpusPerNode") if asked is None or partition.get("wholeNodes") else asked
    return int(a_node or 0) * int(spec.get("nodes") or 1)


def _site(site: Object, jobs: Iterable[Object], unasked: str) -> Site:
    name = site["metadata"]["name"]
    states: list[str] = []
    used = 0
    for job in jobs:
        status, spec = job.get("status", {}), job["spec"]
        if (status.get("site") or spec.get("site")) != name:
            continue
        state = status.get("state", "pending")
        states.append(state)
        if state == "running":
            used += held_gpus(job, site)
    title = str(site["spec"].get("title") or name)
    usable, asked, reason = _answers(site, unasked)
    counts = (used, states.count("running"), states.count("pending"))
    return Site(name, title, usable, reason, None, *counts, asked=asked)


def _answers(site: Object, unasked: str) -> tuple[bool, bool, str]:
    """Whether a remote site can be used, whether it is asked, and why not."""
    answers = condition(site, "Answers")
    if not is_true(site, "Ready"):
        return False, True, str(condition(site, "Ready").get("message") or "Ready: not known yet")
    if unasked:
        return False, False, unasked
    if answers.get("reason") == "NotAsked":
        return True, False, str(answers.get("message"))
    if not is_true(site, "Answers"):
        return False, True, str(answers.get("message") or "Answers: not known yet")
    return True, True, ""


def shut_out(sites: Iterable[Object]) -> tuple[str, ...]:
    """The RemoteSites that do not let in the login of every partner with a project there, and why."""
    found = {site["metadata"]["name"]: condition(site, "Logins") for site in sites}
    return tuple(
        f"{name}: {one.get('message')}" for name, one in found.items() if one.get("status") == "False"
    )


def _owners(obj: Object) -> list[Object]:
    return list(obj["metadata"].get("ownerReferences") or ())


def waiting_since(obj: Object) -> datetime | None:
    """Since when the Workload waits in line, None when it does not."""
    found = workload.read(obj)
    return workload.queued_since(found, workload.conditions(found)) if workload.in_line(found) else None


def age(seconds: float | None) -> str:
    """A wait for people: 45s, 3m, 2h, 4d; empty for None."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
