"""Why work waits, as a bounded set of words: the label ``reason`` of the metrics, the ``reason`` of Events.

Pure. Conditions in, a Reason out, as far as a Workload alone can tell; ``operators.why`` goes deeper
with nodes, pods and the queue's order.

The texts matched here are those of Kueue v0.19 (pkg/controller/core/workload_controller.go,
pkg/scheduler/flavorassigner/flavorassigner.go) and kube-scheduler v1.37 (pkg/scheduler/framework).
Kueue's own finer reasons (UnadmittedWorkloadsObservability) are taken where that gate is on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol


class Reason(StrEnum):
    """In the form of Kubernetes' own reasons, so that they may be an Event's ``reason`` too."""

    QUOTA_USED_UP = "QuotaUsedUp"
    """Its queue's quota is in use, and nothing idle may be borrowed."""
    NEVER_FITS = "NeverFits"
    """It asks for more than its queue could ever give, or than any node has."""
    BEHIND_OTHERS = "BehindOthers"
    """Other work of its own queue comes first; or Kueue has not looked at it yet."""
    FLAVOR_MISMATCH = "FlavorMismatch"
    """No flavor of its queue has the resources, node labels or tolerations that it asks for."""
    INADMISSIBLE = "Inadmissible"
    """Kueue refuses it as it is: its own message says why."""
    QUEUE_MISSING = "QueueMissing"
    """It names no queue, or one that is not there."""
    QUEUE_STOPPED = "QueueStopped"
    """Its queue is held or not active: a flavor or an admission check of it is missing."""
    PREEMPTED = "Preempted"
    """It ran, gave its quota back to somebody entitled to it, and waits again."""
    EVICTED = "Evicted"
    """It was put back for another cause: a check, a stopped queue, a failed node."""
    ADMISSION_CHECK_PENDING = "AdmissionCheckPending"
    ADMISSION_CHECK_REJECTED = "AdmissionCheckRejected"
    SUSPENDED = "Suspended"
    """Whoever owns it holds it back."""
    NODES_FULL = "NodesFull"
    """It has quota; no node has what one of its pods asks for free, nor have they together."""
    GPUS_FRAGMENTED = "GpusFragmented"
    """It has quota; enough GPUs are free, but not enough of them on one node."""
    NODES_CLOSED = "NodesClosed"
    """It has quota; nodes that could take it are cordoned, tainted, not ready or excluded by its selector."""
    QUOTA_OF_NAMESPACE = "NamespaceQuota"
    """A ResourceQuota or LimitRange of the namespace refuses its pods."""
    POD_SECURITY = "PodSecurity"
    """Pod Security refuses its pods."""
    POD_REFUSED = "PodRefused"
    """The API server refuses its pods for another cause."""
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    """Its pod is on a node that cannot get the image."""
    CONTAINER_BROKEN = "ContainerBroken"
    """Its pod is on a node that cannot start the container: a Secret, a ConfigMap or a command is missing."""
    VOLUME_UNAVAILABLE = "VolumeUnavailable"
    """Its pod names a volume that is not there or cannot be bound."""
    STARTING = "Starting"
    """It has quota and its pods are being made, or are starting on their nodes."""
    RUNNING = "Running"
    FINISHED = "Finished"
    UNKNOWN = "Unknown"


SETTLED: Final = frozenset({Reason.RUNNING, Reason.FINISHED})
"""Those of work that does not wait."""

PENDING_REASONS: Final = tuple(reason for reason in Reason if reason not in SETTLED)
"""Every value that the label ``reason`` of ``antenna_queue_pending_reason`` may have."""


class Says(Protocol):
    """A condition, whatever else it holds."""

    @property
    def status(self) -> str:
        """True, False or Unknown."""

    @property
    def reason(self) -> str:
        """In one word."""

    @property
    def message(self) -> str:
        """In a sentence."""


class Condition(NamedTuple):
    """The parts of a Kubernetes condition that matter here."""

    status: str
    reason: str = ""
    message: str = ""


_ABSENT: Final = Condition("Unknown")

