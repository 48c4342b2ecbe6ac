"""How two states of a resource differ: for the engine to decide on, and for people to see."""

from __future__ import annotations

from collections.abc import Mapping

from infra.engine import property_path
from infra.engine.events import PropertyChange
from infra.engine.plugin import Diff, Plugin
from infra.engine.properties import Properties, changed_keys, mask
from infra.engine.state import Resource


def resource_diff(plugin: Plugin, old: Resource, inputs: Properties) -> Diff:
    """Let the provider compare a resource with new inputs; compare here if it leaves the answer open."""
    diff = plugin.diff(old, inputs)
    if diff.changes is not None:
        return diff
    wanted = property_path.ignore_changes(inputs, old.inputs, old.ignore_changes)
    changed = changed_keys(old.inputs, wanted)
    return Diff(
        changes=bool(changed),
        replaces=diff.replaces,
        changed=changed,
        delete_before_replace=diff.delete_before_replace,
        detailed={key: (_kind(key, old.inputs, wanted), True) for key in changed},
    )


def changes_of(diff: Diff | None, old: Resource, new: Resource) -> tuple[PropertyChange, ...]:
    """Return the differences property by property, for people to see."""
    if diff is None:
        return ()
    detailed = dict(diff.detailed) or {
        key: (_kind(key, old.inputs, new.inputs), True)
        for key in diff.changed or changed_keys(old.inputs, new.inputs)
    }
    for key in diff.replaces:
        if key in detailed:
            detailed[key] = (detailed[key][0].removesuffix("_replace") + "_replace", detailed[key][1])
    found = []
    for text, (kind, of_input) in sorted(detailed.items()):
        path = property_path.parse(text)
        before = property_path.get(mask(old.inputs if of_input else old.outputs), path)
        after = property_path.get(mask(new.inputs), path)
        found.append(
            PropertyChange(text, kind.removesuffix("_replace"), kind.endswith("_replace"), before, after)
        )
    return tuple(found)


def drift(old: Resource, new: Resource) -> tuple[PropertyChange, ...]:
    """Return what a refresh found changed, property by property."""
    before, after = mask(old.outputs), mask(new.outputs)
    return tuple(
        PropertyChange(key, _kind(key, before, after), False, before.get(key), after.get(key))
        for key in changed_keys(old.outputs, new.outputs)
    )


def _kind(key: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    return "add" if key not in old else "delete" if key not in new else "update"
