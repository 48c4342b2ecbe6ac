"""Looks at what is really there and takes it as the state."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.engine.errors import EngineError
from infra.engine.plugin import ProviderFailedError
from infra.engine.run import Run
from infra.engine.state import Resource
from infra.engine.steps import HaltedError


def refresh(run: Run) -> None:
    """Look every resource up (with targets, those). One that cannot be looked up stays as it was."""
    chosen = [r for r in run.resources if run.is_target(r.urn)]
    found: dict[int, Resource | None] = {}

    def look(resource: Resource) -> None:
        found[id(resource)] = resource
        try:
            if resource.custom and not resource.is_provider:
                run.ensure_provider(resource.provider)
            found[id(resource)] = run.steps.refresh(resource)
        except (ProviderFailedError, EngineError) as error:
            run.steps.fail(resource.urn, "refresh", str(error))
        except HaltedError:
            return  # told already

    with ThreadPoolExecutor(run.parallel) as pool:
        list(pool.map(look, chosen))
    resources = _without_dangling([r for r in (found.get(id(r), r) for r in run.resources) if r is not None])
    run.rebase(resources)
    run.journal.rebase(resources)


def _without_dangling(resources: Sequence[Resource]) -> list[Resource]:
    """Drop the references to what is gone; an orphan moves to the nearest ancestor that is left."""
    present: set[str] = set()
    parents: dict[str, str] = {}
    kept = []
    for resource in resources:
        parent = resource.parent
        while parent and parent not in present:
            parent = parents.get(parent, "")
        parents[resource.urn] = parent
        dependencies = {
            key: [urn for urn in urns if urn in present]
            for key, urns in resource.property_dependencies.items()
        }
        kept.append(
            resource.copy(
                parent=parent,
                dependencies=[urn for urn in resource.dependencies if urn in present],
                property_dependencies=dependencies,
                deleted_with=resource.deleted_with if resource.deleted_with in present else "",
            )
        )
        present.add(resource.urn)
    return kept
