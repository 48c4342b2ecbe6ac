"""The alerts: a row each. Everything that a rule file says about one follows from its row."""

from __future__ import annotations

from typing import Final

from monitoring.rules.alert import Alert
from monitoring.rules.platform import PLATFORM
from monitoring.rules.remote import REMOTE
from monitoring.rules.slos import SLO_ALERTS
from monitoring.rules.work import WORK
from monitoring.scrape import KUEUE_JOB, NETWORK_POLICY_JOB, OPERATOR_JOB

WATCH_STALE_SECONDS: Final = 60
"""Seconds without a word of the API server after which what the operator says of a resource is stale."""

_TOLD_APART: Final = (KUEUE_JOB, NETWORK_POLICY_JOB, OPERATOR_JOB)
"""Targets whose silence has an alert of its own."""

ETCD_QUOTA_BYTES: Final = 2 * 2**30
"""What etcd may hold (the control plane's --quota-backend-bytes): above it no write is taken."""
ETCD_NEARLY_FULL: Final = 0.8

QUEUED: Final = ("QuotaUsedUp", "BehindOthers", "Preempted", "Evicted", "QueueStopped", "Unknown")
"""Reasons of work that waits for quota and could have it. What has its quota, was held back by its owner or
can never start as it is waits for something else, however much is free."""


def _waiting_fits(resource: str) -> str:
    """Queues whose own quota has room for a waiting job: where the mean request fits, the smallest does."""
    quota, reserved, requested, waiting = (
        f"sum by (site, queue, tenant) ({series})"
        for series in (
            f"antenna_queue_{resource}_quota",
            f"antenna_queue_{resource}_reserved",
            f"antenna_queue_{resource}_requested",
            f'antenna_queue_pending_reason{{reason=~"{"|".join(QUEUED)}"}}',
        )
    )
    return f"({quota} - {reserved}) >= (({requested} - {reserved}) / {waiting})"


def _idle_gpus(*, open_to_pods: bool) -> str:
    """GPUs that no pod holds, by site: of nodes that take pods, or of those that are cordoned."""
    free = "antenna_node_gpus_allocatable - antenna_node_gpus_allocated"
    return (
        f"sum by (site) (({free}) and on (site, node) (antenna_node_schedulable == {int(open_to_pods)})) > 0"
    )


def _beside_the_queue() -> str:
    """Partners whose pods hold more GPUs than their queues have reserved; without a queue that is none."""
    running, reserved = (
        f"sum by (site, tenant) ({series})"
        for series in ("antenna_tenant_gpus_running", "antenna_queue_gpus_reserved")
    )
    return f"{running} > ({reserved} or {running} * 0)"


HEARTBEAT: Final = Alert(
    name="AntennaWatchdog",
    # Some target answers: what is scraped is kept, and asked by who judges it.
    expression="count(up == 1) > 0",
    holds="0s",
    severity="none",
    owner="platform",
    summary="Alerts are judged and sent",
    description=(
        "Fires as long as figures are scraped, rules judged and alerts sent, and goes to the watchdog "
        "outside, which calls when it stops coming."
    ),
)
"""The dead man's switch: what is told where nothing is told any more."""


