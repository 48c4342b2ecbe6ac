"""Partners, as tenants of the Antenna: who they are, what they may use, who pays."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from infra.site.values import (
    Amount,
    Count,
    FlavorName,
    LoginName,
    Model,
    Port,
    Positive,
    Range,
    RemoteName,
    TenantName,
    Text,
    refuse,
)
from infra.site.vocabulary import Ecosystem, Sector

Funder = Literal["eurohpc", "national"]


def _not_kubernetes_own(value: str) -> str:
    if value.startswith("system:"):
        raise refuse(f"{value!r} is Kubernetes' own group and would let others in; name one of the partner's")
    return value


Group = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9:._/@-]{0,127}$", examples=["ku-leuven-ai"]),
    AfterValidator(_not_kubernetes_own),
]
"""A group as the issuer of `site:authentication` names it; its members get the tenant's rights."""


class Allocation(Model):
    """What a remote site granted a tenant. ``unit`` is one that the site bills in."""

    site: RemoteName
    project: Text = Field(examples=["project_465000001"])
    amount: Amount = Field(examples=[5000])
    unit: Text = Field(examples=["gpu-hours"])
    start: date = Field(examples=["2026-01-01"])
    end: date = Field(examples=["2026-12-31"])
    """The last day."""


class Egress(Model):
    """Addresses outside the site, and TCP ports there, that a tenant's pods connect to."""

    cidr: Range = Field(examples=["192.0.2.0/24"])
    ports: tuple[Port, ...] = Field(min_length=1, max_length=16, examples=[[443]])


class Tenant(Model):
    """One partner."""

    name: TenantName
    title: Text = Field(examples=["KU Leuven"])
    ecosystem: Ecosystem
    sectors: tuple[Sector, ...] = Field(min_length=1, examples=[["science-research"]])
    groups: tuple[Group, ...] = Field(min_length=1, examples=[["ku-leuven-ai"]])
    quota: dict[FlavorName, Count] = Field(examples=[{"h100": 2}])
    """GPUs of each flavor that are this partner's own. 0 or absent: the partner only borrows."""
    allocations: tuple[Allocation, ...] = ()
    logins: dict[RemoteName, LoginName] = Field(default={}, examples=[{"lumi": "antenna-ugent"}])
    """Its login at each remote site, as the site's administrators call it: the Secret must hold that one.
    What is not named is left to the Secret; a site that is played here has one of the partner's name.
    """

    egress: Annotated[tuple[Egress, ...], Field(max_length=32)] = ()
    """Where its pods connect to outside the site. Nothing else is let out."""

    def login(self, site: str) -> str:
        """Its login at a site that is played here."""
        return self.logins.get(site, self.name)


class Funding(Model):
    """Who pays, in percent: every report splits costs so."""

    eurohpc: Annotated[Positive, Field(le=100)] = 50
    national: Annotated[Positive, Field(le=100)] = 50

    @property
    def shares(self) -> dict[Funder, float]:
        """The part of every cost that each funder carries; together 1."""
        return {"eurohpc": self.eurohpc / 100, "national": self.national / 100}
