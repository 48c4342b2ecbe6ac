"""The sentences: their words, their numbers, and what comes before what. On facts alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from operators.kube.client import Cluster
from operators.kube.objects import Workload
from operators.queues import GPU
from operators.reasons import Condition, Reason, of_quota, of_refusal, of_scheduler, of_workload
from operators.why import Facts, explain, reading, words
from operators.why.facts import (
    Check,
    Cohort,
    Job,
    Node,
    Pod,
    Queue,
    Quota,
    Refusal,
    Taint,
    Toleration,
    Waiting,
    Work,
)
from operators.why.notices import Notices
from operators.why.quota import shortages

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=4)


def gpus(number):
    return {GPU: Decimal(number)}


def queue(name="vub", nominal=4, reserved=0, limit=None, **others):
    quota = Quota(Decimal(nominal), None if limit is None else Decimal(limit), None, Decimal(reserved))
    return Queue(
        name=name,
        cohort="antenna",
        quotas={("h100", GPU): quota},
        groups=(("h100",),),
        **{"active": True, **others},
    )


def cohort(*queues, pool=0):
    return Cohort("antenna", queues, {("h100", GPU): Quota(Decimal(pool))})


def work(asks=2, **others):
    made = others.get("created", EARLIER)
    given = {
        "name": "job-train-1a2b3",
        "queued": others.get("changed", {}).get("Evicted", made),
        "queue": "default",
        "asks": gpus(asks),
        "place": (0, EARLIER, "m"),
        "created": EARLIER,
        "conditions": {},
        "changed": {},
    }
    return Work(**{**given, **others})


def conditions(**true):
    """Conditions that are True, with their reason, since two minutes."""
    return {
        "conditions": {kind: Condition("True", reason) for kind, reason in true.items()},
        "changed": dict.fromkeys(true, NOW - timedelta(minutes=2)),
    }


def facts(own=None, asks=2, others=(), pool=0, **given):
    own = own or queue()
    known = {
        "now": NOW,
        "job": Job("tenant-vub", "train", "vub", EARLIER, gpus(asks)),
        "work": work(asks),
        "local_queues": ("default",),
        "queue_name": own.name,
        "queue": own,
        "cohort": cohort(own, *others, pool=pool),
    }
    return Facts(**{**known, **given})


ADMITTED = work(**conditions(QuotaReserved="QuotaReserved", Admitted="Admitted"))


# In line for quota


def test_quota_used_up_is_one_sentence_with_numbers_and_a_next_step():
    told = explain(facts(queue(reserved=4, limit=0, running=3)))
    assert told.reason is Reason.QUOTA_USED_UP
    assert told.text == (
        "train has waited 4 min for 2 GPUs: vub uses 4 of its quota of 4 GPUs and may borrow nothing."
    )
    assert told.unblock == "It starts when 2 GPUs are given back by 3 running jobs of vub."
    assert told.since == EARLIER


def test_a_partner_without_quota_waits_for_what_is_idle():
    others = (queue("imec", nominal=8, reserved=7, pending=2),)
    told = explain(facts(queue(nominal=0), asks=3, others=others))
    assert told.text == (
        "train has waited 4 min for 3 GPUs: vub has no GPUs of its own, "
        "and only 1 of the 8 of all partners is idle."
    )
    assert told.unblock == (
        "It starts when 2 GPUs are given back by jobs of other partners; "
        "2 waiting jobs of other partners may want them too."
    )


def test_quota_that_others_have_borrowed_is_taken_back():
    others = (queue("imec", nominal=0, reserved=4),)
    told = explain(facts(queue(reserved=0), others=others))
    assert "others have borrowed the rest, which Kueue takes back for it" in told.text


def test_a_borrowing_limit_binds_before_what_is_idle():
    told = explain(facts(queue(nominal=2, reserved=3, limit=2), others=(queue("imec", nominal=8),)))
    assert "vub uses 3 of its quota of 2 GPUs and may borrow 2 at most" in told.text


def test_what_belongs_to_nobody_may_be_borrowed_by_all():
    own = queue(nominal=0)
    assert shortages(gpus(2), own, cohort(own, pool=2)) == []
    assert shortages(gpus(3), own, cohort(own, pool=2))[0].forever


def test_what_is_not_lent_cannot_be_borrowed():
    lender = Queue("imec", "antenna", {("h100", GPU): Quota(Decimal(8), None, Decimal(3))}, (("h100",),))
    own = queue(nominal=0)
    (short,) = shortages(gpus(4), own, cohort(own, lender))
    assert (short.available, short.most, short.forever) == (3, 3, True)


def test_the_flavor_that_comes_closest_is_the_one_told_of():
    quotas = {("old", GPU): Quota(Decimal(1)), ("new", GPU): Quota(Decimal(8), reserved=Decimal(7))}
    own = Queue("vub", "", quotas, (("old", "new"),), active=True)
    (short,) = shortages(gpus(4), own, None)
    assert (short.flavor, short.forever, short.lacking) == ("new", False, 3)


def test_more_than_ever_is_told_before_all_else():
    told = explain(facts(queue(nominal=4, reserved=4, limit=2), asks=12, others=(queue("imec", nominal=8),)))
    assert told.reason is Reason.NEVER_FITS
    assert told.text == (
        "train can never start: it asks for 12 GPUs, and the queue vub could get 6 GPUs at most "
        "(its quota is 4 and it may borrow 2)."
    )
    assert told.unblock == "Submit it again with at most 6 GPUs, or have the quota of vub raised."


def test_a_pod_larger_than_every_node_never_starts_whatever_the_quota():
    nodes = (Node("gpu-1", gpus(4)), Node("gpu-2", gpus(8)))
    told = explain(facts(queue(nominal=100), asks=16, nodes=nodes))
    assert told.reason is Reason.NEVER_FITS
    assert "one pod of it asks for 16 GPUs, and the largest node has 8" in told.text


# The order


def other(name, *, minutes=5, asks=1, priority=0, namespace="tenant-vub"):
    return Waiting(namespace, name, gpus(asks), (-priority, NOW - timedelta(minutes=minutes), "a"))


def test_what_came_first_is_ahead_and_what_came_later_is_not():
    waiting = (other("first", minutes=9), other("second", minutes=6, asks=3), other("later", minutes=1))
    told = explain(facts(queue(reserved=4), waiting=waiting))
    assert told.reason is Reason.BEHIND_OTHERS
    assert told.text.startswith(
        "train has waited 4 min for 2 GPUs behind 2 jobs of the queue vub, which ask for 4 GPUs: vub uses"
    )
    assert told.ahead.names == ("first", "second")
    assert told.unblock.startswith("After those ahead of it, it starts when 2 GPUs are given back")


def test_priority_goes_before_time():
    waiting = (other("urgent", minutes=1, priority=10), other("idle", minutes=9, priority=-1))
    assert explain(facts(queue(reserved=4), waiting=waiting)).ahead.names == ("urgent",)


def test_three_are_named_and_the_others_of_other_namespaces_only_counted():
    waiting = tuple(other(f"job-{n}", minutes=10 + n) for n in range(5))
    waiting += (other("secret", namespace="tenant-imec"),)
    told = explain(facts(queue(reserved=4), waiting=waiting))
    assert (told.ahead.count, told.ahead.others, told.ahead.names) == (6, 1, ("job-4", "job-3", "job-2"))
    assert "secret" not in str(told.document(NOW))


def test_what_can_never_start_holds_nobody_up_unless_the_queue_is_strict():
    waiting = (other("huge", asks=100),)
    assert explain(facts(queue(reserved=4), waiting=waiting)).reason is Reason.QUOTA_USED_UP
    strict = explain(facts(queue(strict=True), waiting=waiting))
    assert strict.reason is Reason.BEHIND_OTHERS
    assert strict.ahead.names == ("huge",)


def test_quota_for_it_and_nobody_ahead_is_kueues_next_choice():
    told = explain(facts())
    assert told.reason is Reason.BEHIND_OTHERS
    assert "there is quota for it, and it is Kueue's next choice" in told.text


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("InCohortReclamation", "imec took back quota of its own that vub had borrowed"),
        ("InCohortFairSharing", "imec was due a larger share of what vub had borrowed"),
        ("InClusterQueue", "work of higher priority in the same queue took its place"),
    ],
)
def test_preempted_work_says_by_whom_and_when(reason, cause):
    message = (
        "Preempted to accommodate a workload (UID: 1, JobUID: 2) due to x; "
        "preemptor path: /antenna/imec; preemptee path: /antenna/vub"
    )
    put_back = work(
        conditions={
            "Evicted": Condition("True", "Preempted", message),
            "Preempted": Condition("True", reason, message),
        },
        changed={"Evicted": NOW - timedelta(minutes=2)},
    )
    told = explain(facts(queue(reserved=4), work=put_back))
    assert told.reason is Reason.PREEMPTED
    assert told.text.startswith(
        f"train was preempted 2 min ago, because {cause}, and waits again for 2 GPUs: vub"
    )
    assert told.since == NOW - timedelta(minutes=2)


def test_evicted_work_says_when_it_is_tried_again():
    put_back = work(
        conditions={"Evicted": Condition("True", "PodsReadyTimeout", "Exceeded the PodsReady timeout")},
        changed={"Evicted": NOW - timedelta(seconds=10)},
        retry_at=NOW + timedelta(seconds=50),
    )
    told = explain(facts(work=put_back))
    assert told.reason is Reason.EVICTED
    assert told.text.endswith(
        "because Exceeded the PodsReady timeout, and waits again for 2 GPUs after a pause of 50 s more."
    )


# Queues, checks, owners


def test_a_mistyped_queue_is_told_with_the_one_that_was_meant():
    told = explain(facts(work=work(queue="trianing"), local_queues=("default", "training"), queue=None))
    assert told.reason is Reason.QUEUE_MISSING
    assert "there is no queue 'trianing' in tenant-vub, only default and training" in told.text
    assert "kueue.x-k8s.io/queue-name=training" in told.unblock


def test_a_cluster_queue_that_is_gone():
    told = explain(facts(queue=None, queue_name="vub"))
    assert told.reason is Reason.QUEUE_MISSING
    assert "leads to the ClusterQueue vub, which is not there" in told.text


def test_a_queue_that_is_not_active_says_kueues_cause():
    problem = "Can't admit new workloads: references missing ResourceFlavor(s): h100."
    told = explain(facts(queue(active=False, problem=problem)))
    assert told.text.endswith("the queue vub is not active, it references missing ResourceFlavor(s): h100.")


def test_a_held_local_queue_is_lifted_in_its_namespace():
    told = explain(facts(local_queue_held=True))
    assert told.reason is Reason.QUEUE_STOPPED
    assert "-n tenant-vub patch localqueue default" in told.unblock


def test_of_several_checks_the_one_that_said_no_is_told():
    checks = (Check("budget", "Pending"), Check("review", "Rejected", "not this year"))
    told = explain(facts(work=work(checks=checks, **conditions(QuotaReserved="QuotaReserved"))))
    assert told.reason is Reason.ADMISSION_CHECK_REJECTED
    assert told.text == "train had its quota, but the admission check review rejected it: not this year."


def test_work_that_kueue_gave_up_is_not_said_to_be_its_owners_doing():
    evicted = Condition("True", "DeactivatedDueToRequeuingLimitExceeded", "exceeded the limit of 5 retries")
    told = explain(
        facts(work=work(active=False, conditions={"Evicted": evicted}, changed={"Evicted": EARLIER}))
    )
    assert told.text == "train has been held back for 4 min by Kueue: exceeded the limit of 5 retries."


# Pods and nodes


def pod(asks=4, **others):
    given = {
        "name": "train-x",
        "asks": gpus(asks),
        "phase": "Pending",
        "unschedulable": "0/2 nodes",
        "since": EARLIER,
    }
    return Pod(**{**given, **others})


def node(name, free, **others):
    return Node(name, gpus(4), gpus(4 - free), **others)


def unplaced(*nodes, **others):
    return explain(facts(asks=4, work=ADMITTED, pods=(pod(**others),), nodes=nodes))


def test_full_nodes():
    told = unplaced(node("gpu-1", 0), node("gpu-2", 1))
    assert told.reason is Reason.NODES_FULL
    assert told.text == (
        "train has its quota, but its pod has found no node for 4 min: "
        "a pod needs 4 GPUs, and of the 8 GPUs of 2 nodes 1 is free."
    )
    assert told.unblock == "3 GPUs more must come free on one node: pods there must end."


def test_fragmented_gpus_are_named_where_they_are():
    told = unplaced(node("gpu-1", 2), node("gpu-2", 2))
    assert told.reason is Reason.GPUS_FRAGMENTED
    assert told.text.endswith(
        "a pod needs 4 GPUs on one node, and the 4 free GPUs are 2 on gpu-1 and 2 on gpu-2."
    )


def test_a_node_with_room_that_is_closed_goes_before_full_ones():
    told = unplaced(node("gpu-1", 1), node("gpu-2", 4, cordoned=True))
    assert told.reason is Reason.NODES_CLOSED
    assert told.text.endswith("gpu-2 is cordoned (4 GPUs free).")
    assert told.unblock.startswith("`kubectl uncordon gpu-2`")


@pytest.mark.parametrize(
    ("toleration", "open_"),
    [
        (Toleration("team", "a", "NoSchedule"), True),
        (Toleration("team", exists=True), True),
        (Toleration(exists=True), True),
        (Toleration("team", "b", "NoSchedule"), False),
        (Toleration("team", "a", "NoExecute"), False),
    ],
)
def test_a_taint_closes_a_node_to_who_does_not_tolerate_it(toleration, open_):
    told = unplaced(node("gpu-1", 4, taints=(Taint("team", "a", "NoSchedule"),)), tolerations=(toleration,))
    assert ("has the taint team=a" in told.text) is not open_


def test_a_selector_that_no_node_fits():
    told = unplaced(node("gpu-1", 4), selector={"zone": "moon"})
    assert told.reason is Reason.NODES_CLOSED
    assert "no node has the labels that it asks for (zone=moon)" in told.text


def test_gpus_that_are_gone_from_every_node():
    told = unplaced(Node("gpu-1", {}))
    assert told.text.endswith("no node that would take it has GPUs.")
    assert "device plugin" in told.unblock


def test_what_the_nodes_do_not_explain_is_told_as_the_scheduler_says_it():
    told = unplaced(
        node("gpu-1", 4),
        unschedulable='0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1',
    )
    assert told.reason is Reason.VOLUME_UNAVAILABLE
    assert 'persistentvolumeclaim "data" not found.' in told.text


def test_a_refused_pod_says_which_quota():
    message = (
        'Error creating: pods "train-x" is forbidden: exceeded quota: object-counts, '
        "requested: pods=1, used: pods=200, limited: pods=200"
    )
    told = explain(facts(work=ADMITTED, refusal=Refusal(message, EARLIER)))
    assert told.reason is Reason.QUOTA_OF_NAMESPACE
    assert "object-counts of tenant-vub allows 200 pods, 200 are in use and 1 more asked for" in told.text


def test_a_refused_pod_says_which_fields():
    message = (
        'Error creating: pods "train-x" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "work" must set '
        "securityContext.allowPrivilegeEscalation=false), "
        "runAsNonRoot != true (pod or container must set it)"
    )
    told = explain(facts(work=ADMITTED, refusal=Refusal(message, EARLIER)))
    assert told.reason is Reason.POD_SECURITY
    assert told.text.endswith("refuses it: allowPrivilegeEscalation != false, runAsNonRoot != true.")


def test_a_refusal_of_the_past_is_not_told_when_the_pod_is_there():
    there = pod(unschedulable="", phase="Running", node="gpu-1")
    told = explain(facts(work=ADMITTED, refusal=Refusal("exceeded quota", EARLIER), pods=(there,)))
    assert told.reason is Reason.RUNNING


def test_running_and_ended_jobs_are_said_to_be_so():
    running = explain(facts(work=ADMITTED, pods=(pod(2, phase="Running", node="gpu-1", unschedulable=""),)))
    assert running.reason is Reason.RUNNING
    assert running.text.endswith("with 2 GPUs on gpu-1.")
    ended = {"started": EARLIER, "ended": NOW - timedelta(minutes=1)}
    known = facts()
    done = explain(replace(known, job=replace(known.job, outcome="Complete", **ended)))
    assert done.text == "train finished 1 min ago after running for 3 min."
    message = "Job has reached the specified backoff limit"
    failed = explain(
        replace(known, job=replace(known.job, outcome="Failed", outcome_message=message, **ended))
    )
    assert failed.text == f"train failed 1 min ago after running for 3 min: {message}."
    assert "logs job/train" in failed.unblock


# Words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "60 min"),
        (7200, "2 h"),
        (86400, "24 h"),
        (200000, "2 days"),
    ],
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("resource", "number", "said"),
    [
        (GPU, "1", "1 GPU"),
        (GPU, "100", "100 GPUs"),
        ("cpu", "0.5", "0.5 CPU cores"),
        ("memory", str(64 * 2**30), "64 GiB of memory"),
        ("memory", str(1536 * 2**20), "1.5 GiB of memory"),
        ("amd.com/gpu", "2", "2 amd.com/gpu"),
    ],
)
def test_amounts(resource, number, said):
    assert words.amount(resource, Decimal(number)) == said


# Reasons

_TRIED = "couldn't assign flavors to pod set main: "
_TOO_MUCH = (
    "insufficient quota for cpu in flavor a, previously considered podsets requests (0) "
    "+ current podset request (3) > maximum capacity (2)"
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            f"{_TRIED}insufficient unused quota for nvidia.com/gpu in flavor a, 2 more needed",
            Reason.QUOTA_USED_UP,
        ),
        (
            f"{_TRIED}{_TOO_MUCH}",
            Reason.NEVER_FITS,
        ),
        (
            f"{_TRIED}{_TOO_MUCH}, insufficient unused quota for cpu in flavor b, 1 more needed",
            Reason.QUOTA_USED_UP,
        ),
        ("LocalQueue wrong doesn't exist", Reason.QUEUE_MISSING),
        ("ClusterQueue vub is inactive", Reason.QUEUE_STOPPED),
        (
            f"{_TRIED}untolerated taint {{remote true NoSchedule}} in flavor lumi",
            Reason.FLAVOR_MISMATCH,
        ),
        ("", Reason.BEHIND_OTHERS),
    ],
)
def test_kueues_messages_have_a_reason(message, reason):
    assert of_quota(Condition("False", "Pending", message)) is reason


def test_a_workloads_own_reason():
    true = Condition("True")
    assert of_workload({}) is Reason.BEHIND_OTHERS
    assert of_workload({"Finished": true}) is Reason.FINISHED
    assert of_workload({"QuotaReserved": true}, checks=["Pending"]) is Reason.ADMISSION_CHECK_PENDING
    assert of_workload({"QuotaReserved": true, "Admitted": true}) is Reason.RUNNING
    assert (
        of_workload({"QuotaReserved": true, "Admitted": true, "PodsReady": Condition("False")})
        is Reason.STARTING
    )
    assert of_workload({}, active=False) is Reason.SUSPENDED
    rejected = {"Evicted": Condition("True", "DeactivatedDueToAdmissionCheck")}
    assert of_workload(rejected, active=False) is Reason.ADMISSION_CHECK_REJECTED
    preempted = {
        "Evicted": Condition("True", "Preempted"),
        "QuotaReserved": Condition("False", "Pending", "insufficient unused quota"),
    }
    assert of_workload(preempted) is Reason.PREEMPTED


def test_the_schedulers_and_the_api_servers_words_have_a_reason():
    assert of_scheduler("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.") is Reason.NODES_FULL
    assert of_scheduler("0/2 nodes are available: 2 node(s) were unschedulable.") is Reason.NODES_CLOSED
    assert of_refusal('violates PodSecurity "restricted:latest": x') is Reason.POD_SECURITY
    assert of_refusal("maximum memory usage per Container is 1Gi") is Reason.QUOTA_OF_NAMESPACE
    assert of_refusal("admission webhook denied the request") is Reason.POD_REFUSED


# Reading


def test_a_job_should_have_no_more_pods_than_are_left_to_succeed():
    def wants(succeeded=0, **spec):
        template = {"spec": {"containers": []}}
        made = {"metadata": {"name": "j", "namespace": "n", "creationTimestamp": "2026-03-01T00:00:00Z"}}
        spec, status = {"template": template, **spec}, {"succeeded": succeeded}
        return reading.job({**made, "spec": spec, "status": status}).parallelism

    assert wants() == 1
    assert wants(parallelism=4) == 4
    assert wants(parallelism=4, completions=4, succeeded=3) == 1
    assert wants(parallelism=4, completions=2) == 2
    assert wants(parallelism=0, completions=4) == 0, "paused"


def test_kueues_order_takes_the_moment_of_an_eviction_by_a_check():
    workload = {
        "metadata": {"name": "w", "uid": "u", "creationTimestamp": "2026-05-04T10:00:00Z"},
        "spec": {"priority": 7, "podSets": []},
        "status": {
            "conditions": [
                {
                    "type": "Evicted",
                    "status": "True",
                    "reason": "AdmissionCheck",
                    "lastTransitionTime": "2026-05-04T11:00:00Z",
                }
            ]
        },
    }
    assert reading.work(workload, {}).place == (-7, NOW - timedelta(hours=1), "u")
    workload["status"]["conditions"][0]["reason"] = "Preempted"
    assert reading.work(workload, {}).place == (-7, NOW - timedelta(hours=2), "u")


def refused(reason, message):
    said = {"QuotaReserved": Condition("False", reason, message)}
    return explain(facts(work=work(conditions=said)))


@pytest.mark.parametrize(
    ("said", "message", "reason"),
    [
        ("Inadmissible", "ClusterQueue a is terminating or missing", Reason.QUEUE_MISSING),
        ("Inadmissible", "KueueDRAIntegration feature does not support use of resource claims", None),
        ("Pending", "resources validation failed: requests must not exceed its limits", None),
        ("Pending", 'topology "rack" allows to fit only 1 out of 2 pod(s)', Reason.GPUS_FRAGMENTED),
        ("Waiting", "waiting for all admitted workloads to be in PodsReady condition", Reason.BEHIND_OTHERS),
        ("AdmissionGated", "Admission is gated by: example.com/licence", Reason.SUSPENDED),
    ],
)
def test_what_kueue_says_comes_before_what_the_quotas_allow(said, message, reason):
    told = refused(said, message)
    assert told.reason is (reason or Reason.INADMISSIBLE)
    assert told.text == f"train has waited 4 min for 2 GPUs. Kueue says: {message}."
    metric = of_workload({"QuotaReserved": Condition("False", said, message)})
    assert metric is told.reason


def test_what_kueue_waits_for_is_never_called_impossible():
    """Our own reckoning may lack what Kueue knows: another way to borrow, a quota of a moment ago."""
    said = Condition(
        "False", "Pending", "insufficient unused quota for nvidia.com/gpu in flavor h100, 2 more"
    )
    told = explain(facts(asks=12, work=work(12, conditions={"QuotaReserved": said})))
    assert told.reason is Reason.QUOTA_USED_UP
    assert "never" not in told.text
    assert "Kueue says insufficient unused quota" in told.text


# Trees of cohorts


def tree(**given):
    """root: left (the queue vub), right (the queue kul with 16 GPUs)."""
    h100 = ("h100", GPU)
    kul = replace(queue("kul", 16, given.get("used", 0)), cohort="right")
    limit = given.get("lends")
    pool = {h100: Quota(Decimal(0), lending_limit=None if limit is None else Decimal(limit))}
    borrows = given.get("borrows")
    own = {h100: Quota(Decimal(0), borrowing_limit=None if borrows is None else Decimal(borrows))}
    vub = replace(queue("vub", 4), cohort="left")
    return vub, Cohort("root", (), {}, (Cohort("left", (vub,), own), Cohort("right", (kul,), pool)))


@pytest.mark.parametrize(
    ("given", "now", "ever"),
    [
        ({}, 20, 20),
        ({"used": 10}, 10, 20),
        ({"lends": 6}, 10, 10),  # right keeps 10 for itself ...
        ({"lends": 6, "used": 10}, 10, 10),  # ... and its own work takes those first
        ({"lends": 6, "used": 12}, 8, 10),
        ({"borrows": 3}, 7, 7),  # left as a whole takes no more than 3 beyond its own
        ({"borrows": 3, "used": 16}, 4, 7),
    ],
)
def test_a_queue_may_take_what_its_cohorts_cohort_lends(given, now, ever):
    """The figures are those of Kueue's resource_node.go (available, potentialAvailable)."""
    own, root = tree(**given)
    (short,) = shortages(gpus(100), own, root)
    assert (short.available, short.most) == (now, ever)


