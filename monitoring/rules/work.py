"""Alerts on partners' jobs and the GPUs that they hold: a row each, see ``alerts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitoring.rules.alert import Alert

WAIT_OBJECTIVE_SECONDS: Final = 86400
"""A job of this cluster is to be admitted within a day; how long it waits at a remote site is its own."""

FAILED_IN_AN_HOUR: Final = 10
"""Jobs of a partner that fail in an hour before it is a burst."""
FAILED_SHARE: Final = 0.5
"""And what share of those that end: many that succeed beside them are a large partner's everyday."""

IDLE_PERCENT: Final = 1
"""A GPU that was never busier than this does nothing."""

XIDS: Final[Mapping[str, tuple[int, ...]]] = {
    "memory": (48, 64, 94, 95, 140),
    "NVLink": (74,),
    "bus": (79,),
    "firmware": (119, 120),
}
"""NVIDIA's codes of a GPU that is broken, by what of it; others are of the program that ran on it.

https://docs.nvidia.com/deploy/xid-errors/
"""

PARTNERS_OWN: Final = (
    "AdmissionCheckRejected",
    "ContainerBroken",
    "FlavorMismatch",
    "ImageUnavailable",
    "NamespaceQuota",
    "NeverFits",
    "PodRefused",
    "PodSecurity",
    "Suspended",
    "VolumeUnavailable",
)
"""Reasons for which a job waits until its owner changes it."""

_CANNOT_START: Final = ("ContainerBroken", "ImageUnavailable", "VolumeUnavailable")
_XID: Final = "max by (node, gpu) (DCGM_FI_DEV_XID_ERRORS)"


def _broken(codes: tuple[int, ...]) -> str:
    """GPUs whose last error is one of them. It stays until the driver is loaded anew, as the fault does."""
    return " or ".join(f"{_XID} == {code}" for code in codes)


def _broken_by_class() -> str:
    return " or ".join(
        f'label_replace({_broken(codes)}, "class", "{name}", "", "")' for name, codes in XIDS.items()
    )


def _idle() -> str:
    """GPUs that a pod holds and does not use, by pod. One that is broken does nothing for another cause."""
    used = 'max_over_time(DCGM_FI_DEV_GPU_UTIL{namespace=~"tenant-.+"}[5m])'
    idle = (
        f"max by (node, gpu, namespace, pod) ({used}) < {IDLE_PERCENT}"
        f" unless on (node, gpu) ({_broken(sum(XIDS.values(), ()))})"
    )
    return (
        "count by (tenant, namespace, pod) ("
        f'label_replace({idle}, "tenant", "$1", "namespace", "tenant-(.+)"))'
    )


def _ended(outcomes: str) -> str:
    return f'sum by (site, tenant) (increase(antenna_jobs_finished_total{{outcome=~"{outcomes}"}}[1h]))'


WORK: Final = (
    Alert(
        name="AntennaGPUHardwareError",
        expression=_broken_by_class(),
        holds="1m",
        severity="warning",
        owner="platform",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }}: XID {{ $value }} ({{ $labels.class }})",
        description=(
            "The driver of {{ $labels.node }} tells of error {{ $value }} of GPU {{ $labels.gpu }}, of its "
            "{{ $labels.class }}: the GPU is at fault and not the program on it. Jobs on it fail or hang "
            "until it is reset, and it may come back."
        ),
    ),
    Alert(
        name="AntennaGPUIdle",
        expression=_idle(),
        holds="30m",
        severity="warning",
        owner="platform",
        summary="{{ $value }} GPUs of {{ $labels.tenant }} are held and idle: pod {{ $labels.pod }}",
        description=(
            "For 30 minutes pod {{ $labels.pod }} of {{ $labels.tenant }} has held {{ $value }} GPUs that "
            "did nothing. They count against its quota and budget, and nobody else can have them."
        ),
        concerns=("partner",),
    ),
    Alert(
        name="AntennaWaitOverObjective",
        # The oldest may wait for its owner: without any that waits for the platform nobody here can help.
        expression=(
            'max by (site, queue, tenant) (antenna_queue_oldest_pending_age_seconds{site="local", queue!=""})'
            f" > {WAIT_OBJECTIVE_SECONDS} and on (site, queue, tenant) sum by (site, queue, tenant)"
            f' (antenna_queue_pending_reason{{reason!~"{"|".join(PARTNERS_OWN)}"}}) > 0'
        ),
        holds="10m",
        severity="warning",
        owner="platform",
        summary="A job of {{ $labels.tenant }} has waited for {{ $value | humanizeDuration }}",
        description=(
            "The oldest job of queue {{ $labels.queue }} has waited for {{ $value | humanizeDuration }}; "
            "a job is to be admitted within a day."
        ),
    ),
    Alert(
        name="AntennaJobsFailing",
        expression=(
            f"{_ended('failed')} >= {FAILED_IN_AN_HOUR} and on (site, tenant)"
            f" {_ended('failed')} > {FAILED_SHARE} * {_ended('failed|succeeded')}"
        ),
        holds="5m",
        severity="warning",
        owner="platform",
        summary="{{ $value | humanize }} jobs of {{ $labels.tenant }} at {{ $labels.site }} have failed",
        description=(
            "{{ $value | humanize }} jobs of {{ $labels.tenant }} at {{ $labels.site }} have failed within "
            "an hour, more than succeeded. One partner alone: its program or its data. Several: the platform."
        ),
        concerns=("partner",),
    ),
    Alert(
        name="AntennaJobsCannotStart",
        expression=(
            "sum by (site, queue, tenant, reason)"
            f' (antenna_queue_pending_reason{{site="local", reason=~"{"|".join(_CANNOT_START)}"}}) > 0'
        ),
        holds="10m",
        severity="warning",
        owner="platform",
        summary="{{ $value }} jobs of {{ $labels.tenant }} hold quota and do not start: {{ $labels.reason }}",
        description=(
            "For 10 minutes {{ $value }} jobs of queue {{ $labels.queue }} have been on a node that cannot "
            "start them ({{ $labels.reason }}). They hold the GPUs that they asked for and do nothing."
        ),
        concerns=("partner",),
    ),
)
