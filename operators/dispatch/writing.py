"""RemoteJobs and their Workloads as they are now, and every write to them.

Each write carries the version that it was decided on, so that it fails (Conflict) where somebody else has
changed the object meanwhile: a leader before or after this one, a user, Kueue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.dispatch import status, workload
from operators.dispatch.reading import FINALIZER, status_of, title_of
from operators.dispatch.workload import Work
from operators.kube.client import MERGE, Cluster
from operators.kube.errors import NotFound
from operators.queues import API_VERSION as KUEUE
from operators.tenancy import Object

_log = logging.getLogger(__name__)


class JobCache:
    """The objects. What a write gives back is what they are from then on."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self.objects: dict[str, Object] = {}
        """uid -> RemoteJob."""
        self.workloads: dict[str, Object] = {}
        """uid of the RemoteJob -> its Workload."""

    def create_workload(self, uid: str, made: Object) -> Object:
        """Queue the job. Raises Conflict where its Workload is there already."""
        self.workloads[uid] = self._cluster.create(made)
        return self.workloads[uid]

    def patch_status(self, obj: Object, after: Object) -> None:
        """Have its status say this too."""
        changed = status.change(status_of(obj), after)
        if not changed:
            return
        metadata = obj["metadata"]
        self._keep(
            self._cluster.patch(
                *(API_VERSION, REMOTE_JOB, metadata["name"], metadata["namespace"]),
                {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": changed},
                content_type=MERGE,
                subresource="status",
            )
        )

    def set_finalizers(self, obj: Object, *, on: bool) -> None:
        """Put ours on, or take it off."""
        metadata = obj["metadata"]
        others = [one for one in metadata.get("finalizers", ()) if one != FINALIZER]
        patch = {
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*others, FINALIZER] if on else others,
        }
        self._keep(
            self._cluster.patch(
                API_VERSION, REMOTE_JOB, metadata["name"], metadata["namespace"], {"metadata": patch}
            )
        )

    def delete(self, obj: Object) -> None:
        """Have it leave."""
        _log.info("%s: leaves, it has been over for long enough", title_of(obj))
        metadata = obj["metadata"]
        try:
            # Its partner may have made another of that name meanwhile.
            self._cluster.delete(
                API_VERSION, REMOTE_JOB, metadata["name"], metadata["namespace"], uid=metadata["uid"]
            )
        except NotFound:
            return

    def _keep(self, obj: Object) -> None:
        self.objects[obj["metadata"]["uid"]] = obj

    def patch_workload(self, found: Object, patch: Object) -> None:
        """Change a Workload's status."""
        metadata = found["metadata"]
        changed = self._cluster.patch(
            KUEUE,
            workload.WORKLOAD,
            metadata["name"],
            metadata["namespace"],
            patch,
            subresource="status",
        )
        self.workloads[metadata["labels"][workload.JOB_LABEL]] = changed

    def finish_workload(self, obj: Object) -> None:
        """Give the quota back."""
        found = self.workloads.get(obj["metadata"]["uid"])
        if found is None or workload.read(found).finished:
            return
        said, now = status_of(obj), status.time(int(self._clock()))
        try:
            self.patch_workload(
                found,
                workload.finished(found, said.get("state") == "succeeded", said.get("message", ""), now),
            )
        except NotFound:
            self.workloads.pop(obj["metadata"]["uid"], None)

    def delete_workload(self, obj: Object, work: Work) -> None:
        """Take the job out of the queue."""
        _log.info("%s: queued anew", title_of(obj))
        self.workloads.pop(obj["metadata"]["uid"], None)
        try:
            self._cluster.delete(KUEUE, workload.WORKLOAD, work.name, obj["metadata"]["namespace"])
        except NotFound:
            return
