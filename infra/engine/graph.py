"""Which resources stand on which, and the order in which they can be removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.engine.state import Resource


def dependents(root: Resource, resources: Sequence[Resource], ignore: Iterable[str] = ()) -> list[Resource]:
    """Return what depends on a resource, directly or not, in the state's order; being a child is no such."""
    ignored = set(ignore)
    urns = {root.urn}
    found = []
    for candidate in resources[_index(root, resources) + 1 :]:
        if candidate.urn not in ignored and urns & candidate.references():
            urns.add(candidate.urn)
            found.append(candidate)
    return found


def with_dependents(targets: Iterable[Resource], resources: Sequence[Resource]) -> set[str]:
    """Return the URNs of resources with everything that depends on them, their children too."""
    urns = {target.urn for target in targets}
    for candidate in resources:
        if urns & (candidate.references() | {candidate.parent}):
            urns.add(candidate.urn)
    return urns


def deletion_waves(condemned: Sequence[Resource], resources: Sequence[Resource]) -> list[list[Resource]]:
    """Return the order of removal: each wave can go at once, after those before it."""
    left = list(condemned)
    dependencies = {id(resource): _dependencies(resource, resources) for resource in left}
    waves: list[list[Resource]] = []
    while left:
        needed = {id(item) for resource in left for item in dependencies[id(resource)]}
        wave = [resource for resource in left if id(resource) not in needed] or left
        waves.append(wave)
        gone = {id(resource) for resource in wave}
        left = [resource for resource in left if id(resource) not in gone]
    return waves


def in_order(resources: Sequence[Resource]) -> list[Resource]:
    """Return the resources with each after those that it refers to, otherwise in the order given."""
    by_urn: dict[str, Resource] = {}
    for resource in resources:
        if resource.urn not in by_urn or by_urn[resource.urn].delete:
            by_urn[resource.urn] = resource
    placed: dict[int, Resource] = {}

    def place(resource: Resource) -> None:
        if id(resource) not in placed:
            for urn in sorted(resource.references() | {resource.parent}):
                if urn in by_urn and by_urn[urn] is not resource:
                    place(by_urn[urn])
            placed.setdefault(id(resource), resource)

    for resource in resources:
        place(resource)
    return list(placed.values())


def _dependencies(resource: Resource, resources: Sequence[Resource]) -> list[Resource]:
    """Return what must outlive a resource: its parent and what it refers to, with components' children."""
    urns = resource.references()
    earlier = resources[: _index(resource, resources)]
    components = {item.urn for item in earlier if item.urn in urns and not item.custom}
    for item in earlier:
        if item.parent in components:
            components.add(item.urn)
    return [item for item in earlier if item.urn in urns | components or item.urn == resource.parent]


def _index(resource: Resource, resources: Sequence[Resource]) -> int:
    return next(index for index, item in enumerate(resources) if item is resource)
