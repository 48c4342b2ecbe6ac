"""Remote sites, entirely as data: a new hub is one entry.

Billing rules and limits are those that the sites publish; the entries name their source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from infra.site.values import Amount, Count, Flag, Model, Port, Positive, RemoteName, Text, describe, refuse

Unit = Literal["gpu-hours", "core-hours", "tb-hours"]
PartitionName = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$", examples=["small-g"])
]


READER: Final = "antenna"
"""The login that reads queue and accounting at a site that a machine of ours plays; it submits nothing."""


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
    """What one job, and one login, may take."""

    hours: Amount = Field(examples=[72])
    nodes: Positive = Field(examples=[4])
    jobs: Positive | None = None
    """Jobs of one login at a time, waiting or running; None where the site states no limit."""
    running: Positive | None = None


class Node(Model):
    """One node of a partition, as the scheduler sees it."""

    gpus: Count = 0
    gpu_model: Text | None = None
    cores: Positive | None = None
    threads_per_core: Annotated[Positive, Field(le=8)] = 1
    """CPUs that the scheduler counts for each core: 2 where nodes have hardware threads on. Cores are billed.

    The site's own Slurm says it, once: ``sinfo --Format=Partition,Threads``.
    """
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

    NOT_KEPT: ClassVar[Mapping[str, str]] = {
        "second_factor": "nothing keeps to it: the Antenna shows a site its keys, and no second factor; "
        "remove it, and have the site let the Antenna's logins in with keys alone",
        "key_from_clause": "nothing keeps to it: a from= clause stands where the site keeps the key; "
        "remove it, and tell the site which address the Antenna comes from",
    }

    method: Literal["ssh"] = "ssh"
    host: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", examples=["lumi.csc.fi"])]
    port: Port = 22
    poll_floor_seconds: Positive = Field(examples=[60])
    """No question is put to the scheduler sooner than this after the last one."""
    connections_per_minute: Positive = Field(examples=[1])
    """New connections of a login, and six times that of all together; an origin that connects too often is
    blocked at the site's firewall.
    """
    key_types: tuple[Literal["ed25519", "rsa-4096"], ...] = Field(default=("ed25519",), min_length=1)
    """Kinds of keys that the site lets in: the first is made where keys are made here, no other is used."""
    pooled_accounts: Flag = False
    """Whether one login may serve several partners. Whoever shares one can read what the others write."""


class Accounting(Model):
    """Where the site's own figures come from, and how its budgets run."""

    tool: Literal["lumi-allocations", "jutil", "sacct"]
    """``sacct`` is the scheduler's own: there where Slurm keeps accounts, whatever else a site offers."""
    refreshed: Literal["at-once", "daily", "irregularly"]
    period: Literal["project", "month"]
    carry_over_months: Count = 0
    """How many months an unused rest stays usable."""
    overdraw: Flag = False
    """Whether a project goes on, at lower priority, until it owes a month's quota.

    JSC documents it for JUWELS and JURECA; of a site that does not say so it is false.
    """

    @model_validator(mode="after")
    def _by_month(self) -> Accounting:
        if self.overdraw and self.period != "month":
            raise refuse("overdraw: true means a month's quota; it needs period: month, or is to be left out")
        return self


ProjectDirectory = Annotated[
    str,
    Field(
        strict=True,
        pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._@+-]*)*/\{project\}(/[A-Za-z0-9_][A-Za-z0-9._@+-]*)*$",
        examples=["/scratch/{project}"],
    ),
]


class Projects(Model):
    """What projects are called there, and where their files lie."""

    pattern: Annotated[str, BeforeValidator(_pattern)]
    example: Text
    directories: tuple[ProjectDirectory, ...] = ()
    """Where a project's own files lie beside the homes, with ``{project}`` for its name: elsewhere no job of
    the project is started, and none reads or writes by its ``input`` and ``output``.
    """


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
