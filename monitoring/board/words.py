"""Why work waits, in words for people: the values of the label ``reason``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    "QuotaUsedUp": "the queue's quota is in use, and nothing idle may be borrowed",
    "NeverFits": "it asks for more than the queue or any node could ever give",
    "BehindOthers": "other work of its own queue comes first",
    "FlavorMismatch": "no kind of node in its queue has what it asks for",
    "Inadmissible": "Kueue refuses it as it is",
    "QueueMissing": "it names a queue that is not there",
    "QueueStopped": "its queue is held",
    "Preempted": "it gave its GPUs back to somebody entitled to them, and waits again",
    "Evicted": "it was put back, and waits again",
    "AdmissionCheckPending": "a check before its start is not done",
    "AdmissionCheckRejected": "a check before its start refused it",
    "Suspended": "its owner holds it back",
    "NodesFull": "it has its quota; no node has room for it",
    "GpusFragmented": "it has its quota; enough GPUs are free, but not on one node",
    "NodesClosed": "it has its quota; nodes that could take it are closed",
    "NamespaceQuota": "a limit of its namespace refuses its pods",
    "PodSecurity": "Pod Security refuses its pods",
    "PodRefused": "the API server refuses its pods",
    "ImageUnavailable": "its node cannot get the image",
    "ContainerBroken": "its container cannot be started",
    "VolumeUnavailable": "a volume that it names is not there",
    "Starting": "it has its quota, and is starting",
    "Unknown": "nobody says why",
}


def why(reason: str) -> str:
    """In words; one that is not known as it is."""
    return REASONS.get(reason, reason)
