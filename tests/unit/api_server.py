"""As much of an API server and of Kueue as one look at a RemoteJob meets, in memory."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

from operators.kube.errors import Conflict, NotFound
from operators.queues import CHECKS, REMOTE_GPU
from operators.tenancy import Object
from tests.merge_patch import merged

Key = tuple[str, str, str]


@dataclass
class ApiServer:
    """Objects with versions; a write that carries an old one is a Conflict."""

    objects: dict[Key, Object] = field(default_factory=dict)
    writes: list[tuple[str, Key]] = field(default_factory=list)
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    def create(self, obj: Object) -> Object:
        key = self._key(obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace"))
        if key in self.objects:
            raise Conflict(409, "AlreadyExists", "exists")
        made = copy.deepcopy(obj)
        version = next(self._versions)
        made["metadata"] |= {"uid": made["metadata"].get("uid", f"uid-{version}"), "generation": 1}
        return self._write("create", key, made)

    def find(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return copy.deepcopy(self.objects.get(self._key(kind, name, namespace)))

    def patch(
        self, api_version: str, kind: str, name: str, namespace: str | None, patch: Object, **_: Any
    ) -> Object:
        key = self._key(kind, name, namespace)
        if key not in self.objects:
            raise NotFound(404, "NotFound", "gone")
        live = self.objects[key]
        version = (patch.get("metadata") or {}).get("resourceVersion")
        if version not in (None, live["metadata"]["resourceVersion"]):
            raise Conflict(409, "Conflict", "changed meanwhile")
        made = self._write("patch", key, merged(live, patch))
        metadata = made["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[key]
        return made

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str | None = None, *, uid: str = ""
    ) -> str:
        key = self._key(kind, name, namespace)
        if key not in self.objects:
            raise NotFound(404, "NotFound", "gone")
        live = self.objects[key]
        if uid not in ("", live["metadata"]["uid"]):
            raise Conflict(409, "Conflict", "another one")
        if live["metadata"].get("finalizers"):
            self._write(
                "delete", key, merged(live, {"metadata": {"deletionTimestamp": "2026-06-01T00:00:00Z"}})
            )
        else:
            del self.objects[key]
        return str(live["metadata"]["uid"])

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [copy.deepcopy(obj) for key, obj in self.objects.items() if key[0] == kind]

    def _write(self, verb: str, key: Key, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = obj
        self.writes.append((verb, key))
        return copy.deepcopy(obj)

    @staticmethod
    def _key(kind: str, name: str, namespace: str | None) -> Key:
        return kind, namespace or "", name


def kueue(server: ApiServer, room: dict[str, int]) -> None:
    """One turn of Kueue's: reserve what there is room for, admit what has passed its checks."""
    held: dict[str, int] = {}
    for found in server.of("Workload"):
        if flavor := _flavor(found):
            held[flavor] = held.get(flavor, 0) + 1
    for found in server.of("Workload"):
        status = found.get("status") or {}
        true = {c["type"] for c in status.get("conditions", ()) if c["status"] == "True"}
        if "Finished" in true:
            continue
        if "QuotaReserved" not in true:
            affinity = found["spec"]["podSets"][0]["template"]["spec"]["affinity"]["nodeAffinity"]
            (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            wanted = term["matchExpressions"][0]["values"]
            flavor = next((f for f in room if f in wanted and held.get(f, 0) < room[f]), None)
            if flavor is None:
                _say(server, found, {}, ("QuotaReserved", "False", "couldn't assign flavors"))
                continue
            held[flavor] = held.get(flavor, 0) + 1
            checks = [{"name": name, "state": "Pending", "message": ""} for name in CHECKS]
            assigned = {"podSetAssignments": [{"name": "main", "flavors": {REMOTE_GPU: flavor}}]}
            reserved = ("QuotaReserved", "True", "")
            _say(server, found, {"admission": assigned, "admissionChecks": checks}, reserved)
        elif "Admitted" not in true and all(c["state"] == "Ready" for c in status["admissionChecks"]):
            _say(server, found, {}, ("Admitted", "True", ""))


def _flavor(found: Object) -> str:
    status = found.get("status") or {}
    ended = any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions", ()))
    if ended or "admission" not in status:
        return ""
    return str(status["admission"]["podSetAssignments"][0]["flavors"][REMOTE_GPU])


def _say(server: ApiServer, found: Object, status: Object, condition: tuple[str, str, str]) -> None:
    kind, value, message = condition
    before = (found.get("status") or {}).get("conditions") or []
    said = {"type": kind, "status": value, "message": message, "reason": "Kueue"}
    conditions = [*(c for c in before if c["type"] != kind), said]
    patch = {"status": {**status, "conditions": conditions}}
    server.patch("", "Workload", found["metadata"]["name"], found["metadata"]["namespace"], patch)