def test_cohorts_are_read_as_the_tree_that_their_parents_make():
    def named(name, parent=""):
        spec = {"parentName": parent} if parent else {}
        return {"metadata": {"name": name}, "spec": spec}

    queues = [replace(queue(name), cohort=c) for name, c in (("a", "left"), ("b", "right"), ("c", "other"))]
    objects = [named("left", "root"), named("right", "root"), named("root"), named("other")]
    found = reading.cohort("left", queues, objects)
    assert (found.name, [child.name for child in found.children]) == ("root", ["left", "right"])
    assert [q.name for q in found.everybody] == ["a", "b"]
    round_ = reading.cohort("left", queues, [named("left", "right"), named("right", "left")])
    assert {q.name for q in round_.everybody} == {"a", "b"}
    assert reading.cohort("left", queues, []).everybody == (queues[0],)


# Pods that are there


def test_a_container_that_ends_again_and_again_is_no_running_job():
    crashing = Pod("train-x", gpus(2), "Running", node="n1", stuck="CrashLoopBackOff", since=EARLIER)
    told = explain(facts(work=ADMITTED, pods=(crashing,)))
    assert told.reason is Reason.CONTAINER_BROKEN
    assert told.text == (
        "train has been on n1 for 4 min, where its container ends again and again (CrashLoopBackOff)."
    )
    assert "logs train-x --previous" in told.unblock
    job = replace(facts().job, ready=1)
    assert explain(facts(work=ADMITTED, pods=(crashing,), job=job)).reason is Reason.RUNNING


