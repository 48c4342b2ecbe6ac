"""``Tenant``: a partner of the Antenna, from which the operator makes its namespace, rights and queues."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from ipaddress import IPv4Network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from operators.api import API_VERSION
from operators.api.condition import Condition
from operators.api.names import TENANT
from operators.api.values import (
    NAME_LENGTH,
    Amount,
    Group,
    Model,
    ObjectName,
    Quantity,
    decimal,
    one_of,
    rules,
)
from operators.queues import GPU, REMOTE_RESOURCES, RESOURCES, Cohort, Flavor, quantity
from operators.tenancy import ECOSYSTEMS, SECTORS, Object, Quota
from operators.tenancy import Allocation as Grant
from operators.tenancy import Egress as Way
from operators.tenancy import Tenant as Partner

KIND: Final = TENANT
PLURAL: Final = "tenants"
FLAVORS: Final = 16
"""The most flavors that a Tenant can list: Kueue's own bound."""

Ecosystem = Annotated[str, *one_of(*ECOSYSTEMS)]
Sector = Annotated[str, *one_of(*SECTORS)]
_NAMES: Final = (*RESOURCES, *REMOTE_RESOURCES)
ResourceName = Annotated[str, *one_of(*_NAMES)]

LoginName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$", max_length=64)]

_STARVED: Final = (
    "GPUs of which no core or no memory may be used: raise the nominal or the borrowingLimit of {}"
)


class ResourceQuota(Model):
    """How much of one resource of one flavor."""

    nominal: Quantity
    """Always the partner's own: taken back from whoever borrowed it when the partner wants it."""
    borrowing_limit: Quantity | None = Field(default=None, alias="borrowingLimit")
    """The most that it may take beyond nominal while others leave it idle. Absent: all that is idle."""

    @property
    def never(self) -> bool:
        """Whether none of it can ever be had."""
        return quantity(self.nominal) == 0 and quantity(self.borrowing_limit or 1) == 0


def _usable(resource: str) -> str:
    zero = "quantity(string(self.resources['{}'].{})).compareTo(quantity('0')) == 0"
    return (
        f"!('{GPU}' in self.resources) || {zero.format(GPU, 'nominal')} || !('{resource}' in self.resources) "
        f"|| !has(self.resources['{resource}'].borrowingLimit) "
        f"|| !({zero.format(resource, 'nominal')} && {zero.format(resource, 'borrowingLimit')})"
    )


class FlavorQuota(Model):
    """How much of one flavor."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *((_usable(resource), _STARVED.format(resource)) for resource in ("cpu", "memory"))
        )
    )

    flavor: ObjectName
    """A ResourceFlavor of the cohort."""
    resources: dict[ResourceName, ResourceQuota] = Field(
        default={},
        max_length=len(_NAMES),
        json_schema_extra=rules(
            (f"self.all(name, name in {list(_NAMES)})", f"resources are {', '.join(_NAMES)}"),
            (
                f"!('{GPU}' in self) || quantity(string(self['{GPU}'].nominal)).isInteger()",
                "GPUs are whole: nominal must be an integer",
            ),
        ),
    )
    """Quotas by resource: cpu (cores), memory (bytes), nvidia.com/gpu; of a remote flavor
    antenna.be/remote-gpu and antenna.be/remote-core. What is not named is 0."""
    remote: bool | None = None
    """Of a remote site: neither lent nor borrowed, and its work passes the checks budget and site-health."""

    @model_validator(mode="after")
    def _usable_at_all(self) -> FlavorQuota:
        gpus = quantity(self.resources[GPU].nominal) if GPU in self.resources else 0
        if gpus != int(gpus):
            raise ValueError("GPUs are whole: nominal must be an integer")
        if gpus:
            for name in ("cpu", "memory"):
                if name in self.resources and self.resources[name].never:
                    raise ValueError(_STARVED.format(name))
        return self


class Allocation(Model):
    """What a remote site granted the partner: the project that its jobs there run under."""

    model_config = ConfigDict(json_schema_extra=rules(("self.start <= self.end", "end is before start")))

    site: ObjectName
    """A RemoteSite."""
    project: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", max_length=63)
    """The project's name at the site."""
    amount: Amount
    """How much was granted, in ``unit``."""
    unit: Literal["gpu-hours", "core-hours", "tb-hours"]
    """One that the site bills in."""
    start: date
    """The first day."""
    end: date
    """The last day."""

    @model_validator(mode="after")
    def _in_order(self) -> Allocation:
        if self.end < self.start:
            raise ValueError("end is before start")
        return self


def _ipv4(value: str) -> str:
    IPv4Network(value)
    return value


Cidr = Annotated[
    str,
    AfterValidator(_ipv4),
    Field(
        max_length=18,
        json_schema_extra=rules(
            ("isCIDR(self) && cidr(self).ip().family() == 4", "is no IPv4 range, such as 192.0.2.0/24")
        ),
    ),
]


class Egress(Model):
    """Addresses outside the site, and the TCP ports there, that the partner's pods connect to."""

    cidr: Cidr
    """A range of IPv4 addresses; of one address, a /32."""
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(min_length=1, max_length=16)
    """TCP ports."""


