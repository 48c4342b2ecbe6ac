"""Which alert is the cause of which others: while it fires, what follows from it is not told. A row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Inhibition:
    """``through`` is the label by which the two belong together; "": whatever their labels.

    "site behind link": the cause names a link, what follows from it the site behind that link.
    """

    cause: str
    follows: tuple[str, ...]
    through: Literal["", "node", "site", "link", "site behind link"]


OF_THE_OPERATOR: Final = (
    "AntennaWatchStale",
    "AntennaQueueStuckWithFreeCapacity",
    "AntennaNodeNotReady",
    "AntennaGPULost",
    "AntennaGPUNodesClosed",
    "AntennaGPUsBesideQueue",
    "AntennaBudgetNearlyExhausted",
    "AntennaBudgetDiffers",
    "AntennaLedgerNotWritten",
    "AntennaRemoteSourceStale",
    "AntennaRemoteCredentialsExpire",
    "AntennaSiteUnreachable",
    "AntennaRemoteSchedulerDown",
    "AntennaWaitOverObjective",
    "AntennaJobsFailing",
    "AntennaJobsCannotStart",
    "AntennaSeriesDropped",
)
"""Alerts on figures that the operator tells: without it they say what was so."""

OF_A_SITE: Final = ("AntennaSiteUnreachable", "AntennaRemoteSchedulerDown", "AntennaRemoteSourceStale")
"""Alerts on what a remote site does not answer."""

INHIBITIONS: Final = (
    Inhibition("AntennaOperatorDown", OF_THE_OPERATOR, ""),
    Inhibition("AntennaKueueDown", ("AntennaQueueStuckWithFreeCapacity", "AntennaWaitOverObjective"), ""),
    Inhibition("AntennaLinkDown", OF_A_SITE, "site behind link"),
    Inhibition("AntennaLinkDown", ("AntennaLinkDegraded",), "link"),
    Inhibition("AntennaSiteUnreachable", ("AntennaRemoteSchedulerDown", "AntennaRemoteSourceStale"), "site"),
    Inhibition("AntennaRemoteSchedulerDown", ("AntennaRemoteSourceStale",), "site"),
    Inhibition("AntennaGPUHardwareError", ("AntennaGPULost",), "node"),
    Inhibition(
        "AntennaNodeNotReady",
        ("AntennaGPUHardwareError", "AntennaGPULost", "AntennaNetworkPolicyDown", "AntennaScrapeFailing"),
        "node",
    ),
)
