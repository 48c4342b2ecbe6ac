"""What the operator shows beside what the API server says: scrapes, a journal of its own, and differences."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress

from prometheus_client.parser import text_string_to_metric_families

from operators.catalog import FAMILIES
from operators.kube.errors import Unreachable
from tests.cluster import truth

NOTHING = Counter()
PATIENCE = 60.0  # seconds for the cluster to come to rest once nobody pushes, on a busy machine
AHEAD = 16  # GPU-seconds of a tenant: its GPUs times the lateness of an event on a busy machine
LABELS = {family.name: family.labels for family in FAMILIES}
COMPARED = tuple(
    family.name
    for family in FAMILIES
    if family.name.startswith(
        ("antenna_queue_", "antenna_job_", "antenna_node_", "antenna_gpus_", "antenna_tenant_gpus_")
    )
    and family.type in ("gauge", "info")
    and family.name not in ("antenna_queue_pending_reason", "antenna_queue_oldest_pending_age_seconds")
)
GPU_SECONDS = "antenna_gpu_seconds_total"
TOTALS = (
    *("antenna_jobs_finished_total", GPU_SECONDS, "antenna_jobs_restarted_total"),
    *("antenna_jobs_evicted_total", "antenna_jobs_preempted_total"),
    *(
        f"antenna_job_{what}_seconds_{part}"
        for what in ("wait", "run")
        for part in ("bucket", "sum", "count")
    ),
)


def read(text):
    """name of the sample -> labels in the catalog's order (then ``le``) -> value."""
    figures = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            base = sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            order = LABELS.get(sample.name) or LABELS.get(base, ())
            labels = tuple(sample.labels[label] for label in order)
            bound = (sample.labels["le"],) if "le" in sample.labels else ()
            figures[sample.name][(*labels, *bound)] = sample.value
    return figures


def totals_of(tenants, figures):
    """(name, labels) -> value of the counters and histograms of some tenants."""
    return {
        (name, labels): value
        for name in TOTALS
        for labels, value in figures[name].items()
        if set(tenants) & set(labels)
    }


class Journal:
    """All that ever was, by a watch of its own: jobs and Workloads as they were last, first admissions."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.jobs = {}
        self.workloads = defaultdict(dict)
        self.integrals = defaultdict(truth.Integral)
        self.admitted = {}
        for version, kind, note in (
            (truth.KUEUE, "Workload", self.workload),
            ("batch/v1", "Job", self.job),
        ):
            threading.Thread(target=self._follow, args=(version, kind, note), daemon=True).start()

    def _follow(self, version, kind, note):
        reached = ""
        while True:
            with suppress(Unreachable):  # a moment's trouble, or the cluster's end
                for event in self.cluster.watch(version, kind, resource_version=reached, seconds=3600):
                    reached = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        note(event)
            time.sleep(0.2)

    def workload(self, event):
        job = event.object["metadata"].get("labels", {}).get("kueue.x-k8s.io/job-uid")
        uid = event.object["metadata"]["uid"]
        self.workloads[job] = {**self.workloads[job], uid: event.object}
        self.integrals[uid].see(event.object)
        if truth.holds(event.object, "Admitted"):
            since = truth.condition(event.object, "Admitted")["lastTransitionTime"]
            self.admitted.setdefault(job, truth.seconds(since))

    def job(self, event):
        uid = event.object["metadata"]["uid"]
        self.jobs[uid] = (event.type == "DELETED", event.object)

    def lives(self):
        """Each job with whether it is gone, its first admission, and its Workloads in their order."""
        for uid, (gone, job) in tuple(self.jobs.items()):
            workloads = tuple(self.workloads[uid].values())
            yield truth.Life(job, gone, self.admitted.get(uid), workloads, self.integrals)


def settled(cluster, operator, check, *, patience=PATIENCE):
    """``check(lists, figures)`` holds of figures that were scraped while nothing in the cluster changed."""
    deadline = time.monotonic() + patience
    differs = ["the cluster never came to rest"]
    while time.monotonic() < deadline:
        before = truth.Lists(cluster)
        time.sleep(0.3)
        figures = operator.scrape()
        if truth.Lists(cluster) == before:
            differs = check(before, figures)
            if not differs:
                return
        time.sleep(0.2)
    raise AssertionError("\n".join(differs[:20]))


def first_differences(cluster, operator, *, pause=0.3, patience=PATIENCE):
    """What the first scrape beside a cluster at rest says otherwise than the API server.

    At rest: nothing changed from ``pause`` seconds before the scrape until after it. Such a moment is looked
    for, and what is scraped in it is not asked for again.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = truth.Lists(cluster)
        time.sleep(pause)
        figures = operator.scrape()
        if truth.Lists(cluster) == before:
            failed = figures["antenna_operator_event_errors_total"].items()
            return [*compare_gauges(before, figures), *(f"{key}: {n} errors" for key, n in failed if n)]
    return ["the cluster never came to rest"]


def compare_gauges(lists, figures):
    expected = truth.gauges(lists)
    shown = {
        (name, labels): value
        for name in COMPARED
        for labels, value in figures[name].items()
        if labels[0] == truth.SITE  # what remote sites tell is not the API server's to know
    }
    return [
        f"{key}: shown {shown.get(key)}, true {expected.get(key)}"
        for key in sorted(shown.keys() | expected.keys())
        if shown.get(key) != expected.get(key)
    ]


def compare_totals(journal, tenants, lists, figures, *, at_rest=False, before=NOTHING):
    """Counters and histograms of these tenants (name -> sector, ecosystem) against all jobs that they had.

    Nothing is left to chance, but for GPU-seconds: they are compared ``at_rest``, when no job runs; and
    since they do not go back, they are ahead where the end of a job reached the operator late. And of a
    job whose Workload went without telling when, the run may be counted. ``before``: what was shown of
    jobs that went before the journal began.
    """
    untold = Counter((truth.SITE, *lists.place(life.job)) for life in journal.lives() if life.untold())

    def ahead(name, labels):
        if name == GPU_SECONDS:
            return AHEAD
        runs = untold[labels[:3]] if name.startswith("antenna_job_run_seconds") else 0
        return runs * AHEAD if name.endswith("_sum") else runs

    expected = Counter(before)
    expected.update(truth.totals(lists, journal.lives(), tenants))
    shown = totals_of(tenants, figures)
    return [
        f"{key}: shown {shown.get(key, 0)}, true {expected.get(key, 0)}"
        for key in sorted(shown.keys() | expected.keys())
        if (at_rest or key[0] != GPU_SECONDS)
        and not 0 <= shown.get(key, 0) - expected.get(key, 0) <= ahead(*key)
    ]
