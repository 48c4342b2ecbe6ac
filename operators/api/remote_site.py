"""``RemoteSite``: a supercomputer that the Antenna sends work to, entirely as data."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from operators.api import API_VERSION
from operators.api.condition import Conditions
from operators.api.names import REMOTE_SITE
from operators.api.values import Amount, Model, decimal, rules
from operators.sites import model
from operators.tenancy import Object

KIND: Final = REMOTE_SITE
PLURAL: Final = "remotesites"
NAME_LENGTH: Final = 30
"""Flavors are called SITE-PARTITION."""

Unit = Literal["gpu-hours", "core-hours", "tb-hours"]
Positive = Annotated[int, Field(ge=1, le=10_000_000)]
PartitionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$", max_length=30)]

# rule -> the fields that it takes.
_FIELDS: Final = {
    "whole-nodes": ("per_node_hour",),
    "largest-share": ("factor", "cores_per_slot", "memory_gib_per_slot"),
    "cores": (),
}
_NEEDS: Final = (
    (
        "self.rule != 'whole-nodes' || has(self.perNodeHour)",
        "whole-nodes needs perNodeHour: units for each node and hour",
    ),
    (
        "self.rule != 'largest-share' || "
        "(has(self.factor) && has(self.coresPerSlot) && has(self.memoryGibPerSlot))",
        "largest-share needs factor, coresPerSlot and memoryGibPerSlot",
    ),
)


class Billing(Model):
    """What a job costs."""

    model_config = ConfigDict(json_schema_extra=rules(*_NEEDS))

    rule: Literal["whole-nodes", "largest-share", "cores"]
    """whole-nodes: perNodeHour x nodes x hours. largest-share: factor x max(ceil(cores / coresPerSlot),
    ceil(memory / memoryGibPerSlot), GPUs) x hours. cores: allocated cores x hours."""
    unit: Unit
    """What it counts in."""
    per_node_hour: Amount | None = Field(default=None, alias="perNodeHour")
    """Units for each node and hour."""
    factor: Amount | None = None
    """Units for each slot and hour."""
    cores_per_slot: Positive | None = Field(default=None, alias="coresPerSlot")
    """Cores that are billed like one GPU."""
    memory_gib_per_slot: Positive | None = Field(default=None, alias="memoryGibPerSlot")
    """Memory that is billed like one GPU."""

    @model_validator(mode="after")
    def _complete(self) -> Billing:
        if any(getattr(self, name) is None for name in _FIELDS[self.rule]):
            raise ValueError(f"{self.rule} needs {', '.join(_FIELDS[self.rule])}")
        return self


class Partition(Model):
    """One partition; its flavor in Kueue is SITE-PARTITION."""

    name: PartitionName
    """As the site's scheduler calls it."""
    billing: Billing
    max_seconds: Positive = Field(alias="maxSeconds")
    """The longest that a job may run."""
    max_nodes: Positive = Field(alias="maxNodes")
    """The most nodes of one job."""
    whole_nodes: bool = Field(default=False, alias="wholeNodes")
    """Jobs are given, and billed, whole nodes."""
    gpus_per_node: int = Field(default=0, ge=0, le=1024, alias="gpusPerNode")
    """As the scheduler counts them; 0: a CPU partition."""
    gpu_model: str = Field(default="", max_length=63, alias="gpuModel")
    """For people."""
    cores_per_node: Positive | None = Field(default=None, alias="coresPerNode")
    """Absent: the site states no such figure."""
    memory_gib_per_node: Positive | None = Field(default=None, alias="memoryGibPerNode")
    """Absent: the site states no such figure."""
    threads_per_core: int = Field(default=1, ge=1, le=8, alias="threadsPerCore")
    """CPUs that the scheduler counts for each core: more than one where nodes have hardware threads on."""
    max_jobs: Positive | None = Field(default=None, alias="maxJobs")
    """Jobs of one login at a time, waiting or running. Absent: the site states no limit."""
    max_running: Positive | None = Field(default=None, alias="maxRunning")
    """Of them running at a time."""
    kwh_per_gpu_hour: Amount | None = Field(default=None, alias="kwhPerGpuHour")
    """Energy of one scheduler GPU for an hour, where a published average exists."""


class Access(Model):
    """How the site is reached, and how often it may be."""

    method: Literal["ssh", "firecrest", "unicore"]
    """What carries the questions."""
    host: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=253)
    """Where it answers."""
    port: int = Field(default=22, ge=1, le=65535)
    """Its port."""
    poll_floor_seconds: Positive = Field(default=60, alias="pollFloorSeconds")
    """No question is put to the scheduler sooner than this after the last one."""
    connections_per_minute: Positive = Field(default=1, alias="connectionsPerMinute")
    """New connections of a login, and six times that of all together; an origin that connects too often is
    blocked at the site's firewall."""
    key_types: tuple[Literal["ed25519", "rsa-4096"], ...] = Field(
        default=("ed25519", "rsa-4096"), min_length=1, max_length=2, alias="keyTypes"
    )
    """Kinds of keys that the site lets in; no other is used there."""
    pooled_accounts: bool = Field(default=False, alias="pooledAccounts")
    """Whether one login may serve several partners. False: nothing is submitted as a login of two."""


class Accounting(Model):
    """Where the site's own figures come from, and how its budgets run."""

    tool: Literal["lumi-allocations", "jutil", "sacct"]
    """What prints the figures at the site; sacct is Slurm's own."""
    refreshed: Literal["at-once", "daily", "irregularly"]
    """When the site brings them up to date."""
    period: Literal["project", "month"]
    """What an allocation is for: the project's whole time, or each month."""
    carry_over_months: int = Field(default=0, ge=0, le=120, alias="carryOverMonths")
    """How many months an unused rest stays usable."""
    overdraw: bool = False
    """Whether a project goes on, at lower priority, until it owes a month's quota; of budgets by month."""


