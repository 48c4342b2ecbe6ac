"""All streams of the operator: a thread a resource, one lock for all that they change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from operators.exposition.store import Store
from operators.kube.client import Cluster
from operators.stream.reflector import WATCH_SECONDS, Reflector
from operators.stream.source import Stream


class Dispatcher:
    """Runs the streams, and tells in the store how they are."""

    def __init__(
        self,
        cluster: Cluster,
        streams: Iterable[Stream[Any]],
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch_seconds: int = WATCH_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._reflectors = [
            Reflector(cluster, stream, store.writing, clock=clock, watch_seconds=watch_seconds)
            for stream in streams
        ]
        self._threads = [
            threading.Thread(target=reflector.run, name=f"watch-{reflector.source.name}", daemon=True)
            for reflector in self._reflectors
        ]
        store.on_scrape(self._publish)

    def start(self) -> None:
        """Begin to list and watch; returns at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the streams to end; they do at their next event, or at the end of their watch."""
        for reflector in self._reflectors:
            reflector.stop()

    def waiting_for(self) -> list[str]:
        """Resources that were not listed yet; with none left, every figure is the cluster's."""
        return [r.source.name for r in self._reflectors if not r.health.listed]

    def report(self) -> dict[str, Any]:
        """How each stream is, as a document: whether its list was told, and seconds since it was heard."""
        now = self._clock()
        return {
            "streams": [
                {
                    "resource": reflector.source.name,
                    "listed": reflector.health.listed,
                    "age_seconds": round(now - reflector.health.heard, 3),
                    "objects": reflector.health.objects,
                    "errors": reflector.health.broken,
                }
                for reflector in self._reflectors
            ]
        }

    def _publish(self) -> None:
        now = self._clock()
        for reflector in self._reflectors:
            name, health = reflector.source.name, reflector.health
            self._store.set("antenna_operator_watch_age_seconds", (name,), round(now - health.heard, 3))
            self._store.set("antenna_operator_objects", (name,), health.objects)
            self._store.set("antenna_operator_lists_total", (name,), health.lists)
            self._store.set("antenna_operator_event_errors_total", (name,), health.broken)
            for reason, count in health.restarts.items():
                self._store.set("antenna_operator_watch_restarts_total", (name, reason), count)
            for kind, count in health.events.items():
                self._store.set("antenna_operator_events_total", (name, kind), count)
