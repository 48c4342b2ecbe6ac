"""Replaces resources: in which order, and what must be replaced with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_changes

from infra.engine import graph, property_path
from infra.engine.difference import resource_diff
from infra.engine.goal import Goal
from infra.engine.plugin import Diff
from infra.engine.properties import UNKNOWN
from infra.engine.run import RefusedError, Run
from infra.engine.state import Resource
from infra.engine.steps import Deletion

# In replaceOnChanges: replace a resource that exists but never became well.
_INIT_ERROR = "#initerror"


def force(diff: Diff, paths: Sequence[str], *, failed: bool) -> Diff:
    """Make a change of what `paths` name (replaceOnChanges) a reason to replace."""
    if not paths or not (diff.changes or failed):
        return diff
    named = [property_path.parse(path) for path in paths]

    def forced(text: str) -> bool:
        return any(property_path.contains(path, property_path.parse(text)) for path in named)

    detailed = {
        text: (kind if kind.endswith("_replace") or not forced(text) else f"{kind}_replace", of_input)
        for text, (kind, of_input) in diff.detailed.items()
    }
    reasons = [key for key in (*diff.changed, *diff.detailed) if forced(key)]
    if failed and forced(_INIT_ERROR):
        reasons.append(_INIT_ERROR)
    replaces = list(dict.fromkeys((*diff.replaces, *reasons)))
    return with_changes(diff, changes=diff.changes or bool(reasons), replaces=replaces, detailed=detailed)


def refuse_if_forbidden(run: Run, goal: Goal, old: Resource, new: Resource) -> None:
    """Raise RefusedError when a resource may not be replaced."""
    if new.protect and old.protect:
        raise RefusedError(
            "it would have to be replaced but is protected; remove the `protect` option and run up first"
        )
    if goal.import_id and not run.preview:
        raise RefusedError("an imported resource cannot be replaced; remove its `import` option first")


def replace(run: Run, goal: Goal, old: Resource, new: Resource, diff: Diff) -> None:
    """Replace a resource, in the order that the program or else the provider wants."""
    with run.lock:
        run.replaced.add(new.urn)
    delete_first = diff.delete_before_replace
    if goal.delete_before_replace is not None:
        delete_first = goal.delete_before_replace
    if not delete_first:
        run.steps.create(new, replaced=old, diff=diff, keep_old=True)
        run.steps.replace(old, new, diff)
        return
    with run.lock:
        condemned = _dependents(run, old)
        for dependent, reasons in condemned:
            if dependent.protect:
                raise RefusedError(f"{dependent.urn} would have to be replaced with it but is protected")
            run.deleted.add(dependent.urn)
            run.deleted_early[id(dependent)] = reasons
    gone = {*run.deleted, old.urn}
    for dependent, _ in reversed(condemned):
        run.steps.delete(Deletion(dependent, replacing=True, before_replacement=True), gone)
    if not old.pending_replacement:
        run.ensure_provider(old.provider)
        run.steps.delete(Deletion(old, replacing=True, before_replacement=True), gone)
    run.steps.replace(old, new, diff)
    run.steps.create(new, replaced=old, diff=diff)


def recreate(run: Run, old: Resource, new: Resource) -> None:
    """Make a resource again that was deleted because something that it depends on was replaced."""
    with run.lock:
        run.deleted.discard(new.urn)
        run.replaced.add(new.urn)
    diff = Diff(changes=True, replaces=run.deleted_early.get(id(old), []))
    run.steps.replace(old, new, diff)
    run.steps.create(new, replaced=old, diff=diff)


def _dependents(run: Run, root: Resource) -> list[tuple[Resource, list[str]]]:
    """Return what must go before `root` can, with the properties that make it so.

    That is whatever would itself be replaced once `root` has a new identity: what depends on it is compared
    by its provider with the inputs from `root` unknown.
    """
    found: list[tuple[Resource, list[str]]] = []
    condemned = {root.urn}
    settled = {*run.goals, *run.claimed} - {root.urn}
    for candidate in graph.dependents(root, run.resources, settled):
        if not candidate.custom or candidate.external or id(candidate) in run.deleted_early:
            continue
        reasons: list[str] = []
        if not condemned & {candidate.provider_urn(), candidate.deleted_with}:
            reasons = _reasons(run, candidate, condemned)
            if not reasons:
                continue
        run.ensure_provider(candidate.provider)
        found.append((candidate, reasons))
        condemned.add(candidate.urn)
    return found


def _reasons(run: Run, candidate: Resource, condemned: set[str]) -> list[str]:
    touched = [
        key
        for key, deps in candidate.property_dependencies.items()
        if key in candidate.inputs and condemned & set(deps)
    ]
    if not touched or candidate.is_provider:
        return []
    run.ensure_provider(candidate.provider)
    inputs = {**candidate.inputs, **dict.fromkeys(touched, UNKNOWN)}
    diff = resource_diff(run.providers.get(candidate.provider), candidate, inputs)
    return force(diff, candidate.replace_on_changes, failed=False).replaces
