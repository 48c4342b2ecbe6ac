"""Pulumi URNs: ``urn:pulumi:STACK::PROJECT::PARENT_TYPES$TYPE::NAME``."""

from __future__ import annotations

import re

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """Return the URN of a resource; `parent` is its parent's URN or empty. The stack is not in the type."""
    parent_type = qualified_type(parent) if parent else ""
    prefix = f"{parent_type}$" if parent_type and parent_type != STACK_TYPE else ""
    return f"urn:pulumi:{stack}::{project}::{prefix}{type_}::{name}"


def qualified_type(urn: str) -> str:
    """Return the type with the types of the parents before it, joined by ``$``."""
    return _part(urn, 2)


def type_of(urn: str) -> str:
    """Return the resource's own type token."""
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """Return the resource's name."""
    return _part(urn, 3)


def is_provider(type_: str) -> bool:
    """Tell whether a type token is a provider's."""
    return type_.startswith(PROVIDER_PREFIX)


def is_default_provider(urn: str) -> bool:
    """Tell whether a URN is a provider's that the engine made because no other was named."""
    return is_provider(type_of(urn)) and re.fullmatch(r"default(_.*)?", name_of(urn)) is not None


def package_of(type_: str) -> str:
    """Return the package of a type token, for a provider's the package that it provides."""
    return type_.removeprefix(PROVIDER_PREFIX) if is_provider(type_) else type_.split(":", 1)[0]


def matches(urn: str, pattern: str) -> bool:
    """Tell whether a URN meets a target: literal, ``*`` for anything but a colon, ``**`` for anything."""
    parts = re.split(r"(\*\*|\*)", pattern)
    wild = {"**": ".*", "*": "[^:]*"}
    return (
        re.fullmatch("".join(wild.get(part, re.escape(part)) for part in parts), urn, re.DOTALL) is not None
    )


def _part(urn: str, index: int) -> str:
    parts = urn.split("::", 3)
    if len(parts) != 4 or not urn.startswith("urn:pulumi:"):
        raise ValueError(f"not a Pulumi URN: {urn!r}")
    return parts[index]
