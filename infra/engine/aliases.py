"""The earlier URNs of a resource, from what the program says and from what its parent was called."""

from __future__ import annotations

from infra.engine import urn as urns
from infra.engine.goal import Alias, Goal


def candidates(goal: Goal, project: str, stack: str, renamed: dict[str, str]) -> list[str]:
    """Return the URNs that a resource may have had, the likeliest first.

    `renamed` maps the URNs of this run to those that the resources have in the state.
    """
    own = [_collapse(alias, goal, project, stack, renamed) for alias in goal.aliases]
    found = list(own)
    if goal.parent in renamed:
        was = renamed[goal.parent]
        identities = [(goal.type, goal.name), *((urns.type_of(urn), urns.name_of(urn)) for urn in own)]
        found += [
            urns.make(stack, project, was, type_, _follow(name, urns.name_of(goal.parent), urns.name_of(was)))
            for type_, name in identities
        ]
    return list(dict.fromkeys(found))


def _collapse(alias: Alias, goal: Goal, project: str, stack: str, renamed: dict[str, str]) -> str:
    if alias.urn:
        return alias.urn
    parent = renamed.get(alias.parent, alias.parent) if alias.parent else goal.parent
    return urns.make(
        alias.stack or stack,
        alias.project or project,
        "" if alias.no_parent else parent,
        alias.type or goal.type,
        alias.name or goal.name,
    )


def _follow(name: str, parent: str, old_parent: str) -> str:
    """Return a child's earlier name: ``app-disk`` follows ``app`` when that is renamed."""
    return old_parent + name.removeprefix(parent) if name.startswith(parent) else name
