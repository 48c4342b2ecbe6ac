"""What is watched, and who is told: the two ends of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
    read: Callable[[T], Any] | None = None
    """What the sink is given of an object, made as it arrives: a list is whole only when its last page
    is there, and what is not wanted of the first ones should not be held until then. None: all of it.
    """
    required: bool = True
    """False where the server may not serve the kind: then it is looked for from time to time."""


class Sink(Protocol[T_contra]):
    """A collector's side of a stream. Its methods are never called by two threads at once."""

    def replace(self, objects: Iterable[T_contra]) -> None:
        """These are all there are now. To be gone through once."""

    def apply(self, obj: T_contra) -> None:
        """One is new or has changed."""

    def delete(self, obj: T_contra) -> None:
        """One is gone; as it was last."""
