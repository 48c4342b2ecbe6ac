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
    "AntennaSiteAnswersFastBurn",
    "AntennaSiteAnswersSlowBurn",
    "AntennaQueueWaitFastBurn",
    "AntennaQueueWaitSlowBurn",
)
"""Alerts on figures that the operator tells: without it they say what was so."""

OF_KUEUE: Final = (
    "AntennaQueueStuckWithFreeCapacity",
    "AntennaWaitOverObjective",
    "AntennaQueueWaitFastBurn",
    "AntennaQueueWaitSlowBurn",
)
OF_THE_SCHEDULER: Final = (
    "AntennaRemoteSourceStale",
    "AntennaSiteAnswersFastBurn",
    "AntennaSiteAnswersSlowBurn",
)
OF_A_SITE: Final = ("AntennaRemoteSchedulerDown", *OF_THE_SCHEDULER)
"""Alerts on what a remote site does not answer."""

INHIBITIONS: Final = (
    Inhibition("AntennaOperatorDown", OF_THE_OPERATOR, ""),
    Inhibition("AntennaKueueDown", OF_KUEUE, ""),
    Inhibition("AntennaLinkDown", ("AntennaSiteUnreachable", *OF_A_SITE), "site behind link"),
    Inhibition("AntennaLinkDown", ("AntennaLinkDegraded",), "link"),
    Inhibition("AntennaSiteUnreachable", OF_A_SITE, "site"),
    Inhibition("AntennaRemoteSchedulerDown", OF_THE_SCHEDULER, "site"),
    Inhibition("AntennaGPUHardwareError", ("AntennaGPULost",), "node"),
    Inhibition(
        "AntennaNodeNotReady",
        ("AntennaGPUHardwareError", "AntennaGPULost", "AntennaNetworkPolicyDown", "AntennaScrapeFailing"),
        "node",
    ),
)
