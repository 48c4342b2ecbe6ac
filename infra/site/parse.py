"""The only way to make a site: from plain data, whole and right, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from infra.site.problem import Problem, SiteError, explain
from infra.site.rules import broken_rules
from infra.site.site import Site
from infra.suggestion import nearest_label

# The stack's name becomes part of interface names, which Linux limits to 15 bytes.
STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")


def parse_site(keys: Mapping[str, Any], source: str, stack: str | None = None) -> Site:
    """The site that ``keys`` describe: what stands under ``site:`` in a stack file, namespace removed.

    ``source`` is the file's name; Pulumi.STACK.yaml gives the stack, unless it is stated. Raises
    ``SiteError`` with every problem found; rules that span keys are looked at once each key is right
    by itself.
    """
    stack = stack_of(source) if stack is None else stack
    problems = list(_stack_problems(stack))
    try:
        site = Site.model_validate(dict(keys))
    except ValidationError as error:
        raise SiteError(source, [*problems, *explain(Site, error.errors())]) from None
    problems += broken_rules(site)
    if problems:
        raise SiteError(source, problems)
    return site.of_stack(stack)


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
