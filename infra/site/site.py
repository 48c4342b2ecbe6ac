"""The whole site, and the only way to make one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError

from infra.site.authentication import Authentication
from infra.site.cohort import Cohort
from infra.site.kubernetes import Kubernetes
from infra.site.links import Link
from infra.site.machines import Machine
from infra.site.monitoring import Monitoring
from infra.site.network import Network
from infra.site.operator import Operator
from infra.site.problem import Problem, SiteError, explain
from infra.site.remote import RemoteSite
from infra.site.rules import broken_rules
from infra.site.tenants import Funding, Tenant
from infra.site.values import Model, Text
from infra.suggestion import nearest_label

Platform = Literal["embedded", "ssh"]

# The stack's name becomes part of interface names, which Linux limits to 15 bytes.
STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")


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
    authentication: Authentication | None = None
    """None: partners' people have no way in of their own."""

    _stack: str = PrivateAttr(default="")

    @classmethod
    def parse(cls, keys: Mapping[str, Any], source: str, stack: str | None = None) -> Self:
        """The site that ``keys`` describe: what stands under ``site:`` in a stack file, namespace removed.

        ``source`` is the file's name; Pulumi.STACK.yaml gives the stack, unless it is stated. Raises
        ``SiteError`` with every problem found; rules that span keys are looked at once each key is right
        by itself.
        """
        stack = stack_of(source) if stack is None else stack
        problems = list(_stack_problems(stack))
        try:
            site = cls.model_validate(dict(keys))
        except ValidationError as error:
            raise SiteError(source, [*problems, *explain(cls, error.errors())]) from None
        problems += broken_rules(site)
        if problems:
            raise SiteError(source, problems)
        site._stack = stack
        return site

    @property
    def stack(self) -> str:
        """The name of the stack that the site was read from."""
        return self._stack

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


def stack_of(source: str) -> str:
    """The stack that a file is for: Pulumi.STACK.yaml, as Pulumi names it."""
    return source.removeprefix("Pulumi.").removesuffix(".yaml")


def _stack_problems(stack: str) -> list[Problem]:
    if STACK_NAME.fullmatch(stack):
        return []
    fixed = nearest_label(stack).lstrip("0123456789-")[:12].rstrip("-") or "site"
    return [
        Problem(
            "",
            f"the stack name {stack!r} becomes part of interface names and must be 1 to 12 characters of "
            f"a-z, 0-9 and '-', a letter first; rename the file to Pulumi.{fixed}.yaml",
        )
    ]
