"""Follows one resource: list, then watch from there; again from the last version after whatever breaks.

A watch is asked for ``WATCH_SECONDS`` only, and the server sends a bookmark shortly before its end
(https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks), so that longer silence
means a connection that is dead without saying so. Renewing a watch costs one small request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec
from tenacity import RetryCallState, Retrying, sleep_using_event, stop_when_event_set, wait_random_exponential

from operators.kube.client import Cluster
from operators.kube.errors import ApiError, Gone, NotFound, Silent, Unreachable
from operators.stream.source import Listener, Past, Stream
from operators.stream.wire import Change, Wire

T = TypeVar("T")

PAGE: Final = 1000  # objects
WATCH_SECONDS: Final = 10
GRACE: Final = 5.0  # seconds after a watch's end in which its last byte must have come
CATCH_UP_SECONDS: Final = 3
"""How long the watch for what was missed is asked for at first: its bookmark comes 2 s before its end."""
GATHER: Final = 0.05  # seconds after events in which the next ones are let come together ...
MANY: Final = 100  # ... unless so many have come together already
BACK_OFF: Final = 6.0  # seconds at most between two attempts
POLL: Final = 5.0  # seconds between two looks for a kind that is not served

_log = logging.getLogger(__name__)


@dataclass
class Health:
    """What a stream tells of itself. Changed under the lock that its sinks are called under."""

    heard: float
    """When the server was last heard of this resource, by the stream's clock."""
    listed: bool = False
    objects: int = 0
    lists: int = 0
    broken: int = 0
    """Objects that could not be decoded, and each that a listener failed on."""
    events: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)


