"""Families that rules and dashboards use and that are not in the operator's catalog: whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FOREIGN: Final[Mapping[str, str]] = {
    "up": "the scraper: 1 for a target that answered",
    "DCGM_FI_DEV_POWER_USAGE": "NVIDIA's DCGM exporter: watts of a GPU",
    "DCGM_FI_DEV_GPU_UTIL": "NVIDIA's DCGM exporter: percent of the time that a GPU was busy",
}
