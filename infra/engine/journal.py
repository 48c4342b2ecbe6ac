"""Keeps the state file true while an operation runs, so that a kill at any moment loses nothing.

Each change of the state is written before the next step may rely on it: what is about to be done, what was
done. What did not change is written with the next change, or at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from infra.engine import graph
from infra.engine.state import Operation, Resource, Snapshot, normalise_aliases

_SETTLED_BY_RESOURCE = "creating"


class Journal:
    """The state of a stack under change. Safe to use from several threads.

    `write` is called with each new snapshot; None for a preview, which writes nothing.
    """

    def __init__(self, base: Snapshot, write: Callable[[Snapshot], None] | None) -> None:
        self._base = list(base.resources)
        # A create that a killed run left open stays on record until the resource is there or was cleaned up.
        self._unsettled = [operation for operation in base.pending if operation.type == _SETTLED_BY_RESOURCE]
        self._write = write
        self._new: list[Resource] = []
        self._done: set[int] = set()
        self._operations: list[Operation] = []
        self._dirty = False
        self._lock = threading.RLock()

    @property
    def unsettled(self) -> tuple[Operation, ...]:
        """The creates that an earlier run began and never finished."""
        with self._lock:
            return tuple(self._unsettled)

    def begin(self, resource: Resource, type_: str) -> Operation:
        """Record that something is about to be done to a resource."""
        operation = Operation(resource, type_)
        with self._lock:
            self._operations.append(operation)
            self._save()
        return operation

    def end(
        self,
        operation: Operation | None,
        *,
        old: Resource | None = None,
        new: Resource | None = None,
        write: bool = True,
    ) -> None:
        """Record that an operation is over: `old` is no more, `new` has come to be."""
        with self._lock:
            if operation is not None:
                self._operations.remove(operation)
            if old is not None:
                self._done.add(id(old))
            if new is not None:
                self._new.append(new)
                self._unsettled = [
                    item for item in self._unsettled if item.resource.urn not in (new.urn, *new.aliases)
                ]
            if write:
                self._save()
            else:
                self._dirty = True

    def settle(self, operation: Operation) -> None:
        """Forget a create that an earlier run left open: nothing of it remains."""
        with self._lock:
            self._unsettled.remove(operation)
            self._save()

    def rebase(self, resources: Iterable[Resource]) -> None:
        """Replace the resources that the operation starts from, after a refresh."""
        with self._lock:
            self._base = list(resources)
            self._new, self._done = [], set()
            self._save()

    def touch(self) -> None:
        """Write what the resources hold now; their outputs were changed in place."""
        with self._lock:
            self._save()

    def close(self) -> None:
        """Write what was not worth a write of its own."""
        with self._lock:
            if self._dirty:
                self._save()

    def snapshot(self) -> Snapshot:
        """Return the state as it is now."""
        with self._lock:
            resources = [r for r in (*self._new, *self._base) if id(r) not in self._done]
            # A resource that no target named may stand on one that has left the program and is kept for that.
            ordered = graph.in_order(normalise_aliases(resources))
            return Snapshot(tuple(ordered), (*self._operations, *self._unsettled))

    def _save(self) -> None:
        self._dirty = False
        if self._write is not None:
            self._write(self.snapshot())
