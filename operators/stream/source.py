"""A stream: what is watched, and who listens to it, each in a reading of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True)
class Source(Generic[T]):
    """One resource of the API server, and the few fields of it that are wanted."""

    name: str
    """The metric label ``resource``: ``jobs``."""
    api_version: str
    kind: str
    decode: type[T]
    """A msgspec Struct; ``metadata.resource_version`` is among its fields."""
    field_selector: str = ""
    label_selector: str = ""
    required: bool = True
    """False where the server may not serve the kind: then it is looked for from time to time."""


@dataclass(frozen=True)
class Listener(Generic[T]):
    """Who is told of a stream's objects. What one listener reads or fails on is nothing to another."""

    sink: Sink[Any]
    read: Callable[[T], Any] | None = None
    """What the sink is given of an object, made as it arrives: a list is whole only when its last page
    is there, and what is not wanted of the first ones should not be held until then. None: all of it.
    """
    early: Callable[[list[Any]], None] | None = None
    """Is told of the first list page by page, as ``read`` made it, before the sink is told of all of it at
    once: to have done by then what would make it late. What is told early may be gone by then. Called as
    the sink is.
    """
    essential: bool = True
    """Whether the stream is listed only once this listener has taken the list. One that is not essential is
    told once: where it fails, that is counted and logged, and nobody waits for it.
    """


@dataclass(frozen=True)
class Stream(Generic[T]):
    """A source and its listeners. They are told of each thing in this order, under one lock."""

    source: Source[T]
    listeners: tuple[Listener[T], ...]
    past: Past[T] | None = None
    """Who wants to know also what happened before the first list."""

    def heard_by(self, listener: Listener[T]) -> Stream[T]:
        """The same stream with one listener more."""
        return replace(self, listeners=(*self.listeners, listener))


class Past(Protocol[T_contra]):
    """Who goes on from where an earlier process ended. Called as the sink is, by the same stream."""

    @property
    def since(self) -> int:
        """The version from which changes are wanted that are older than the first list; 0 for none."""

    def reach(self, version: int) -> None:
        """What is told next, here or to the sink, is of this version."""

    def missed(self, kind: str, obj: T_contra) -> None:
        """A change (ADDED, MODIFIED or DELETED) that is older than the first list. No sink is told."""

    def caught_up(self) -> None:
        """All is told that the server still knew: called after the first list, again only if it fails."""


class Sink(Protocol[T_contra]):
    """A listener's side of a stream. Its methods are never called by two threads at once."""

    def replace(self, objects: Iterable[T_contra]) -> None:
        """These are all there are now. To be gone through once."""

    def apply(self, obj: T_contra) -> None:
        """One is new or has changed."""

    def delete(self, obj: T_contra) -> None:
        """One is gone; as it was last."""
