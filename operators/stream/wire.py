"""What the API server sends, decoded straight into the source's struct (https://kubernetes.io/docs/reference/using-api/api-concepts/).

Pure: bytes in, structs out. Lists come as protobuf where there is a reading of it, events always as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from msgspec import DecodeError, Raw, Struct, field
from msgspec.json import Decoder

from operators.kube.errors import ApiError, api_error
from operators.stream import protobuf
from operators.stream.source import Source

T = TypeVar("T")

_JSON: Final = "application/json"


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list."""

    objects: list[T]
    broken: int
    """Objects left out: they do not fit the struct."""
    version: str


@dataclass(frozen=True)
class Change(Generic[T]):
    """One event of a watch. ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    version: str
    object: T | None
    """None for a bookmark, and for an object that does not fit the struct."""


class Wire(Generic[T]):
    """Decodes one source's lists and events."""

    def __init__(self, source: Source[T]) -> None:
        self._protobuf = protobuf.LISTS.get(source.decode)
        self.accept = _JSON if self._protobuf is None else f"{protobuf.MEDIA_TYPE},{_JSON}"
        """What to accept of lists, as the header of that name has it."""
        self._object: Decoder[T] = Decoder(source.decode)
        self._page: Decoder[Any] = Decoder(_LIST[source.decode])
        self._event: Decoder[Any] = Decoder(_EVENT[source.decode])

    def more(self, body: bytes) -> str:
        """The token of the page that follows this one, empty on the last one. Raises as ``page`` does.

        The objects are skipped: that takes a tenth of the time that decoding them does.
        """
        if self._protobuf is not None and protobuf.is_protobuf(body):
            return self._protobuf.more(body)
        return _MARK.decode(body).metadata.continue_

    def page(self, body: bytes) -> Page[T]:
        """Raises msgspec.DecodeError where it is no list at all."""
        if self._protobuf is not None and protobuf.is_protobuf(body):
            objects, version = self._protobuf.objects(body)
            return Page(objects, 0, version)
        try:
            page = self._page.decode(body)
        except DecodeError:
            return self._piecemeal(body)
        return Page(page.items, 0, page.metadata.resourceVersion)

    def change(self, line: bytes) -> Change[T]:
        """Raises the ApiError that ends a watch, and msgspec.DecodeError on what is no event."""
        try:
            event = self._event.decode(line)
        except DecodeError:
            event = None
        if event is not None and event.type in _CHANGES:
            return Change(event.type, event.object.metadata.resource_version, event.object)
        bare = _BARE.decode(line)
        if bare.type == "ERROR":
            raise _error(bare.object)
        return Change(bare.type, _MARK.decode(bare.object).metadata.resourceVersion, None)

    def _piecemeal(self, body: bytes) -> Page[T]:
        """One object that does not fit must not hide the others."""
        page = _RAW_LIST.decode(body)
        objects = []
        for item in page.items:
            try:
                objects.append(self._object.decode(item))
            except DecodeError:
                continue
        broken = len(page.items) - len(objects)
        return Page(objects, broken, page.metadata.resourceVersion)


class _Metadata(Struct):
    resourceVersion: str = ""  # noqa: N815 (the API's own name)
    continue_: str = field(default="", name="continue")


class _List(Struct, Generic[T]):
    metadata: _Metadata
    items: list[T]


class _Event(Struct, Generic[T]):
    type: str
    object: T


class _Mark(Struct):
    metadata: _Metadata


# Which struct they hold is known at run time only.
_LIST: Final[Any] = _List
_EVENT: Final[Any] = _Event
_CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
_BARE: Final = Decoder(_Event[Raw])
_MARK: Final = Decoder(_Mark)
_RAW_LIST: Final = Decoder(_List[Raw])
_STATUS: Final = Decoder(dict[str, Any])


def _error(status: Raw) -> ApiError:
    return api_error(_STATUS.decode(status))
