"""Decides what becomes of each resource that the program registers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from infra.engine import aliases, deletion, property_path, replacement
from infra.engine import urn as urns
from infra.engine.difference import resource_diff
from infra.engine.errors import UnsupportedError
from infra.engine.goal import Goal, default_provider, inherit
from infra.engine.plugin import Diff, Plugin
from infra.engine.properties import Properties, contains, equal, is_unknown
from infra.engine.run import RefusedError, Run
from infra.engine.state import Resource
from infra.engine.steps import HaltedError


@dataclass(frozen=True)
class Registered:
    """What the program is told. `unknown` when a target left the resource out and it does not exist yet."""

    resource: Resource
    unknown: bool = False


class Deployment:
    """The program's side of an operation. `register` is called from many threads at once."""

    def __init__(self, run: Run, provider_config: Callable[[str], Properties]) -> None:
        self._run = run
        self._provider_config = provider_config
        self._default_lock = threading.Lock()
        self._defaults: dict[tuple[str, str], str] = {}
        self._component_providers: dict[str, dict[str, str]] = {}
        self._stack_outputs: tuple[str, Properties] | None = None

    def register(self, goal: Goal) -> Registered:
        """Bring one resource about.

        Raises RefusedError, UnsupportedError, ProviderFailedError, or HaltedError for what was told already.
        """
        run = self._run
        if run.steps.halted.is_set():
            raise HaltedError
        goal = self._complete(goal)
        urn = urns.make(run.stack, run.project, goal.parent, goal.type, goal.name)
        with run.lock:
            if urn in run.goals:
                raise RefusedError(f"duplicate resource URN {urn!r}; give it a unique name")
            if goal.parent and goal.parent not in run.goals:
                raise RefusedError(f"{urn}: its parent {goal.parent} was not registered")
            run.goals[urn] = goal
            old, alias = self._find_old(urn, goal)
        registered = self._import_or_decide(goal, old, _resource(urn, goal, old, alias))
        with run.lock:
            run.news[urn] = registered.resource
        return registered

    def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Take the outputs of a component; the stack's count once the operation has succeeded."""
        if urns.type_of(urn) == urns.STACK_TYPE:
            self._stack_outputs = (urn, outputs)
            return
        with self._run.lock:
            if urn in self._run.skipped:
                return
            if urn not in self._run.news:
                raise RefusedError(f"outputs for {urn}, which was not registered")
            new = self._run.news[urn]
        self._set_outputs(new, outputs)

    def finish(self, *, succeeded: bool) -> None:
        """After the program: delete what it did not register, then settle the stack's outputs."""
        run = self._run
        if succeeded:
            deletion.settle_interrupted(run)
            deletion.delete(run, deletion.unregistered(run))
        if self._stack_outputs is None or self._stack_outputs[0] not in run.news:
            return
        urn, outputs = self._stack_outputs
        if urn in run.olds and (not succeeded or run.steps.halted.is_set()):
            # After a failure a missing output says nothing: the earlier ones stay.
            outputs = {**run.olds[urn].outputs, **outputs}
        self._set_outputs(run.news[urn], outputs)

    def _import_or_decide(self, goal: Goal, old: Resource | None, new: Resource) -> Registered:
        run = self._run
        plugin = run.providers.get(goal.provider) if goal.custom and not new.is_provider else None
        known_id = (old.import_id or old.id) if old is not None else ""
        if not (plugin and goal.import_id and known_id != goal.import_id):
            return self._decide(goal, old, new, plugin)
        replaced = None if new.urn in run.deleted else old
        imported = new.copy()
        run.steps.read(imported, replaced)
        if replaced is not None:
            run.steps.replace(replaced, imported, Diff(changes=True))
            with run.lock:
                run.replaced.add(new.urn)
        return self._decide(goal, imported, new, plugin, imported=True)

    def _decide(
        self,
        goal: Goal,
        old: Resource | None,
        new: Resource,
        plugin: Plugin | None,
        *,
        imported: bool = False,
    ) -> Registered:
        run = self._run
        recreating = new.urn in run.deleted
        implicit = new.is_provider or new.type == urns.STACK_TYPE
        if not implicit and not run.is_target(new.urn):
            return self._leave_out(old, new)
        missing = sorted((new.references() | {new.parent}) & run.skipped)
        if missing:
            raise RefusedError(
                f"it needs {missing[0]}, which does not exist and is not a target; name it as a target too"
            )
        if old is None:
            new.inputs = self._check(new, None, goal.inputs, plugin)
            run.steps.create(new)
            return Registered(new)
        if recreating:
            new.inputs = self._check(new, None, goal.inputs, plugin)
            replacement.recreate(run, old, new)
            return Registered(new)
        inputs = property_path.ignore_changes(new.inputs, old.inputs, goal.ignore_changes)
        new.inputs = self._check(new, old.inputs, inputs, plugin)
        diff = self._diff(goal, old, new, plugin)
        if old.pending_replacement or (diff.changes and diff.replaces):
            replacement.refuse_if_forbidden(run, goal, old, new)
            new.inputs = self._check(new, None, goal.inputs, plugin)
            replacement.replace(run, goal, old, new, diff)
        elif diff.changes or old.init_errors:
            run.steps.update(old, new, diff)
        elif imported:
            return Registered(old)
        else:
            run.steps.same(old, new)
        return Registered(new)

    def _check(
        self, new: Resource, old_inputs: Properties | None, inputs: Properties, plugin: Plugin | None
    ) -> Properties:
        if new.is_provider:
            checked, failures = self._run.providers.check(new.urn, old_inputs or {}, inputs)
        elif plugin is not None:
            checked, failures = plugin.check(new.urn, old_inputs, inputs, os.urandom(32))
        else:
            return inputs
        if failures:
            raise RefusedError(
                "; ".join(f"{name}: {reason}" if name else reason for name, reason in failures)
            )
        if not self._run.preview and contains(checked, is_unknown):
            raise RefusedError("an input is still unknown while the resource is to be made")
        return checked

    def _diff(self, goal: Goal, old: Resource, new: Resource, plugin: Plugin | None) -> Diff:
        if new.deleted_with and new.deleted_with in self._run.replaced:
            return Diff(changes=True, replaces=["deletedWith"])
        if self._provider_changed(old, new):
            return Diff(changes=True, replaces=["provider"])
        if new.is_provider:
            diff = self._run.providers.diff(new.urn, old.inputs, new.inputs)
        elif plugin is None:
            return Diff(changes=not equal(old.inputs, new.inputs))
        else:
            known = old.copy(urn=new.urn, ignore_changes=list(goal.ignore_changes))
            diff = resource_diff(plugin, known, new.inputs)
        return replacement.force(diff, goal.replace_on_changes, failed=bool(old.init_errors))

    def _provider_changed(self, old: Resource, new: Resource) -> bool:
        if old.provider == new.provider:
            return False
        run = self._run
        was, now = run.olds.get(old.provider_urn()), run.news.get(new.provider_urn())
        if was is None or now is None:
            return True
        if run.claimed.get(was.urn) == now.urn:
            return False
        return bool(run.providers.get(new.provider).diff_config(now.urn, was.inputs, now.inputs).replaces)

    def _leave_out(self, old: Resource | None, new: Resource) -> Registered:
        """Treat a resource that no target names: it stays as it was, or does not come to be."""
        if old is None:
            with self._run.lock:
                self._run.skipped.add(new.urn)
            self._run.steps.tell_same(new)
            return Registered(new, unknown=True)
        kept = old.copy(urn=new.urn, aliases=new.aliases)
        self._run.steps.same(old, kept)
        return Registered(kept)

    def _find_old(self, urn: str, goal: Goal) -> tuple[Resource | None, str]:
        """Return the resource's last state, and the earlier URN under which it was found, if it was."""
        run = self._run
        if urn in run.claimed:
            raise RefusedError(f"{urn} was already claimed as an earlier name of {run.claimed[urn]}")
        renamed = {new: old for old, new in run.claimed.items()}
        if urn in run.olds:
            return run.olds[urn], ""
        for candidate in aliases.candidates(goal, run.project, run.stack, renamed):
            if candidate in run.olds:
                if candidate in run.goals or candidate in run.claimed:
                    raise RefusedError(
                        f"its alias {candidate} is a resource of its own, or another one's alias"
                    )
                run.claimed[candidate] = urn
                return run.olds[candidate], candidate
        return None, ""

    def _complete(self, goal: Goal) -> Goal:
        """Fill in what the parent decides, and the provider."""
        run = self._run
        with run.lock:
            if goal.parent in run.goals:
                goal = inherit(goal, run.goals[goal.parent])
            inherited = self._component_providers.get(goal.parent, {})
            if not goal.custom:
                urn = urns.make(run.stack, run.project, goal.parent, goal.type, goal.name)
                self._component_providers[urn] = {**inherited, **goal.providers}
        if not goal.custom or urns.is_provider(goal.type):
            return goal
        package = urns.package_of(goal.type)
        provider = goal.provider or goal.providers.get(package) or inherited.get(package)
        return replace(goal, provider=provider or self._default_provider(package, goal.version))

    def _default_provider(self, package: str, version: str) -> str:
        if package == "pulumi":
            raise UnsupportedError("the package `pulumi` (such as StackReference) needs the official engine")
        with self._default_lock:
            if (package, version) not in self._defaults:
                made = self.register(
                    default_provider(package, version, self._provider_config(package))
                ).resource
                self._defaults[(package, version)] = f"{made.urn}::{made.id}"
            return self._defaults[(package, version)]

    def _set_outputs(self, new: Resource, outputs: Properties) -> None:
        with self._run.lock:
            changed = not equal(new.outputs, outputs)
            new.outputs = outputs
        if changed:
            self._run.journal.touch()


def _resource(urn: str, goal: Goal, old: Resource | None, alias: str) -> Resource:
    return Resource(
        urn=urn,
        type=goal.type,
        custom=goal.custom,
        inputs=goal.inputs,
        parent=goal.parent,
        protect=bool(goal.protect),
        dependencies=list(goal.dependencies),
        property_dependencies={key: list(deps) for key, deps in goal.property_dependencies.items()},
        provider=goal.provider,
        additional_secret_outputs=list(goal.additional_secret_outputs),
        aliases=[alias] if alias else [],
        custom_timeouts=dict(goal.custom_timeouts),
        import_id=goal.import_id,
        retain_on_delete=bool(goal.retain_on_delete),
        deleted_with=goal.deleted_with,
        created=old.created if old else "",
        modified=old.modified if old else "",
        source_position=goal.source_position,
        stack_trace=[{"sourcePosition": place} for place in goal.stack_trace],
        ignore_changes=list(goal.ignore_changes),
        hide_diff=[list(property_path.parse(text)) for text in goal.hide_diff],
        replace_on_changes=list(goal.replace_on_changes),
    )
