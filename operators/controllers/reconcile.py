"""Carries out what is decided about a Tenant: reads the cluster, applies, deletes, writes the status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from operators.api import API_VERSION
from operators.api.tenant import KIND, TenantSpec
from operators.controllers import decisions, usage
from operators.controllers.decisions import Observed, Ready, Refusal
from operators.kube.client import Cluster
from operators.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, NotReady
from operators.queues import API_VERSION as KUEUE
from operators.tenancy import FINALIZER, TENANT_LABEL, Object, namespace_name

MANAGER: Final = "antenna-operator"
RBAC: Final = "rbac.authorization.k8s.io/v1"

# Kinds that are made inside a partner's namespace.
INNER: Final = (
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    (RBAC, "Role"),  # of earlier versions: they go
    (RBAC, "RoleBinding"),
    (KUEUE, "LocalQueue"),
)

# Seconds until a Tenant is looked at again if nothing happens: when all is well, when it is refused or not
# ready yet, when it goes, and when something has changed during the look.
CALM: Final = 60.0
UNSETTLED: Final = 5.0
LEAVING: Final = 1.0
AT_ONCE: Final = 0.0
# Seconds between two writes of figures that follow the work.
FIGURES: Final = 2.0

# What admission compares with is its own copy of the Tenants, which may be a moment older than what was read.
_patiently = retry(
    retry=retry_if_exception_type(Forbidden), stop=stop_after_attempt(4), wait=wait_fixed(0.5), reraise=True
)

_log = logging.getLogger(__name__)


@dataclass
class Reconciler:
    """Brings one Tenant after the other in line. One Tenant is never handled by two threads at once."""

    cluster: Cluster
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _figures_written: dict[str, float] = field(default_factory=dict)
    _oldest: dict[str, str] = field(default_factory=dict)

    def reconcile(self, name: str) -> float | None:
        """Do what is to be done now. Seconds until the next look, or None: there is no such Tenant.

        Raises KubernetesError where it could not be done.
        """
        tenant = self.cluster.find(API_VERSION, KIND, name)
        if tenant is None:
            self._figures_written.pop(name, None)
            self._oldest.pop(name, None)
            return None
        if "deletionTimestamp" in tenant["metadata"]:
            return self._take_down(tenant)
        return self._bring_up(tenant)

    def _bring_up(self, tenant: Object) -> float:
        name = tenant["metadata"]["name"]
        try:
            spec = TenantSpec.model_validate(tenant["spec"])
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return self._write(tenant, Ready(False, "Invalid", wrong, stalled=True), None)
        children = self._children(name)
        # Read again after them: a child that lost its owner lost it to a deletion that shows now, and must
        # not get it back.
        live = self.cluster.find(API_VERSION, KIND, name)
        if live is None or _moved_on(live, tenant):
            return AT_ONCE
        plan = decisions.plan(tenant, spec, self._observe(tenant, spec, children))
        if FINALIZER not in tenant["metadata"].get("finalizers", ()):
            self._hold(tenant)
        queue = children.get(("ClusterQueue", name))
        try:
            # What gives rights that are not to be goes first; what something may still point to goes last.
            first, last = _in_turn(plan.delete)
            for obj in first:
                self._delete(obj)
            for obj in plan.apply:
                _log.info("tenant %s: applying %s %s", name, *decisions.key(obj))
                applied = self._apply(obj, children.get(decisions.key(obj)))
                queue = applied if obj["kind"] == "ClusterQueue" else queue
            for obj in last:
                self._delete(obj)
        except NotReady:
            raise
        except Conflict:
            return AT_ONCE  # a child has changed since it was read
        except ApiError as error:
            self._write(tenant, Ready(False, "ApplyFailed", str(error)), queue)
            raise
        ours = queue if queue and decisions.belongs(queue, tenant) else None
        return self._write(tenant, decisions.said_of(plan, ours), ours)

    def _take_down(self, tenant: Object) -> float | None:
        """Delete what is the Tenant's and let it go once that is gone."""
        finalizers = tenant["metadata"].get("finalizers", ())
        if FINALIZER not in finalizers:
            return None
        name = tenant["metadata"]["name"]
        if "orphan" in finalizers:
            # Deleted with --cascade=orphan: what was made for it is to stay. The garbage collector takes it
            # from its owner too, but only what it has heard of.
            try:
                self._disown(tenant)
            except Conflict:
                return AT_ONCE
            waiting = []
        else:
            waiting = decisions.remaining(tenant, self._outer(name).values())
        for obj in waiting:
            if "deletionTimestamp" not in obj["metadata"]:
                self._delete(obj)
        if waiting:
            names = ", ".join(" ".join(decisions.key(obj)) for obj in waiting)
            self._write(tenant, Ready(False, "Deleting", f"waits until these are gone: {names}"), None)
            return LEAVING
        self._apply_finalizers(tenant, [])
        return None

    def _disown(self, tenant: Object) -> None:
        """Take all children from their owner. Raises Conflict where one changes meanwhile."""
        for obj in self._children(tenant["metadata"]["name"]).values():
            metadata = obj["metadata"]
            owners = metadata.get("ownerReferences") or []
            others = [owner for owner in owners if owner["uid"] != tenant["metadata"]["uid"]]
            if others == owners:
                continue
            change = {"ownerReferences": others or None, "resourceVersion": metadata["resourceVersion"]}
            with suppress(NotFound):
                _patiently(self.cluster.patch)(
                    obj["apiVersion"],
                    obj["kind"],
                    metadata["name"],
                    metadata.get("namespace"),
                    {"metadata": change},
                )

    def _children(self, name: str) -> dict[tuple[str, str], Object]:
        """What there is of the kinds that a Tenant gets: the outer ones by name, the inner ones by label."""
        found = self._outer(name)
        namespace = namespace_name(name)
        if ("Namespace", namespace) in found:
            for api_version, kind in INNER:
                for obj in self.cluster.list_objects(
                    api_version, kind, namespace, labels=f"{TENANT_LABEL}={name}"
                ):
                    found[decisions.key(obj)] = obj
        return found

    def _outer(self, name: str) -> dict[tuple[str, str], Object]:
        looked = (
            self.cluster.find("v1", "Namespace", namespace_name(name)),
            self.cluster.find(KUEUE, "ClusterQueue", name),
        )
        return {decisions.key(obj): obj for obj in looked if obj}

    def _observe(self, tenant: Object, spec: TenantSpec, children: dict[tuple[str, str], Object]) -> Observed:
        name = tenant["metadata"]["name"]
        queue = children.get(("ClusterQueue", name))
        held: usage.Amounts = {}
        if queue and decisions.lowers(tenant, spec, queue):
            # The queue's status is a moment late, and this is the moment in which that would count.
            held = usage.larger(usage.reserved(queue), usage.held(self._workloads(name)))
        return Observed(
            children=children,
            cohort_exists=self.cluster.find(KUEUE, "Cohort", spec.cohort) is not None,
            flavors=frozenset(
                flavor["metadata"]["name"] for flavor in self.cluster.list_objects(KUEUE, "ResourceFlavor")
            ),
            held=held,
        )

    def _workloads(self, name: str) -> list[Object]:
        return self.cluster.list_objects(KUEUE, "Workload", namespace_name(name))

    def _doors(self, name: str) -> set[str]:
        """The LocalQueues of its namespace that lead to its ClusterQueue; a site may have added some."""
        found = self.cluster.list_objects(KUEUE, "LocalQueue", namespace_name(name))
        return {door["metadata"]["name"] for door in found if door["spec"]["clusterQueue"] == name}

    def _oldest_pending(self, name: str, queue: Object | None) -> Object | None:
        """The Workload that waits longest. While it waits no other can, so all are listed only after it."""
        if queue is None or not usage.pending(queue):
            self._oldest.pop(name, None)
            return None
        if known := self._oldest.get(name):
            live = self.cluster.find(KUEUE, "Workload", known, namespace_name(name))
            if live and usage.waiting_since(live):
                return live
        doors = self._doors(name)
        oldest = usage.oldest(w for w in self._workloads(name) if w["spec"].get("queueName") in doors)
        self._oldest[name] = oldest["metadata"]["name"] if oldest else ""
        return oldest

    def _write(self, tenant: Object, said: Ready, queue: Object | None) -> float:
        """Write the status where it says anything new; seconds until the next look.

        Figures alone are written now and then: they change with every Workload.
        """
        name, generation = tenant["metadata"]["name"], tenant["metadata"]["generation"]
        before = tenant.get("status") or {}
        old = before.get("conditions") or []
        made = decisions.conditions(said, old, generation, self.clock())
        pause = CALM if said.ready else UNSETTLED
        status = {"observedGeneration": generation, "conditions": made}
        if status == {key: before.get(key) for key in status}:
            due = self._figures_written.get(name, 0) + FIGURES - monotonic()
            if due > 0:
                return due
        status |= decisions.figures(queue, self._oldest_pending(name, queue))
        if any(before.get(key) != value for key, value in status.items()):
            self.cluster.patch(API_VERSION, KIND, name, None, {"status": status}, subresource="status")
            self._figures_written[name] = monotonic()
        if decisions.is_news(said, old, generation):
            self._tell(tenant, Refusal(said.reason, said.message))
        return pause

    def _tell(self, tenant: Object, refusal: Refusal) -> None:
        """An Event on the Tenant: those of objects without a namespace lie in ``default``."""
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = tenant["metadata"]
        self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": "default"},
                "involvedObject": {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "type": "Warning",
                "reason": refusal.reason,
                "message": refusal.message[:1024],
                "source": {"component": MANAGER},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
        )

    def _hold(self, tenant: Object) -> None:
        """Keep the Tenant until what is its own is gone."""
        self._apply_finalizers(tenant, [FINALIZER])

    def _apply_finalizers(self, tenant: Object, finalizers: list[str]) -> None:
        # With the uid: a Tenant made anew under the name meanwhile is another one.
        metadata = {key: tenant["metadata"][key] for key in ("name", "uid")}
        self.cluster.apply(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {**metadata, **({"finalizers": finalizers} if finalizers else {})},
            },
            manager=MANAGER,
        )

    def _apply(self, obj: Object, live: Object | None) -> Object:
        """As it is afterwards. Raises Conflict where it is no longer what was seen as ``live``."""
        seen = {"resourceVersion": live["metadata"]["resourceVersion"]} if live else {}
        try:
            return _patiently(self.cluster.apply)(
                {**obj, "metadata": {**obj["metadata"], **seen}}, manager=MANAGER
            )
        except Invalid:
            if obj["kind"] != "RoleBinding":
                raise
            # Its role cannot be changed in place, and nothing is lost when it is made anew.
            self._delete(obj)
            return _patiently(self.cluster.apply)(obj, manager=MANAGER)

    def _delete(self, obj: Object) -> None:
        metadata = obj["metadata"]
        _log.info("tenant: deleting %s %s", *decisions.key(obj))
        try:
            _patiently(self.cluster.delete)(
                obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace")
            )
        except (NotFound, Conflict):
            # A namespace that is on its way out already answers with a conflict.
            return


def _in_turn(stale: Iterable[Object]) -> tuple[list[Object], list[Object]]:
    """What is deleted before the rest is made, and after."""
    objects = list(stale)
    first = [obj for obj in objects if obj["kind"] == "RoleBinding"]
    return first, [obj for obj in objects if obj not in first]


def _moved_on(live: Object, seen: Object) -> bool:
    """Whether a Tenant is another one now, is to be another way, or is being deleted."""
    now, then = live["metadata"], seen["metadata"]
    return "deletionTimestamp" in now or (now["uid"], now["generation"]) != (then["uid"], then["generation"])
