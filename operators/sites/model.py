"""What a remote site is: partitions, limits, billing rules, rules of access. Pure: a new hub is one entry.

The operator reads it from the ``RemoteSite`` objects, which Pulumi declares from the site's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Unit = Literal["gpu-hours", "core-hours", "tb-hours"]


@dataclass(frozen=True)
class WholeNodes:
    """``per_node_hour`` units for each node and hour, whatever of the node is used."""

    unit: Unit
    per_node_hour: Fraction


@dataclass(frozen=True)
class LargestShare:
    """``factor`` x max(ceil(cores / cores_per_slot), ceil(memory / memory_gib_per_slot), GPUs) x hours."""

    unit: Unit
    factor: Fraction
    cores_per_slot: int
    memory_gib_per_slot: int


@dataclass(frozen=True)
class Cores:
    """Allocated cores x hours."""

    unit: Unit


Billing = WholeNodes | LargestShare | Cores

KeyType = Literal["ed25519", "rsa-4096"]


@dataclass(frozen=True)
class Partition:
    """One partition; its flavor in Kueue is SITE-PARTITION. None: the site states no such figure."""

    name: str
    billing: Billing
    max_seconds: int
    max_nodes: int
    whole_nodes: bool = False
    gpus_per_node: int = 0
    gpu_model: str = ""
    cores_per_node: int | None = None
    memory_gib_per_node: int | None = None
    threads_per_core: int = 1
    """CPUs that the scheduler counts for each core: more than one where nodes have hardware threads on."""
    max_jobs: int | None = None
    """Jobs of one login at a time, waiting or running."""
    max_running: int | None = None
    kwh_per_gpu_hour: Fraction | None = None
    """Energy of one scheduler GPU for an hour, where a published average exists."""


@dataclass(frozen=True)
class Access:
    """How the site is reached, and how often it may be."""

    method: Literal["ssh", "firecrest", "unicore"]
    host: str
    port: int = 22
    poll_floor_seconds: int = 60
    """No question is put to the scheduler sooner than this after the last one."""
    connections_per_minute: int = 1
    """New connections of a login; an origin that connects too often is blocked at the site's firewall."""
    key_types: tuple[KeyType, ...] = ("ed25519",)
    """Kinds of keys that the site lets in; no other is used there."""
    pooled_accounts: bool = False
    """Whether one login may serve several partners."""


@dataclass(frozen=True)
class Accounting:
    """Where the site's own figures come from, and how its budgets run."""

    tool: Literal["lumi-allocations", "jutil", "sacct"]
    refreshed: Literal["at-once", "daily", "irregularly"]
    period: Literal["project", "month"]
    carry_over_months: int = 0
    """How many months an unused rest stays usable."""
    overdraw: bool = False
    """Whether a project goes on, at lower priority, until it owes a month's quota; of budgets by month."""


@dataclass(frozen=True)
class Site:
    """One remote site."""

    name: str
    title: str
    access: Access
    accounting: Accounting
    project_pattern: str
    partitions: tuple[Partition, ...]
    project_directories: tuple[str, ...] = ()
    """Where a project's own files lie, beside the homes: absolute, with ``{project}`` for its name."""

    def partition(self, name: str) -> Partition | None:
        """The partition of that name."""
        return next((one for one in self.partitions if one.name == name), None)
