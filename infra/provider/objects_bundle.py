"""A bundle of Kubernetes objects as data: its documents, their identity and order. Pure.

An object is the plain dict that the API server takes. A ref names one:
``{apiVersion, kind, namespace, name, uid}``; ``namespace`` is "" for what belongs to none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

Object = dict[str, Any]
Ref = dict[str, str]
Identity = tuple[str, str, str, str]

MANAGER: Final = "antenna"
BUNDLE_LABEL: Final = "antenna.be/bundle"

# What later kinds need comes first; webhooks come after the pods that serve them. Kinds that are not
# named here (custom resources) come last: they need CRDs and webhooks.
APPLY_ORDER: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "DaemonSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)
_RANK: Final = {kind: rank for rank, kind in enumerate(APPLY_ORDER)}
CUSTOM_RANK: Final = len(APPLY_ORDER)

# A webhook or an aggregated API whose pods are gone would stop every deletion after it.
_INTERCEPTORS: Final = {"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}


def flattened(documents: Iterable[Any]) -> list[Object]:
    """The objects among YAML documents: Lists opened, empty documents left out."""
    objects: list[Object] = []
    for document in documents:
        if not document:
            continue
        if str(document.get("kind", "")).endswith("List") and "items" in document:
            objects += flattened(document["items"])
        else:
            objects.append(document)
    return objects


def declared(obj: Object, bundle: str) -> Object:
    """The object as it is applied: labelled with its bundle, without what only the server may set."""
    metadata = {key: value for key, value in obj["metadata"].items() if value is not None}
    metadata.pop("creationTimestamp", None)
    metadata["labels"] = {**(metadata.get("labels") or {}), BUNDLE_LABEL: bundle}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def ref(obj: Object) -> Ref:
    """What an object is found by again."""
    metadata = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "namespace": metadata.get("namespace") or "",
        "name": metadata["name"],
        "uid": metadata.get("uid") or "",
    }


def identity(ref: Ref) -> Identity:
    """What makes two refs the same object: group, kind, namespace, name. Versions are views of one."""
    group, slash, _ = ref["apiVersion"].rpartition("/")
    return (group if slash else "", ref["kind"], ref["namespace"], ref["name"])


def title(ref: Ref) -> str:
    """How an object is named to people: ``Role tenant-vib/submitter``, ``ClusterQueue vib``."""
    return f"{ref['kind']} {ref['namespace']}/{ref['name']}" if ref["namespace"] else _short(ref)


def rank(kind: str) -> int:
    """The place of a kind in the order of application."""
    return _RANK.get(kind, CUSTOM_RANK)


def in_apply_order(objects: Iterable[Object]) -> list[Object]:
    """Sorted by what needs what; the given order among equals."""
    return sorted(objects, key=lambda obj: rank(obj["kind"]))


def delete_phases(refs: Iterable[Ref]) -> list[list[Ref]]:
    """Groups in which to delete; each must be gone before the next.

    Custom resources and their definitions go while the controller that clears their finalizers
    still runs. A bundle without definitions goes in one group: a ClusterQueue waits for the work in
    its namespace to end, and the namespace's deletion ends it.
    """
    backwards = sorted(refs, key=lambda r: rank(r["kind"]), reverse=True)
    interceptors = [r for r in backwards if r["kind"] in _INTERCEPTORS]
    others = [r for r in backwards if r["kind"] not in _INTERCEPTORS]
    definitions = [r for r in others if r["kind"] == "CustomResourceDefinition"]
    if not definitions:
        return [phase for phase in (interceptors, others) if phase]
    custom = [r for r in others if rank(r["kind"]) == CUSTOM_RANK]
    rest = [r for r in others if r not in custom and r not in definitions]
    return [phase for phase in (interceptors, custom, definitions, rest) if phase]


def applied_by(obj: Object, manager: str) -> Object | None:
    """The part of a live object that a manager has applied, or None if it never did.

    Read from ``managedFields``: https://kubernetes.io/docs/reference/using-api/server-side-apply/
    """
    for entry in obj["metadata"].get("managedFields", ()):
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            part: Object = _owned(obj, entry["fieldsV1"])
            identifying = {k: obj["metadata"][k] for k in ("name", "namespace") if k in obj["metadata"]}
            metadata = {**identifying, **part.pop("metadata", {})}
            labels = {k: v for k, v in metadata.pop("labels", {}).items() if k != BUNDLE_LABEL}
            if labels:
                metadata["labels"] = labels
            return {
                "apiVersion": entry["apiVersion"],
                "kind": obj["kind"],
                "metadata": metadata,
                **part,
            }
    return None


def _owned(value: Any, fields: dict[str, Any]) -> Any:
    """What ``fields`` (FieldsV1) covers of a value. No fields: all of it."""
    if not fields:
        return value
    if isinstance(value, dict):
        return {
            key[2:]: _owned(value[key[2:]], inner)
            for key, inner in fields.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        kept: list[Any] = []
        for key, inner in fields.items():
            if key.startswith("v:"):
                kept.append(json.loads(key[2:]))
            elif key.startswith("k:"):
                keys = json.loads(key[2:])
                kept += [_owned(i, inner) for i in value if all(i.get(k) == v for k, v in keys.items())]
        return kept
    return value


def _short(ref: Ref) -> str:
    return f"{ref['kind']} {ref['name']}"