_BY_KUEUE: Final[Mapping[str, Reason]] = {
    "NoMatchingFlavor": Reason.FLAVOR_MISMATCH,
    "WaitingForQuota": Reason.QUOTA_USED_UP,
    "ExceedsMaxQuota": Reason.NEVER_FITS,
    "WaitingForPreemptedWorkloads": Reason.QUOTA_USED_UP,
    "Misconfigured": Reason.QUEUE_MISSING,
    "Suspended": Reason.QUEUE_STOPPED,
    "PendingEvaluation": Reason.BEHIND_OTHERS,
    "WaitingForPodsReady": Reason.BEHIND_OTHERS,
    "TopologyPlacementFailed": Reason.GPUS_FRAGMENTED,
    "AdmissionGated": Reason.SUSPENDED,
    "OnHold": Reason.SUSPENDED,
}
# First match wins. A message about several flavors is of the kindest: quota that may come free
# counts before a flavor on which it never fits.
_BY_MESSAGE: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"insufficient unused quota|[Pp]reempt|no longer fits", Reason.QUOTA_USED_UP),
        (r"maximum capacity|insufficient quota", Reason.NEVER_FITS),
        (r"is inactive|is stopped", Reason.QUEUE_STOPPED),
        (r"failed admission checks", Reason.ADMISSION_CHECK_REJECTED),
        (
            r"untolerated taint|node affinity|unavailable in ClusterQueue|flavor .* not found",
            Reason.FLAVOR_MISMATCH,
        ),
        (r"doesn't exist|not found|terminating or missing|doesn't match ClusterQueue", Reason.QUEUE_MISSING),
        (r"resources validation failed|must not exceed its limits", Reason.INADMISSIBLE),
        (r"[Tt]opology", Reason.GPUS_FRAGMENTED),
        (r"waiting for all admitted workloads|overlapping preemption targets", Reason.BEHIND_OTHERS),
    )
)
_OF_IMAGES: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_SHORT_OF_NODES: Final = re.compile(r"Insufficient |Too many pods")
_VOLUMES: Final = re.compile(r"persistentvolumeclaim|volume")


def of_workload(conditions: Mapping[str, Says], *, active: bool = True, checks: Iterable[str] = ()) -> Reason:
    """The reason that a Workload itself tells.

    ``conditions`` are by type, ``checks`` the states of its admission checks (Pending, Ready, Retry,
    Rejected). Work that has its quota and passed its checks is RUNNING here when its pods are
    ready or nobody says whether they are: a Workload alone does not know its pods.
    """

    def get(kind: str) -> Says:
        return conditions.get(kind, _ABSENT)

    if get("Finished").status == "True":
        return Reason.FINISHED
    if not active:
        rejected = "Rejected" in checks or "AdmissionCheck" in get("Evicted").reason
        return Reason.ADMISSION_CHECK_REJECTED if rejected else Reason.SUSPENDED
    if get("QuotaReserved").status == "True":
        return _with_quota(get("Admitted"), get("PodsReady"), tuple(checks))
    reason = of_quota(get("QuotaReserved"))
    if reason in (Reason.QUOTA_USED_UP, Reason.BEHIND_OTHERS, Reason.UNKNOWN):
        if get("Evicted").status == "True":
            return Reason.PREEMPTED if get("Evicted").reason == "Preempted" else Reason.EVICTED
        if "Retry" in checks:
            return Reason.ADMISSION_CHECK_PENDING
    return reason


def of_quota(condition: Says) -> Reason:
    """The reason in a condition QuotaReserved that is not True."""
    if condition.reason in _BY_KUEUE:
        return _BY_KUEUE[condition.reason]
    if not condition.message:
        return Reason.BEHIND_OTHERS
    for pattern, reason in _BY_MESSAGE:
        if pattern.search(condition.message):
            return reason
    return Reason.INADMISSIBLE if condition.reason == "Inadmissible" else Reason.UNKNOWN


def of_container(waits: str) -> Reason | None:
    """The reason in that of a container that waits; None where it is on its way."""
    if waits in ("", "ContainerCreating", "PodInitializing"):
        return None
    return Reason.IMAGE_UNAVAILABLE if waits in _OF_IMAGES else Reason.CONTAINER_BROKEN


def of_scheduler(message: str) -> Reason:
    """The reason in a pod's condition PodScheduled=False, reason Unschedulable."""
    if _SHORT_OF_NODES.search(message):
        return Reason.NODES_FULL
    return Reason.VOLUME_UNAVAILABLE if _VOLUMES.search(message) else Reason.NODES_CLOSED


def of_refusal(message: str) -> Reason:
    """The reason in a Job's event FailedCreate: what the API server said of its pod."""
    if "violates PodSecurity" in message:
        return Reason.POD_SECURITY
    if re.search(r"exceeded quota|failed quota|must specify|(minimum|maximum) .* usage per", message):
        return Reason.QUOTA_OF_NAMESPACE
    return Reason.POD_REFUSED


def _with_quota(admitted: Says, pods_ready: Says, checks: tuple[str, ...]) -> Reason:
    if "Rejected" in checks:
        return Reason.ADMISSION_CHECK_REJECTED
    if admitted.status != "True":
        return Reason.ADMISSION_CHECK_PENDING
    return Reason.STARTING if pods_ready.status == "False" else Reason.RUNNING
