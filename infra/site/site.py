"""The whole site."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PrivateAttr

from infra.site.authentication import Authentication
from infra.site.cohort import Cohort
from infra.site.kubernetes import Kubernetes
from infra.site.links import Link
from infra.site.machines import Machine
from infra.site.monitoring import Monitoring
from infra.site.network import Network
from infra.site.oncall import Oncall
from infra.site.operator import Operator
from infra.site.remote import RemoteSite
from infra.site.tenants import Funding, Tenant
from infra.site.values import Model, Text

Platform = Literal["embedded", "ssh"]


class Site(Model):
    """Everything that one Antenna is made of."""

    platform: Platform = Field(examples=["embedded"])
    network: Network = Field(
        examples=[{"cidr": "10.77.0.0/24", "pods": "10.78.0.0/16", "services": "10.79.0.0/16"}]
    )
    kubernetes: Kubernetes = Kubernetes()
    identity_file: Text | None = None
    """Platform ssh: the operator's private key; by default the stack's own, see ``infra.paths``."""
    machines: tuple[Machine, ...] = Field(min_length=1)
    cohort: Cohort = Field(examples=[{"name": "antenna", "flavors": ["..."]}])
    tenants: tuple[Tenant, ...] = Field(min_length=1)
    sites: tuple[RemoteSite, ...] = ()
    links: tuple[Link, ...] = ()
    funding: Funding = Funding()
    operator: Operator = Operator()
    monitoring: Monitoring = Monitoring()
    oncall: Oncall | None = None
    """None: alerts are shown and sent to nobody."""
    authentication: Authentication | None = None
    """None: partners' people have no way in of their own."""

    _stack: str = PrivateAttr(default="")

    @property
    def stack(self) -> str:
        """The name of the stack that the site was read from."""
        return self._stack

    @property
    def bridge(self) -> str:
        """The embedded machines'. With a stack's 12 characters it has the 15 that Linux allows."""
        return f"br-{self._stack}"

    def of_stack(self, stack: str) -> Self:
        """The same site, of that stack."""
        named = self.model_copy()
        named._stack = stack
        return named

    @property
    def head(self) -> Machine:
        """The machine with the control plane."""
        return next(machine for machine in self.machines if machine.role == "head")

    @property
    def nodes(self) -> tuple[Machine, ...]:
        """The machines of the cluster."""
        return tuple(machine for machine in self.machines if machine.role != "site")

    @property
    def ends(self) -> tuple[Machine, ...]:
        """The machines outside the cluster, at which links end."""
        return tuple(machine for machine in self.machines if machine.role == "site")

    def pods(self, machine: Machine) -> str:
        """The range of a node's pods, stated or from its address."""
        return str(machine.pods or self.network.pods_of(machine.address))

    @property
    def gpus(self) -> dict[str, int]:
        """How many GPUs there are of each flavor."""
        return {
            flavor.name: sum(
                m.gpus.count for m in self.machines if m.gpus and m.gpus.model == flavor.gpu_model
            )
            for flavor in self.cohort.flavors
        }

    @property
    def unassigned(self) -> dict[str, int]:
        """How many GPUs of each flavor are in no quota and not shared: nobody can use these."""
        return {
            flavor.name: self.gpus[flavor.name]
            - flavor.shared.gpus
            - sum(tenant.quota.get(flavor.name, 0) for tenant in self.tenants)
            for flavor in self.cohort.flavors
        }