ALERTS: Final = (
    HEARTBEAT,
    Alert(
        name="AntennaOperatorDown",
        expression=f'up{{job="{OPERATOR_JOB}"}} == 0 or absent(up{{job="{OPERATOR_JOB}"}})',
        holds="2m",
        severity="critical",
        owner="platform",
        summary="The operator cannot be scraped",
        description=(
            "The operator's /metrics has not answered for 2 minutes. Running jobs and admission go on "
            "without it; partners that are added or changed wait, and queue and job figures stand still."
        ),
    ),
    Alert(
        name="AntennaWatchStale",
        expression=f"max by (resource) (antenna_operator_watch_age_seconds) > {WATCH_STALE_SECONDS}",
        holds="1m",
        severity="warning",
        owner="platform",
        summary="The operator has not heard of {{ $labels.resource }} for {{ $value | humanizeDuration }}",
        description=(
            "The operator renews every watch each 10 seconds. The API server has told it nothing of "
            "{{ $labels.resource }} for longer than a minute, so figures made from them are that old."
        ),
    ),
    Alert(
        name="AntennaQueueStuckWithFreeCapacity",
        expression=f"({_waiting_fits('gpus')}) > 0 and {_waiting_fits('cpu_cores')}",
        holds="5m",
        severity="warning",
        owner="platform",
        summary="Jobs wait in queue {{ $labels.queue }} while quota of {{ $labels.tenant }} is free",
        description=(
            "For 5 minutes {{ $labels.tenant }} has had GPUs of its own quota free ({{ $value }} now) and "
            "jobs waiting that would fit into them. Something other than capacity holds the queue."
        ),
    ),
    Alert(
        name="AntennaNodeNotReady",
        expression="antenna_node_ready == 0",
        holds="2m",
        severity="critical",
        owner="platform",
        summary="Node {{ $labels.node }} is not ready",
        description=(
            "Kubernetes has not counted {{ $labels.node }} as ready for 2 minutes: it gets no new work, and "
            "after 5 minutes its pods are given up and their jobs start again elsewhere."
        ),
    ),
    Alert(
        name="AntennaNetworkPolicyDown",
        expression=(
            f'min by (node) (up{{job="{NETWORK_POLICY_JOB}"}}) == 0'
            " or min by (node) (antenna_network_policy_enforcing) == 0"
        ),
        holds="1m",
        severity="critical",
        owner="platform",
        summary="The network layer of {{ $labels.node }} does not answer",
        description=(
            "Nobody has decided about connections of the pods of {{ $labels.node }} for a minute, so that "
            "none is made: its pods get no new connection, to anything. What is open goes on; partners are "
            "kept apart as before."
        ),
    ),
    Alert(
        name="AntennaEtcdNearlyFull",
        expression=f"max(apiserver_storage_size_bytes) / {ETCD_QUOTA_BYTES} > {ETCD_NEARLY_FULL}",
        holds="5m",
        severity="critical",
        owner="platform",
        summary="etcd is {{ $value | humanizePercentage }} full",
        description=(
            "etcd holds {{ $value | humanizePercentage }} of what it may. At 100% the cluster takes no "
            "change: no job starts or is queued, no node reports, and only an administrator gets it out."
        ),
    ),
    Alert(
        name="AntennaGPULost",
        expression="antenna_node_gpus_capacity - antenna_node_gpus_allocatable > 0",
        holds="1m",
        severity="warning",
        owner="platform",
        summary="{{ $value }} GPUs of {{ $labels.node }} are not offered",
        description=(
            "{{ $labels.node }} has GPUs of model {{ $labels.model }} that its device plugin calls "
            "unhealthy. Quotas promise them still, so some partner waits longer than it should."
        ),
    ),
    Alert(
        name="AntennaGPUNodesClosed",
        expression=(
            f"{_idle_gpus(open_to_pods=False)} unless on (site) {_idle_gpus(open_to_pods=True)}"
            ' and on (site) sum by (site) (antenna_queue_jobs{state="pending"}) > 0'
        ),
        # A node that is changed is drained for a few minutes.
        holds="5m",
        severity="warning",
        owner="platform",
        summary="{{ $value }} GPUs of cordoned nodes stand idle while jobs wait",
        description=(
            "For 5 minutes jobs have waited, no GPU has been free on a node that takes pods, and "
            "{{ $value }} have been free on nodes that are cordoned. Quotas count these GPUs: jobs are "
            "admitted to them, and wait for a node."
        ),
    ),
    Alert(
        name="AntennaScrapeFailing",
        expression=f'min by (job, node) (up{{job!~"{"|".join(_TOLD_APART)}"}}) == 0',
        holds="5m",
        severity="warning",
        owner="platform",
        summary="{{ $labels.job }}{{ with $labels.node }} of {{ . }}{{ end }} cannot be scraped",
        description=(
            "{{ $labels.job }}{{ with $labels.node }} of {{ . }}{{ end }} has not answered for 5 minutes. "
            "Its figures are missing, and alerts that are made from them are silent."
        ),
    ),
    Alert(
        name="AntennaGPUsBesideQueue",
        expression=_beside_the_queue(),
        # What gives way has its quota taken a moment before its pods are told; watches differ by seconds.
        holds="2m",
        severity="critical",
        owner="platform",
        summary="{{ $labels.tenant }} runs on {{ $value }} GPUs, more than its queue counts",
        description=(
            "Pods of {{ $labels.tenant }} have held {{ $value }} GPUs for 2 minutes, and Kueue has "
            "reserved fewer for its queue: something of it runs beside the queue. Other partners' jobs are "
            "admitted to GPUs that are taken, and wait for a node."
        ),
    ),
    Alert(
        name="AntennaBudgetNearlyExhausted",
        # There is such a time only where it comes before the budget's period ends.
        expression="antenna_budget_exhaustion_timestamp_seconds - time() < 7 * 86400",
        holds="1h",
        severity="warning",
        owner="platform",
        summary="{{ $labels.unit }} of {{ $labels.tenant }} at {{ $labels.site }} end within 7 days",
        description=(
            "As {{ $labels.tenant }} used its budget at {{ $labels.site }} in the last 7 days, it is used up "
            "in {{ $value | humanizeDuration }}, before its period ends. From then on its jobs there wait."
        ),
        concerns=("partner",),
    ),
    Alert(
        name="AntennaBudgetDiffers",
        expression="abs(antenna_budget_difference) > 0.02 * antenna_budget_allocated",
        # Sites refresh their own figures once a day.
        holds="26h",
        severity="warning",
        owner="platform",
        summary="{{ $labels.site }} counts other {{ $labels.unit }} of {{ $labels.tenant }} than the ledger",
        description=(
            "For more than a day the use that {{ $labels.site }} itself tells of {{ $labels.tenant }} has "
            "differed from the ledger's by {{ $value }} {{ $labels.unit }}, more than 2% of what was "
            "allocated. Admission goes by the ledger: jobs may be held too early, or refused by the site."
        ),
    ),
    Alert(
        name="AntennaLedgerNotWritten",
        expression=(
            "max by (site) (antenna_ledger_unwritten_seconds)"
            " > max by (site) (antenna_ledger_unwritten_limit_seconds)"
        ),
        holds="0s",
        severity="critical",
        owner="platform",
        summary="What {{ $labels.site }} tells cannot be written to the ledger "
        "for {{ $value | humanizeDuration }}",
        description=(
            "The operator has not been able to write to its ledger what it was told of {{ $labels.site }} "
            "for longer than two polls. Nothing is lost: it is told and written again. Until then new jobs "
            "for a remote site are held, what runs goes on, and figures of use stand still."
        ),
    ),
    Alert(
        name="AntennaRemoteSourceStale",
        expression=(
            "max by (site, source) (antenna_remote_source_age_seconds)"
            " > max by (site, source) (antenna_remote_source_limit_seconds)"
        ),
        holds="1m",
        severity="warning",
        owner="platform",
        summary="{{ $labels.site }} has been silent about its {{ $labels.source }} "
        "for {{ $value | humanizeDuration }}",
        description=(
            "The operator has had no answer about the {{ $labels.source }} of {{ $labels.site }} for longer "
            "than its limit. What it told last is no longer shown; jobs there go on, none counts as ended."
        ),
        concerns=("site",),
    ),
    Alert(
        name="AntennaRemoteCredentialsExpire",
        expression=(
            "min by (site, tenant) (antenna_remote_credentials_expiry_timestamp_seconds)"
            " - time() < 14 * 86400"
        ),
        holds="10m",
        severity="warning",
        owner="platform",
        summary="The credentials for {{ $labels.site }}{{ with $labels.tenant }} of {{ . }}{{ end }} "
        "end within 14 days",
        description=(
            "The key or certificate with which the operator logs in to {{ $labels.site }}"
            "{{ with $labels.tenant }} for {{ . }}{{ end }} is good for "
            "{{ $value | humanizeDuration }} more (below 0: it has ended). From then on "
            "{{ if $labels.tenant }}nothing of {{ $labels.tenant }}'s is sent there, and its new jobs for it "
            "are held.{{ else }}nothing is heard of what runs there, and new jobs for it are held.{{ end }}"
        ),
        concerns=("partner",),
    ),
    Alert(
        name="AntennaLinkDown",
        expression="min by (link) (antenna_link_up) == 0",
        holds="1m",
        severity="critical",
        owner="platform",
        summary="Link {{ $labels.link }} is down",
        description=(
            "No probe through the tunnel {{ $labels.link }} has been answered for a minute. What runs at the "
            "site behind it goes on; nothing new is sent there, and its figures grow old. This says nothing "
            "of the site itself."
        ),
        concerns=("site",),
    ),
    *REMOTE,
    *WORK,
    *PLATFORM,
    *SLO_ALERTS,
)
