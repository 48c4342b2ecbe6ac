"""Remote sites, entirely as data: a new hub is one entry.

Billing rules and limits are those that the sites publish; the entries name their source.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from infra.site.values import Amount, Count, Flag, Model, Port, Positive, RemoteName, Text, describe, refuse

Unit = Literal["gpu-hours", "core-hours", "tb-hours"]
PartitionName = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$", examples=["small-g"])
]


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse(f"must be a regular expression in text, not {describe(value)}")
    try:
        re.compile(value)
    except re.error as error:
        raise refuse(
            f"{value!r} is not a regular expression ({error}); write one such as 'project_46[0-9]{{7}}'"
        ) from None
    return value


class WholeNodes(Model):
    """``per_node_hour`` units for each node and hour, whatever of the node is used."""

    rule: Literal["whole-nodes"]
    unit: Unit
    per_node_hour: Amount


class LargestShare(Model):
    """``factor`` x max(ceil(cores / cores_per_slot), ceil(memory / memory_gib_per_slot), GPUs) x hours."""

    rule: Literal["largest-share"]
    unit: Unit
    factor: Amount = 1.0
    cores_per_slot: Positive
    memory_gib_per_slot: Positive


class Cores(Model):
    """Allocated cores x hours."""

    rule: Literal["cores"]
    unit: Unit


Billing = Annotated[
    WholeNodes | LargestShare | Cores,
    Field(discriminator="rule", examples=[{"rule": "cores", "unit": "core-hours"}]),
]


class Limits(Model):
    """What one job, and one user, may take."""

    hours: Amount = Field(examples=[72])
    nodes: Positive = Field(examples=[4])
    jobs: Positive | None = None
    """Jobs of one user at a time, waiting or running; None where the site states no limit."""
    running: Positive | None = None


class Node(Model):
    """One node of a partition, as the scheduler sees it."""

    gpus: Count = 0
    gpu_model: Text | None = None
    cores: Positive | None = None
    memory_gib: Positive | None = None
    architecture: Literal["x86_64", "aarch64"] = "x86_64"


class Partition(Model):
    """One partition. Its flavor in Kueue is SITE-PARTITION."""

    name: PartitionName
    whole_nodes: Flag = False
    node: Node = Node()
    limits: Limits = Field(examples=[{"hours": 72, "nodes": 4}])
    billing: Billing
    kwh_per_gpu_hour: Amount | None = None
    """Energy of one scheduler GPU for an hour, where a published average exists."""


class Storage(Model):
    """Storage that is billed: ``factor`` TB-hours for each TB and hour."""

    name: PartitionName
    factor: Amount


class Access(Model):
    """How the site is reached, and how often it may be."""

    method: Literal["ssh", "firecrest", "unicore"] = "ssh"
    host: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", examples=["lumi.csc.fi"])]
    port: Port = 22
    poll_floor_seconds: Positive = Field(examples=[60])
    """No question is put to the scheduler sooner than this after the last one."""
    connections_per_minute: Positive = Field(examples=[1])
    """New connections; an origin that connects too often is blocked at the site's firewall."""
    key_types: tuple[Literal["ed25519", "rsa-4096"], ...] = ("ed25519",)
    second_factor: Literal["none", "interactive-logins"] = "none"
    key_from_clause: Flag = False
    """Keys are accepted from stated origins only (from= in authorized_keys)."""
    pooled_accounts: Flag = False
    """Whether one account may serve several people."""


class Accounting(Model):
    """Where the site's own figures come from, and how its budgets run."""

    tool: Literal["lumi-allocations", "jutil", "sacct"]
    """``sacct`` is the scheduler's own: there where Slurm keeps accounts, whatever else a site offers."""
    refreshed: Literal["at-once", "daily", "irregularly"]
    period: Literal["project", "month"]
    carry_over_months: Count = 0
    """How many months an unused rest stays usable."""


class Projects(Model):
    """What project names look like there."""

    pattern: Annotated[str, BeforeValidator(_pattern)]
    example: Text


class RemoteSite(Model):
    """One remote site."""

    name: RemoteName
    title: Text
    operator: Text
    country: Annotated[str, Field(strict=True, pattern=r"^[A-Z]{2}$", examples=["FI"])]
    scheduler: Literal["slurm"] = "slurm"
    access: Access
    accounting: Accounting
    projects: Projects
    partitions: tuple[Partition, ...] = Field(min_length=1)
    storage: tuple[Storage, ...] = ()

    @property
    def units(self) -> tuple[str, ...]:
        """The units that the site bills in, in the order of its entries."""
        units = [partition.billing.unit for partition in self.partitions]
        return tuple(dict.fromkeys([*units, *("tb-hours" for _ in self.storage)]))
