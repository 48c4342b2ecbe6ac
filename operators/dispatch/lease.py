"""Leadership: of all processes that could dispatch, one does (https://kubernetes.io/docs/concepts/architecture/leases/).

Whoever holds the Lease renews it. It may act only while its own renewal is younger than the Lease's
duration, by a clock that nobody sets; another takes over only when it has seen the Lease unchanged for that
long. So before a step that cannot be taken back, ``holds(seconds)`` says whether the leadership lasts longer
than the step can take.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from operators.kube.client import Cluster
from operators.kube.errors import Conflict, KubernetesError
from operators.tenancy import Object

API_VERSION: Final = "coordination.k8s.io/v1"
DURATION: Final = 90  # seconds; longer than a submission may take, so that one can begin at all
RENEW: Final = 10.0  # seconds

_log = logging.getLogger(__name__)


class Leadership:
    """One candidate. ``run`` returns after ``stop`` is set, and has let go of the Lease then."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration: int = DURATION,
        renew: float = RENEW,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._cluster = cluster
        self._at = (name, namespace)
        self._identity = identity
        self._duration = duration
        self._renew = renew
        self._clock = clock
        self._until = 0.0
        self._term = 0
        self._seen: tuple[str, float] = ("", 0.0)

    @property
    def writer(self) -> str:
        """Holder and term, for what is written under this leadership."""
        return f"{self._identity}/{self._term}"

    def holds(self, seconds: float = 0) -> bool:
        """Whether this candidate leads, and will for so long at least."""
        return self._clock() + seconds < self._until

    def run(self, stop: threading.Event) -> None:
        """Try to lead, and stay the leader."""
        while not stop.is_set():
            try:
                self.look()
            except KubernetesError as error:
                _log.warning("lease: %s", error)
                stop.wait(self._renew)
                continue
            stop.wait(self._renew if self.holds() else min(self._renew, 2))
        if self.holds():
            self._until = 0.0
            try:
                self._write(self._get(), holder="")
            except KubernetesError as error:
                _log.warning("lease: %s", error)

    def look(self) -> None:
        """Renew the Lease, take it over if it is free, or leave it to its holder."""
        began = self._clock()
        found = self._get()
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = found["metadata"]["resourceVersion"]
        if holder and holder != self._identity:
            self._until = 0.0
            if self._seen[0] != version:
                self._seen = (version, began)
            if began < self._seen[1] + float(spec.get("leaseDurationSeconds") or self._duration):
                return
            _log.info("lease: %s is silent; taking over", holder)
        try:
            self._write(found, holder=self._identity, taken=holder != self._identity)
        except Conflict:
            self._until = 0.0
            return
        self._until = began + self._duration

    def _get(self) -> Object:
        name, namespace = self._at
        found = self._cluster.find(API_VERSION, "Lease", name, namespace)
        if found is None:
            metadata = {"name": name, "namespace": namespace}
            return self._cluster.create({"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata})
        return found

    def _write(self, found: Object, *, holder: str, taken: bool = False) -> None:
        """Raises Conflict where somebody else has written it meanwhile."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = found.get("spec") or {}
        term = int(before.get("leaseTransitions") or 0) + (1 if taken else 0)
        spec: Object = {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._duration,
            "renewTime": now,
            "leaseTransitions": term,
            **({"acquireTime": now} if taken else {}),
        }
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        self._cluster.patch(API_VERSION, "Lease", *self._at, {"metadata": version, "spec": spec})
        self._term = term
