"""A row of what the operator may write: a kind, the operations on it, and what must hold for each. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """Must hold for every write: a CEL expression, and what is told where it does not."""

    expression: str
    message: str
    """Follows the operator's name: what it does, and does not."""
    compares: bool = False
    """With each Tenant in turn, as ``params``."""


@dataclass(frozen=True)
class Row:
    """A resource that the operator writes; ``resource`` names its subresource too, ``remotejobs/status``."""

    group: str
    version: str
    """In which the expressions see it: a request in another is converted first."""
    resource: str
    operations: tuple[str, ...]
    """``CREATE``, ``UPDATE``, ``DELETE``: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"""
    rules: tuple[Rule, ...] = ()
    """None: all that its schema allows is the operator's to say."""

    @property
    def kind(self) -> str:
        """``group/resource``."""
        return f"{self.group}/{self.resource}"

    @property
    def slug(self) -> str:
        """What its policy's name ends in."""
        return self.resource.replace("/", "-")


def written(expression: str) -> str:
    """Must hold for what is made or changed, but for what is only taken from its owner."""
    return f"request.operation == 'DELETE' || variables.disowned || ({expression})"


def deleted(expression: str) -> str:
    """Must hold for what is deleted."""
    return f"request.operation != 'DELETE' || ({expression})"


def of_its_tenant(expression: str) -> str:
    """Must hold for what is of the Tenant that it is compared with."""
    return f"params.metadata.name != variables.tenant || ({expression})"
