"""Why a job waits, from what its owner may read: the job's own namespace, and what the operator says there.

A partner's person sees neither the queues of others nor the nodes. What waits is explained by the operator,
which sees both, as an Event on the job: see ``notices``. Until it has spoken, Kueue's own words stand.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from operators.kube.client import Cluster
from operators.queues import API_VERSION
from operators.reasons import SETTLED, Reason, of_workload
from operators.why.explain import explain
from operators.why.explanation import Explanation
from operators.why.facts import Work
from operators.why.gathering import Surroundings, facts
from operators.why.notices import COMPONENT

Object = dict[str, Any]
_KNOWN: Final = frozenset({*SETTLED, Reason.STARTING})
"""What needs nothing of the cluster to be told."""


def own_explanation(cluster: Cluster, job: Object, now: datetime) -> tuple[str, Explanation]:
    """(ClusterQueue, why the job waits). Reads the job's namespace alone. Raises KubernetesError."""
    namespace = job["metadata"]["namespace"]
    doors = cluster.list_objects(API_VERSION, "LocalQueue", namespace)
    around = Surroundings(now=now, queues=(), cohorts=(), local_queues=doors, checks=(), nodes=())
    known = facts(cluster, job, around)
    told = explain(known)
    # Without a LocalQueue of its own namespace there is no more to know; what it leads to is not read.
    if told.reason in _KNOWN or known.work is None or not known.queue_name:
        return known.queue_name, told
    return known.queue_name, _notice(cluster, job, _since(known.work)) or _kueues_words(job, known.work)


def _since(work: Work) -> datetime | None:
    """Since when it waits for what it waits for now."""
    return work.changed.get("QuotaReserved") if work.holds("QuotaReserved") else work.queued


def _notice(cluster: Cluster, job: Object, since: datetime | None) -> Explanation | None:
    """What the operator said of the job last; None before it has."""
    fields = f"involvedObject.uid={job['metadata']['uid']},source={COMPONENT}"
    said = cluster.list_objects("v1", "Event", job["metadata"]["namespace"], fields=fields)
    if not said:
        return None
    last = max(said, key=lambda event: str(event.get("lastTimestamp")))
    return Explanation(Reason(last["reason"]), last["message"], since=since)


def _kueues_words(job: Object, work: Work) -> Explanation:
    """Kueue's message of the first condition that does not hold, under the reason that the metric has too."""
    name = job["metadata"]["name"]
    reason = of_workload(work.conditions, active=work.active, checks=[check.state for check in work.checks])
    for kind in ("QuotaReserved", "Admitted"):
        found = work.conditions.get(kind)
        if found is not None and found.status != "True" and found.message:
            return Explanation(reason, f"{name}: {found.message}", since=_since(work))
    return Explanation(reason, f"{name} has just been queued.", since=work.queued)
