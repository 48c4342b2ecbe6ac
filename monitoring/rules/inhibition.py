"""Which alert is the cause of which others: while it fires, what follows from it is not told. A row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Inhibition:
    """``through`` is the label by which the two belong together; "": whatever their labels.

    "link": the cause names a link, what follows from it the site behind that link.
    """

    cause: str
    follows: tuple[str, ...]
    through: Literal["", "node", "link"]


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
)
"""Alerts on figures that the operator tells: without it they say what was so."""

INHIBITIONS: Final = (
    Inhibition("AntennaOperatorDown", OF_THE_OPERATOR, ""),
    Inhibition("AntennaLinkDown", ("AntennaRemoteSourceStale",), "link"),
    Inhibition(
        "AntennaNodeNotReady", ("AntennaGPULost", "AntennaNetworkPolicyDown", "AntennaScrapeFailing"), "node"
    ),
)