class Reflector(Generic[T]):
    """Runs a stream. ``run`` returns after ``stop``; ``lock`` is held while a sink is called."""

    def __init__(
        self,
        cluster: Cluster,
        stream: Stream[T],
        lock: threading.RLock,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch_seconds: int = WATCH_SECONDS,
    ) -> None:
        self.source = stream.source
        self.health = Health(heard=clock())
        self._cluster = cluster
        self._listeners = stream.listeners
        self._past = stream.past
        self._lock = lock
        self._clock = clock
        self._watch_seconds = watch_seconds
        self._wire = Wire(stream.source)
        self._version = ""
        self._listed = 0
        """The version of the first list, while what is older than it is still being told."""
        self._stopping = threading.Event()

    def run(self) -> None:
        """List and watch until stopped, whatever happens."""
        while not self._stopping.is_set():
            again = Retrying(
                wait=wait_random_exponential(multiplier=0.25, max=BACK_OFF),
                sleep=sleep_using_event(self._stopping),
                stop=stop_when_event_set(self._stopping),
                before_sleep=self._tell,
                retry_error_callback=lambda _: None,
            )
            again(self._follow)

    def stop(self) -> None:
        """End at the next event, or at the end of the present watch."""
        self._stopping.set()

    def _follow(self) -> None:
        """One list where one is needed, and one watch. Raises what ended it, if that was no proper end."""
        try:
            path = self._cluster.path(self.source.api_version, self.source.kind)
            if not self._version:
                self._list(path)
            if not self._stopping.is_set():
                self._watch(path)
        except NotFound:
            if self.source.required:
                raise
            self._absent()
        except ApiError as error:
            # Gone, and whatever else the server does not like about this version.
            if error.status in (400, 410):
                if self._listed:
                    _log.warning("%s: what happened before the first list is forgotten", self.source.name)
                self._version = self._forget_past()
            raise

    def _list(self, path: str) -> None:
        pages: list[deque[list[Any]]] = [deque() for _ in self._listeners]
        count = broken = 0
        version = ""
        for body in self._bodies(path):
            page = self._wire.page(body)
            count, broken, version = count + len(page.objects), broken + page.broken, page.version
            for listener, theirs in zip(self._listeners, pages, strict=True):
                read = self._read(listener, page.objects)
                broken += len(page.objects) - len(read)
                theirs.append(read)
            self._hear()
            if self._stopping.is_set():
                return  # a part of a list is no truth: what it lacks is not gone
            if not self.health.listed:
                self._tell_early([theirs[-1] for theirs in pages])
        past = self._past
        with self._lock:
            first = not self.health.listed
            if past is not None:
                past.reach(int(version))
            self._replace([_consumed(theirs) for theirs in pages])
            self.health.objects = count
            self.health.broken += broken
            self.health.lists += 1
            self.health.listed = True
            self._version = version
            if past is not None and first:
                self._listed = int(version)
                # A version of the future is of another store.
                if 0 < past.since <= self._listed:
                    self._version = str(past.since)
                else:
                    self._forget_past()

    def _tell_early(self, read: list[list[Any]]) -> None:
        """A page of the first list; all of it is told again, so that what fails here is not lost."""
        with self._lock:
            for listener, objects in zip(self._listeners, read, strict=True):
                if listener.early is not None:
                    self._guard("early", listener.early, objects)

    def _replace(self, lists: Sequence[Iterable[Any]]) -> None:
        """Every listener is told all there is. Raises what the first essential one failed with."""
        failures = []
        for listener, objects in zip(self._listeners, lists, strict=True):
            try:
                listener.sink.replace(objects)
            except Exception as error:
                self.health.broken += 1
                if listener.essential:
                    failures.append(error)
                else:
                    _log.exception("%s: a listener failed on the list", self.source.name)
        if failures:
            raise failures[0]

    def _bodies(self, path: str) -> Iterator[bytes]:
        """The pages of a list; the server makes the next one while this one is gone through."""

        def page(more: str) -> bytes:
            query = self._query(limit=str(PAGE), **{"continue": more})
            silence = self._watch_seconds + GRACE
            return self._cluster.read(path, query, silence=silence, accept=self._wire.accept)

        with ThreadPoolExecutor(1) as ahead:
            body: bytes | None = page("")
            while body is not None:
                more = self._wire.more(body)
                following = ahead.submit(page, more) if more else None
                yield body
                body = following.result() if following else None

    def _watch(self, path: str) -> None:
        began = self._clock()
        seconds = min(CATCH_UP_SECONDS, self._watch_seconds) if self._listed else self._watch_seconds
        query = self._query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(seconds),
        )
        for lines in self._cluster.lines(path, query, silence=self._watch_seconds + GRACE):
            with self._lock:
                for line in lines:
                    self._take(self._wire.change(line))
            self._hear()
            # To be woken for every single event costs more than the event does.
            if self._stopping.wait(GATHER if len(lines) < MANY else 0):
                return
        self._hear()
        if self._listed and self._clock() - began >= seconds:
            self._version = self._forget_past()  # where no bookmark comes, its whole time must do
        # A server that ends watches at once is not asked more often than once a second.
        self._stopping.wait(1 - (self._clock() - began))

    def _take(self, change: Change[T]) -> None:
        self.health.events[change.type] += 1
        if change.object is None and change.type != "BOOKMARK":
            self.health.broken += 1
            _log.warning("%s: an object of version %s cannot be read", self.source.name, change.version)
        if self._past is not None:
            self._tell_past(self._past, change)
        elif change.object is not None:
            self._hand_on(change.type, change.object)
        self._version = change.version

    def _hand_on(self, kind: str, obj: T) -> None:
        self.health.objects += {"ADDED": 1, "DELETED": -1}.get(kind, 0)
        hand_on = _deleted if kind == "DELETED" else _applied
        for listener in self._listeners:
            self._guard(kind, hand_on, listener, obj)

    def _guard(self, kind: str, hand_on: Callable[..., None], *what: Any) -> None:
        try:
            hand_on(*what)
        except Exception:
            # One object that a listener cannot take must not stop the others, nor the other listeners.
            self.health.broken += 1
            _log.exception("%s: %s failed", self.source.name, kind)

    def _tell_past(self, past: Past[T], change: Change[T]) -> None:
        version = int(change.version)
        past.reach(version)
        older = version <= self._listed
        if change.object is not None and older:
            self._guard(change.type, past.missed, change.type, change.object)
        if self._listed and version >= self._listed:
            past.caught_up()
            self._listed = 0
        if change.object is not None and not older:
            self._hand_on(change.type, change.object)

    def _forget_past(self) -> str:
        """What was missed is told, or cannot be told: the version to go on from, empty to list anew."""
        with self._lock:
            version = str(max(self._listed, int(self._version))) if self._listed else ""
            if self._listed and self._past is not None:
                self._past.reach(int(version))
                self._past.caught_up()
                self._listed = 0
            return version

    def _read(self, listener: Listener[T], objects: list[T]) -> list[Any]:
        """What a listener is given of them, without those that it cannot read."""
        if listener.read is None:
            return objects
        read = []
        for obj in objects:
            try:
                read.append(listener.read(obj))
            except Exception:
                _log.exception("%s: %s cannot be read, and is left out", self.source.name, _name(obj))
        return read

    def _absent(self) -> None:
        """The server answers, and serves no such kind (any more)."""
        with self._lock:
            if self.health.objects or not self.health.listed:
                self._replace([() for _ in self._listeners])
            self.health.objects = 0
            self.health.listed = True
        self._version = ""
        self._hear()
        self._stopping.wait(POLL)

    def _query(self, **others: str) -> dict[str, str]:
        selectors = {
            "fieldSelector": self.source.field_selector,
            "labelSelector": self.source.label_selector,
        }
        return {**selectors, **others}

    def _hear(self) -> None:
        self.health.heard = self._clock()

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = next((name for kind, name in _REASONS if isinstance(error, kind)), "failed")
        with self._lock:
            self.health.restarts[reason] += 1
        # What the server does comes and goes; what fails here is a fault of ours, and stays.
        ours = reason == "failed"
        _log.log(
            logging.ERROR if ours else logging.WARNING,
            *("%s: %s: %s", self.source.name, reason, error),
            exc_info=error if ours else None,
        )


_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (Silent, "stalled"),
    (Unreachable, "unreachable"),
    (Gone, "gone"),
    (ApiError, "refused"),
    (msgspec.DecodeError, "unreadable"),
)


def _name(obj: Any) -> str:
    """Never raises; what has no namespace may be read without the field."""
    namespace, name = (getattr(obj.metadata, field, None) for field in ("namespace", "name"))
    return f"{namespace}/{name}" if namespace else str(name)


def _applied(listener: Listener[T], obj: T) -> None:
    listener.sink.apply(obj if listener.read is None else listener.read(obj))


def _deleted(listener: Listener[T], obj: T) -> None:
    listener.sink.delete(obj if listener.read is None else listener.read(obj))


def _consumed(pages: deque[list[Any]]) -> Iterator[Any]:
    """Every object once; a page is let go of when it has been gone through."""
    while pages:
        yield from pages.popleft()