class TenantSpec(Model):
    """Who the partner is, who works for it, and what is its own."""

    title: str = Field(min_length=1, max_length=200)
    """The partner's name as people write it."""
    ecosystem: Ecosystem
    """The ecosystem that it belongs to; reports split costs by it."""
    sectors: tuple[Sector, ...] = Field(
        min_length=1,
        max_length=len(SECTORS),
        # Not a set to the API server: those may come back in another order.
        json_schema_extra=rules(
            ("self.all(one, self.exists_one(other, other == one))", "names a sector twice")
        ),
    )
    """The sectors that it works in, the main one first."""
    groups: tuple[Group, ...] = Field(
        default=(), max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Groups of the identity provider whose members submit work for this partner."""
    weight: Quantity = "1"
    """Share of what is idle, relative to the other partners, when several want to borrow it."""
    cohort: ObjectName = Field(
        json_schema_extra=rules(
            ("self == oldSelf", "is immutable: running work may hold what it borrowed in this cohort")
        )
    )
    """The cohort whose members lend each other what they leave idle."""
    quotas: tuple[FlavorQuota, ...] = Field(
        min_length=1,
        max_length=FLAVORS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["flavor"]},
    )
    """A quota for every flavor of the cohort, in the order in which flavors are tried."""
    allocations: tuple[Allocation, ...] = Field(default=(), max_length=32)
    """What remote sites granted it. Its jobs at a site run under the project of the first that pays."""
    logins: dict[str, LoginName] = Field(default={}, max_length=32)
    """Its login at a remote site: its jobs there are submitted as that, and as nobody else. Where none is
    named the credentials decide."""
    egress: tuple[Egress, ...] = Field(default=(), max_length=32)
    """Where its pods connect to outside the site. What is not named here is refused."""


class Gpus(Model):
    """GPUs of all flavors together."""

    quota: int = Field(default=0, ge=0)
    """Nominal quota in force."""
    used: int = Field(default=0, ge=0)
    """Held by admitted work, borrowed ones among them."""
    borrowed: int = Field(default=0, ge=0)
    """Held beyond the nominal quota."""


class TenantStatus(Model):
    """What the operator has seen and made of it."""

    observed_generation: int = Field(default=0, alias="observedGeneration", ge=0)
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Ready: everything is made and the queue takes work. Stalled: refused; somebody must do something."""
    gpus: Gpus = Field(default_factory=Gpus)
    pending: int = Field(default=0, ge=0)
    """Workloads that wait for quota."""
    oldest_pending_since: datetime | None = Field(default=None, alias="oldestPendingSince")
    """Since when the one that waits longest has waited."""


class Tenant(Model):
    """A partner of the Antenna."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.metadata.name.size() <= {NAME_LENGTH}",
                f"metadata.name: at most {NAME_LENGTH} characters: it becomes part of the namespace's name",
            ),
            (
                "!self.metadata.name.contains('.')",
                "metadata.name: no dots: it becomes part of the namespace's name",
            ),
        )
    )

    spec: TenantSpec
    status: TenantStatus | None = None


def tenant_object(partner: Partner, cohort: Cohort) -> Object:
    """The Tenant to declare for a partner: every flavor of the cohort, in the cohort's order."""
    spec = TenantSpec(
        title=partner.title,
        ecosystem=partner.ecosystem,
        sectors=partner.sectors,
        groups=partner.groups,
        weight=str(partner.weight),
        cohort=cohort.name,
        quotas=tuple(
            _flavor_quota(flavor, partner.quotas) for flavor in cohort.flavors if _listed(flavor, partner)
        ),
        allocations=tuple(
            Allocation.model_validate({**vars(grant), "amount": decimal(grant.amount)})
            for grant in partner.allocations
        ),
        logins=dict(partner.logins),
        egress=tuple(Egress(cidr=one.cidr, ports=one.ports) for one in partner.egress),
    )
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for optional in ("allocations", "logins", "egress"):
        if not written[optional]:
            del written[optional]
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": partner.name}, "spec": written}


def partner_of(name: str, spec: TenantSpec) -> Partner:
    """The partner that a Tenant stands for, in the terms of ``tenancy``."""
    return Partner(
        name=name,
        title=spec.title,
        ecosystem=spec.ecosystem,
        sectors=spec.sectors,
        groups=spec.groups,
        weight=spec.weight,
        quotas={
            quota.flavor: {
                resource: Quota(amount.nominal, amount.borrowing_limit)
                for resource, amount in quota.resources.items()
            }
            for quota in spec.quotas
        },
        allocations=tuple(
            Grant(one.site, one.project, Fraction(one.amount), one.unit, one.start, one.end)
            for one in spec.allocations
        ),
        logins=spec.logins,
        egress=tuple(Way(one.cidr, one.ports) for one in spec.egress),
    )


def cohort_of(spec: TenantSpec) -> Cohort:
    """The cohort as a Tenant names it: its flavors and their order are those of the quotas."""
    return Cohort(
        spec.cohort, tuple(Flavor(quota.flavor, remote=bool(quota.remote)) for quota in spec.quotas)
    )


def _listed(flavor: Flavor, partner: Partner) -> bool:
    """Every local flavor; of the remote ones those that an allocation of the partner pays for."""
    return not flavor.remote or flavor.name in partner.quotas


def _flavor_quota(flavor: Flavor, quotas: Mapping[str, Mapping[str, Quota]]) -> FlavorQuota:
    return FlavorQuota(
        flavor=flavor.name,
        remote=flavor.remote or None,
        resources={
            resource: ResourceQuota(
                nominal=str(quota.nominal),
                borrowingLimit=None if quota.borrowing_limit is None else str(quota.borrowing_limit),
            )
            for resource, quota in quotas.get(flavor.name, {}).items()
        },
    )
