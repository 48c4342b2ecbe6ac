"""What the dispatch watches: RemoteJobs and their Workloads, Tenants, RemoteSites, as whole objects."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct, field, to_builtins

from operators.api import API_VERSION, remote_job, remote_site, tenant
from operators.dispatch.workload import JOB_LABEL, WORKLOAD
from operators.queues import API_VERSION as KUEUE
from operators.stream.source import Listener, Source, Stream
from operators.tenancy import Object


class Metadata(Struct, omit_defaults=True):
    """The fields of an object's metadata that are wanted, in the API's spelling when written out."""

    name: str
    uid: str
    resource_version: str = field(name="resourceVersion")
    namespace: str = ""
    generation: int = 0
    creation: str = field(name="creationTimestamp", default="")
    deletion: str = field(name="deletionTimestamp", default="")
    finalizers: list[str] = []
    labels: dict[str, str] = {}


class Whole(Struct, omit_defaults=True):
    """An object of the API."""

    metadata: Metadata
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


def _plain(obj: Whole) -> Object:
    plain: Object = to_builtins(obj)
    return plain


SOURCES: Final = (
    Source("remotesites", API_VERSION, remote_site.KIND, Whole, required=False),
    Source("tenants", API_VERSION, tenant.KIND, Whole, required=False),
    Source("workloads", KUEUE, WORKLOAD, Whole, label_selector=JOB_LABEL, required=False),
    Source("remotejobs", API_VERSION, remote_job.KIND, Whole, required=False),
)


def streams(inbox: queue.SimpleQueue[Any]) -> tuple[Stream[Whole], ...]:
    """Every source, told to the inbox."""
    return tuple(Stream(source, (Listener(Feed(source.name, inbox), read=_plain),)) for source in SOURCES)


@dataclass(frozen=True)
class Change:
    """An object is new, has changed, or (``gone``) is as it was last."""

    source: str
    object: Object
    gone: bool = False


@dataclass(frozen=True)
class Listing:
    """These are all there are."""

    source: str
    objects: tuple[Object, ...]


class Feed:
    """Hands what a stream tells to the dispatch's inbox."""

    def __init__(self, source: str, inbox: queue.SimpleQueue[Any]) -> None:
        self._source = source
        self._inbox = inbox

    def replace(self, objects: Iterable[Object]) -> None:
        """All there are now."""
        self._inbox.put(Listing(self._source, tuple(objects)))

    def apply(self, obj: Object) -> None:
        """One is new or has changed."""
        self._inbox.put(Change(self._source, obj))

    def delete(self, obj: Object) -> None:
        """One is gone."""
        self._inbox.put(Change(self._source, obj, gone=True))