def test_a_job_that_wants_no_pod_is_held_back_by_its_owner():
    job = replace(facts().job, paused=True, parallelism=0)
    told = explain(facts(work=ADMITTED, job=job))
    assert told.reason is Reason.SUSPENDED
    assert told.text == "train has its quota and wants no pod: its parallelism is 0."


# The page


def test_every_reason_is_on_the_page_about_waiting():
    page = (Path(__file__).parents[2] / "docs" / "waiting.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in page] == []


# Following the stream


def streamed(name, **status):
    workload = {
        "metadata": {
            "name": name,
            "namespace": "tenant-vub",
            "uid": name,
            "creationTimestamp": "2026-05-04T10:00:00Z",
            "ownerReferences": [{"kind": "Job", "name": "train", "uid": "j"}],
        },
        "spec": {"queueName": "default"},
        "status": status,
    }
    return msgspec.json.decode(json.dumps(workload), type=Workload)


def test_the_notices_keep_the_workloads_that_wait_and_let_go_of_those_that_do_not():
    notices = Notices(Cluster(None))
    sink, read = notices.listener.sink, notices.listener.read
    waits = read(streamed("waits"))
    runs = read(
        streamed("runs", conditions=[{"type": t, "status": "True"} for t in ("QuotaReserved", "Admitted")])
    )
    ended = read(streamed("waits", conditions=[{"type": "Finished", "status": "True"}]))
    sink.replace([waits, runs])
    assert [entry.name for entry in notices.waiting()] == ["waits"]
    sink.apply(ended)
    assert notices.waiting() == []
    sink.apply(waits)
    sink.delete(waits)
    assert notices.waiting() == []
    sink.replace([waits])
    sink.replace([runs])
    assert notices.waiting() == []


def test_figures_do_not_wait_for_the_notices():
    assert not Notices(Cluster(None)).listener.essential