ProjectDirectory = Annotated[
    str,
    Field(
        pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._@+-]*)*/\{project\}(/[A-Za-z0-9_][A-Za-z0-9._@+-]*)*$",
        max_length=256,
    ),
]


class Maintenance(Model):
    """Announced work at the site: no new job is sent there meanwhile."""

    until: AwareDatetime
    """When it ends by itself."""
    because: str = Field(min_length=1, max_length=200, pattern=r"^[^\n\r]+$")
    """Why, for whoever waits."""


class RemoteSiteSpec(Model):
    """What the site is: partitions, limits, billing rules, rules of access."""

    title: str = Field(min_length=1, max_length=200)
    """The site's name as people write it."""
    access: Access
    accounting: Accounting
    project_pattern: str = Field(min_length=1, max_length=200, alias="projectPattern")
    """A regular expression that the site's project names match."""
    project_directories: tuple[ProjectDirectory, ...] = Field(
        default=(), max_length=16, alias="projectDirectories"
    )
    """Where a project's own files lie beside the homes; {project} stands for its name."""
    partitions: tuple[Partition, ...] = Field(
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """In the order in which work for any site tries them."""
    maintenance: Maintenance | None = None
    """Absent: none is announced. It is no part of the site file: `antenna maintenance` sets it."""


class RemoteSiteStatus(Model):
    """How the site answers."""

    observed_generation: int = Field(default=0, alias="observedGeneration", ge=0)
    conditions: Conditions = ()
    """Ready: the entry is usable and work can be queued for it. Answers: its scheduler answers now. Logins:
    it lets in the login of every partner with a project there."""


class RemoteSite(Model):
    """A supercomputer that the Antenna sends work to."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.metadata.name.size() <= {NAME_LENGTH}",
                f"metadata.name: at most {NAME_LENGTH} characters: flavors are called SITE-PARTITION",
            ),
            (
                "!(self.metadata.name in ['any', 'local']) && !self.metadata.name.contains('.')",
                "metadata.name: a name without dots that is neither any nor local",
            ),
        )
    )

    spec: RemoteSiteSpec
    status: RemoteSiteStatus | None = None


def remote_site_object(site: model.Site) -> Object:
    """The RemoteSite to declare for a site."""
    access, accounting = site.access, site.accounting
    spec = RemoteSiteSpec(
        title=site.title,
        access=Access(
            method=access.method,
            host=access.host,
            port=access.port,
            pollFloorSeconds=access.poll_floor_seconds,
            connectionsPerMinute=access.connections_per_minute,
            keyTypes=access.key_types,
            pooledAccounts=access.pooled_accounts,
        ),
        accounting=Accounting(
            tool=accounting.tool,
            refreshed=accounting.refreshed,
            period=accounting.period,
            carryOverMonths=accounting.carry_over_months,
            overdraw=accounting.overdraw,
        ),
        projectPattern=site.project_pattern,
        projectDirectories=site.project_directories,
        partitions=tuple(_written(partition) for partition in site.partitions),
    )
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": site.name},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def site_of(name: str, spec: RemoteSiteSpec) -> model.Site:
    """The site that a RemoteSite stands for, in the terms of ``sites.model``."""
    return model.Site(
        name=name,
        title=spec.title,
        access=model.Access(**spec.access.model_dump()),
        accounting=model.Accounting(**spec.accounting.model_dump()),
        project_pattern=spec.project_pattern,
        project_directories=spec.project_directories,
        partitions=tuple(_read(partition) for partition in spec.partitions),
    )


def _written(partition: model.Partition) -> Partition:
    energy = partition.kwh_per_gpu_hour
    return Partition(
        name=partition.name,
        billing=_billing_written(partition.billing),
        maxSeconds=partition.max_seconds,
        maxNodes=partition.max_nodes,
        wholeNodes=partition.whole_nodes,
        gpusPerNode=partition.gpus_per_node,
        gpuModel=partition.gpu_model,
        coresPerNode=partition.cores_per_node,
        memoryGibPerNode=partition.memory_gib_per_node,
        threadsPerCore=partition.threads_per_core,
        maxJobs=partition.max_jobs,
        maxRunning=partition.max_running,
        kwhPerGpuHour=None if energy is None else decimal(energy),
    )


def _read(partition: Partition) -> model.Partition:
    energy = partition.kwh_per_gpu_hour
    return model.Partition(
        **partition.model_dump(exclude={"billing", "kwh_per_gpu_hour"}),
        billing=_billing_read(partition.billing),
        kwh_per_gpu_hour=None if energy is None else Fraction(energy),
    )


def _billing_written(billing: model.Billing) -> Billing:
    match billing:
        case model.WholeNodes():
            return Billing(rule="whole-nodes", unit=billing.unit, perNodeHour=decimal(billing.per_node_hour))
        case model.LargestShare():
            return Billing(
                rule="largest-share",
                unit=billing.unit,
                factor=decimal(billing.factor),
                coresPerSlot=billing.cores_per_slot,
                memoryGibPerSlot=billing.memory_gib_per_slot,
            )
        case model.Cores():
            return Billing(rule="cores", unit=billing.unit)


def _billing_read(billing: Billing) -> model.Billing:
    match billing.rule:
        case "whole-nodes":
            return model.WholeNodes(billing.unit, Fraction(billing.per_node_hour or 0))
        case "largest-share":
            return model.LargestShare(
                billing.unit,
                Fraction(billing.factor or 0),
                billing.cores_per_slot or 1,
                billing.memory_gib_per_slot or 1,
            )
        case "cores":
            return model.Cores(billing.unit)
