"""The steps that change a resource: each calls the provider, keeps the journal and tells what happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.engine.difference import changes_of, drift, resource_diff
from infra.engine.errors import EngineError
from infra.engine.events import Event, PropertyChange, StepFailed, StepFinished, StepStarted
from infra.engine.journal import Journal
from infra.engine.plugin import Diff, Plugin, ProviderFailedError
from infra.engine.properties import Properties, equal, mark_secrets
from infra.engine.providers import Providers
from infra.engine.state import Resource, now

LOGICAL = {"same", "create", "update", "replace", "delete", "refresh", "import"}


class HaltedError(Exception):
    """A step failed (which was told), or may not start because another did or the run was cancelled."""


@dataclass(frozen=True)
class Deletion:
    """How a resource is removed: for good, or as half of a replacement, perhaps before the other half."""

    resource: Resource
    replacing: bool = False
    before_replacement: bool = False

    @property
    def op(self) -> str:
        """The step's name."""
        return "delete-replaced" if self.replacing else "delete"


class Steps:
    """Runs steps, at most `parallel` at a time. Safe to use from several threads.

    A step that fails is told to `emit`, halts what has not started and raises HaltedError.
    """

    def __init__(
        self,
        journal: Journal,
        providers: Providers,
        emit: Callable[[Event], None],
        *,
        preview: bool,
        parallel: int,
    ) -> None:
        self._journal = journal
        self._providers = providers
        self._emit = emit
        self._preview = preview
        self._slots = threading.Semaphore(parallel)
        self.halted = threading.Event()

    def same(self, old: Resource, new: Resource) -> None:
        """Keep a resource as it is; what the engine alone knows of it may have changed."""
        new.id, new.outputs = old.id, self._marked(new, old.outputs)
        started = self._start(new, "same")
        if new.is_provider:
            self._providers.configure(new.urn, new.id, old.inputs)
        self._journal.end(None, old=old, new=new, write=_differs(old, new))
        self._finish(new, "same", started)

    def tell_same(self, resource: Resource) -> None:
        """Count a resource that no target names as the same: it stays, or does not come to be."""
        self._finish(resource, "same", self._start(resource, "same"))

    def create(
        self,
        new: Resource,
        *,
        replaced: Resource | None = None,
        diff: Diff | None = None,
        keep_old: bool = False,
    ) -> None:
        """Make a resource; `keep_old` leaves the one that it replaces to be deleted at the end."""
        op = "create" if replaced is None else "create-replacement"
        changes = () if replaced is None else changes_of(diff, replaced, new)
        with self._slot():
            started = self._start(new, op, changes)
            operation = self._journal.begin(new, "creating")
            failure = None
            try:
                if new.is_provider:
                    new.id = self._providers.create(new.urn, new.inputs, preview=self._preview)
                    new.outputs = dict(new.inputs)
                elif new.custom:
                    live = self._plugin(new).create(
                        new.urn, new.inputs, new.custom_timeouts.get("create", 0), self._preview
                    )
                    new.id, new.outputs = live.id, live.outputs
            except ProviderFailedError as error:
                failure = error
                if error.state is None:
                    # Nobody knows what the provider left: the create stays on record until that is settled.
                    self._fail(new, op, started, str(error))
                    raise HaltedError from error
                new.id, new.outputs = error.state.id, error.state.outputs
                new.init_errors = list(error.reasons)
            except EngineError as error:
                self._journal.end(operation)
                self._fail(new, op, started, str(error))
                raise HaltedError from error
            new.created = new.modified = now()
            new.outputs = self._marked(new, new.outputs)
            if keep_old and replaced is not None:
                replaced.delete = True
            finished = replaced if replaced is not None and replaced.pending_replacement else None
            self._journal.end(operation, old=finished, new=new)
            if failure is not None:
                self._fail(new, op, started, str(failure))
                raise HaltedError from failure
            self._finish(new, op, started, changes)

    def update(self, old: Resource, new: Resource, diff: Diff) -> None:
        """Change a resource in place."""
        new.id, new.created, new.modified = old.id, old.created, old.modified
        changes = changes_of(diff, old, new)
        with self._slot():
            started = self._start(new, "update", changes)
            operation = self._journal.begin(new, "updating")
            failure = None
            try:
                if new.is_provider:
                    self._providers.configure(new.urn, new.id, new.inputs)
                    new.outputs, new.modified = dict(new.inputs), now()
                elif new.custom:
                    new.outputs = self._plugin(new).update(old, new, preview=self._preview)
                    new.modified = now()
            except ProviderFailedError as error:
                failure = error
                if error.state is None:
                    self._journal.end(operation)
                    self._fail(new, "update", started, str(error))
                    raise HaltedError from error
                new.outputs, new.init_errors, new.modified = error.state.outputs, list(error.reasons), now()
            except EngineError as error:
                self._journal.end(operation)
                self._fail(new, "update", started, str(error))
                raise HaltedError from error
            new.outputs = self._marked(new, new.outputs)
            self._journal.end(operation, old=old, new=new)
            if failure is not None:
                self._fail(new, "update", started, str(failure))
                raise HaltedError from failure
            self._finish(new, "update", started, changes)

    def replace(self, old: Resource, new: Resource, diff: Diff) -> None:
        """Tell that a resource was, or is being, replaced; its halves are steps of their own."""
        changes = changes_of(diff, old, new)
        self._finish(new, "replace", self._start(new, "replace", changes), changes)

    def delete(self, deletion: Deletion, gone: Iterable[str]) -> None:
        """Remove a resource; `gone` are the URNs of all that this operation removes."""
        old, op = deletion.resource, deletion.op
        with self._slot():
            started = self._start(old, op)
            if old.protect and not deletion.replacing:
                message = (
                    f"resource {old.urn!r} cannot be deleted because it is protected; "
                    "remove the `protect` option from it in the program and run up first"
                )
                self._fail(old, op, started, message)
                raise HaltedError
            operation = self._journal.begin(old, "deleting")
            untouched = (
                old.external or old.retain_on_delete or (old.deleted_with and old.deleted_with in gone)
            )
            try:
                if old.custom and not (self._preview or untouched or old.is_provider):
                    self._plugin(old).delete(
                        old.urn, old.id, old.inputs, old.outputs, old.custom_timeouts.get("delete", 0)
                    )
            except (ProviderFailedError, EngineError) as error:
                self._journal.end(operation)
                self._fail(old, op, started, str(error))
                raise HaltedError from error
            if deletion.before_replacement:
                old.pending_replacement = True
            self._journal.end(operation, old=None if old.pending_replacement else old)
            self._finish(old, op, started)

    def forget(self, old: Resource) -> None:
        """Drop a resource that was deleted to be replaced and is wanted no more."""
        self._journal.end(None, old=old)

    def read(self, new: Resource, replaced: Resource | None) -> None:
        """Bring an existing resource, `new.import_id`, under management."""
        with self._slot():
            op = "import" if replaced is None else "import-replacement"
            started = self._start(new, op)
            operation = self._journal.begin(new, "importing")
            try:
                live = self._plugin(new).read(new.urn, new.import_id, None, None)
                if live is None:
                    raise ProviderFailedError(f"resource {new.import_id!r} does not exist")
                if live.inputs is None:
                    raise ProviderFailedError("the provider cannot import this kind of resource")
            except (ProviderFailedError, EngineError) as error:
                self._journal.end(operation)
                self._fail(new, op, started, str(error))
                raise HaltedError from error
            new.id, new.inputs, new.outputs = live.id, live.inputs, self._marked(new, live.outputs)
            new.created = new.modified = now()
            if replaced is not None:
                replaced.delete = True
            self._journal.end(operation, new=new)
            self._finish(new, op, started)

    def refresh(self, old: Resource) -> Resource | None:
        """Look a resource up; returns it as it is, None when it is gone."""
        with self._slot():
            started = self._start(old, "refresh")
            if not old.custom or old.is_provider or old.pending_replacement:
                self._finish(old, "refresh", started, result="same")
                return old
            try:
                live = self._plugin(old).read(old.urn, old.id, old.inputs, old.outputs)
                if live is None:
                    self._finish(old, "refresh", started, result="delete")
                    return None
                inputs = old.inputs if live.inputs is None else live.inputs
                new = old.copy(id=live.id, inputs=inputs, outputs=live.outputs, init_errors=[])
                new.outputs = self._marked(new, new.outputs)
                diff = resource_diff(self._plugin(old), new, old.inputs)
            except (ProviderFailedError, EngineError) as error:
                self._fail(old, "refresh", started, str(error))
                raise HaltedError from error
            if not (equal(inputs, old.inputs) and equal(new.outputs, old.outputs)):
                new.modified = now()
            changes = drift(old, new)
            self._finish(old, "refresh", started, changes, result="update" if diff.changes else "same")
            return new

    def fail(self, urn: str, op: str, message: str) -> None:
        """Tell of a step that could not even be planned, and halt."""
        self.halted.set()
        self._emit(StepFailed(urn, op, message))

    def _plugin(self, resource: Resource) -> Plugin:
        return self._providers.get(resource.provider)

    def _slot(self) -> _Slot:
        return _Slot(self._slots, self.halted)

    def _marked(self, new: Resource, outputs: Properties) -> Properties:
        return mark_secrets(outputs, new.inputs, new.additional_secret_outputs)

    def _start(self, resource: Resource, op: str, changes: tuple[PropertyChange, ...] = ()) -> float:
        self._emit(StepStarted(resource.urn, op, changes, op in LOGICAL))
        return time.monotonic()

    def _finish(
        self,
        resource: Resource,
        op: str,
        started: float,
        changes: tuple[PropertyChange, ...] = (),
        result: str = "",
    ) -> None:
        seconds = time.monotonic() - started
        self._emit(StepFinished(resource.urn, op, result or op, changes, op in LOGICAL, seconds))

    def _fail(self, resource: Resource, op: str, started: float, message: str) -> None:
        self.halted.set()
        self._emit(StepFailed(resource.urn, op, message, time.monotonic() - started))


class _Slot:
    """A place among the steps that run at a time; refused once the operation is halted."""

    def __init__(self, slots: threading.Semaphore, halted: threading.Event) -> None:
        self._slots = slots
        self._halted = halted

    def __enter__(self) -> None:
        self._slots.acquire()
        if self._halted.is_set():
            self._slots.release()
            raise HaltedError

    def __exit__(self, *_: object) -> None:
        self._slots.release()


def _differs(old: Resource, new: Resource) -> bool:
    """Tell whether a resource that stays the same must be written anew."""
    fields = (
        "urn",
        "type",
        "custom",
        "custom_timeouts",
        "retain_on_delete",
        "provider",
        "parent",
        "deleted_with",
        "protect",
    )
    return (
        any(getattr(old, name) != getattr(new, name) for name in fields)
        or not equal(old.inputs, new.inputs)
        or not equal(old.outputs, new.outputs)
        or sorted(old.dependencies) != sorted(new.dependencies)
    )
