"""The recording rules: a row each, named ``level:metric:operation`` as Prometheus recommends.

https://prometheus.io/docs/practices/rules/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from monitoring.scrape import INTERVAL_SECONDS


@dataclass(frozen=True)
class Record:
    """One series a combination of labels, computed anew at every evaluation of its group."""

    name: str
    expression: str
    about: str
    """What it is, with its unit; for the docs, as rule files have no place for it."""

    @property
    def rule(self) -> dict[str, Any]:
        """The rule as Prometheus' rule files have it."""
        return {"record": self.name, "expr": self.expression}


def _of_tenant(series: str) -> str:
    """GPUs that a partner's pods hold, with the partner's name: it is in their namespace's."""
    return f'label_replace({series}, "tenant", "$1", "namespace", "tenant-(.+)")'


_POWER: Final = "DCGM_FI_DEV_POWER_USAGE"


def _part(power: str, seen: str) -> str:
    """Of each instance of a divided GPU (MIG) an equal part: each of them tells the power of the whole GPU.

    ``seen`` are the series by which instances are counted. https://github.com/NVIDIA/dcgm-exporter/issues/353
    """
    instances = f"count by (node, gpu) (count by (node, gpu, GPU_I_ID) ({seen}))"
    return f"{power} / on (node, gpu) group_left () {instances}"


def _held(family: str) -> str:
    return f'{family}{{namespace=~"tenant-.+"}}'


ENERGY: Final = (
    Record(
        "tenant:gpu_power_watts:sum",
        f"sum by (tenant) ({_of_tenant(_part(_held(_POWER), _POWER))})",
        "Power that the GPUs held by a partner's jobs draw now, in watts.",
    ),
    Record(
        "tenant:gpu_energy_joules:increase1m",
        # Each sample stands for the time until the next. DCGM's own counter would not do: it is the GPU's, so
        # of a job that ends between two scrapes it shows nothing. The group's interval is the window, and so
        # sums over time count nothing twice.
        "sum by (tenant) ("
        + _of_tenant(_part(f"sum_over_time({_held(_POWER)}[1m])", f"count_over_time({_POWER}[1m])"))
        + f") * {INTERVAL_SECONDS}",
        "Energy that a partner's GPUs used in the last minute, in joules; sum_over_time gives any period.",
    ),
    Record(
        "tenant:gpu_utilization_ratio:avg",
        f"avg by (tenant) ({_of_tenant(_held('DCGM_FI_DEV_GPU_UTIL'))}) / 100",
        "How busy the GPUs are that a partner's jobs hold, 0 to 1.",
    ),
    Record(
        "site:gpu_power_watts:sum",
        f"sum (max by (node, gpu) ({_POWER}))",
        "Power that all GPUs draw now, held or idle, in watts.",
    ),
)
"""Evaluated once a minute."""
