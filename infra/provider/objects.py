"""``Objects``: a bundle of Kubernetes objects in one cluster.

Inputs: ``stack``, ``name`` (of the bundle), ``kubeconfig`` (a path), ``objects`` (a list of objects)
and/or ``manifest`` ({path, sha256}: a YAML file of them), ``wait`` (until Deployments are available and
our own kinds Ready).
``cluster`` tells a cluster from the one that was there before it under the same name: when it changes,
everything is applied again. Outputs: the inputs, ``refs`` of what was applied, and ``drift``.
The id is ``<stack>/<name>``.

Objects are applied server-side by the field manager ``antenna`` with force: what is declared wins,
what others own stays. Every object bears the label ``antenna.be/bundle``; what is no longer declared
is deleted, unless something that is declared has become its owner meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final

import yaml

from infra import paths
from infra.provider.kind import UNKNOWN, Diff, ProviderError, Report, changed
from infra.provider.objects_apply import (
    ClusterUnreachableError,
    applied_in,
    apply_all,
    cluster_at,
    compare_all,
    delete_all,
    handed_over,
)
from infra.provider.objects_bundle import (
    MANAGER,
    Object,
    Ref,
    applied_by,
    declared,
    flattened,
    identity,
    ref,
    title,
)
from operators.kube.client import Cluster

# Set to "1" to remove Objects from the state although their cluster does not answer any more.
FORGET_UNREACHABLE: Final = "ANTENNA_FORGET_UNREACHABLE"

_NAME: Final = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_SHA256: Final = re.compile(r"^[0-9a-f]{64}$")
_PROPERTIES: Final = {"stack", "name", "kubeconfig", "cluster", "objects", "manifest", "wait"}


class Objects:
    """The resource kind; see the module."""

    token = "antenna:index:Objects"  # noqa: S105 (a type token)

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """Shapes and names, and that no secret gets into the state."""
        failures = [(key, "no such property") for key in sorted(inputs.keys() - _PROPERTIES)]
        failures += [
            (key, "missing") for key in ("stack", "name", "kubeconfig") if inputs.get(key) in (None, "")
        ]
        name = inputs.get("name")
        if isinstance(name, str) and name and not _NAME.match(name):
            failures.append(("name", f"{name!r} is not a DNS label: it becomes the value of a label"))
        if inputs.get("objects") is None and inputs.get("manifest") is None:
            failures.append(("objects", "neither objects nor a manifest is given"))
        return failures + _manifest_failures(inputs.get("manifest")) + _object_failures(inputs.get("objects"))

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """Another stack or name is another bundle. A manifest is its content, wherever it lies."""
        changes = changed(_compared(old_inputs), _compared(new_inputs))
        replaces = [name for name in changes if name in ("stack", "name")]
        detailed = dict.fromkeys(changes, "update")
        detailed |= _object_changes(old_inputs.get("objects"), new_inputs.get("objects"))
        if old_state.get("drift"):
            changes.append("drift")
            detailed["drift"] = "update"
        return Diff(changes=changes, replaces=replaces, detailed=detailed)

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Apply everything; what a killed run left of this bundle and is not declared goes."""
        return f"{inputs['stack']}/{inputs['name']}", _put(inputs, [], report)

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Compare by dry run. A cluster that does not answer is drift: ``up`` brings it back."""
        if not inputs:
            return _imported(id)
        try:
            with cluster_at(inputs["kubeconfig"]) as cluster:
                drift, refs = compare_all(cluster, _declared(inputs))
        except ClusterUnreachableError as error:
            return id, inputs, {**state, "drift": [str(error)]}
        if not refs and drift:
            return None
        return id, inputs, {**inputs, "refs": refs, "drift": drift}

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Apply everything again, then delete what is no longer declared."""
        return _put(new_inputs, old_state.get("refs", []), report)

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Delete all, and wait until finalizers are through.

        After a create that was cut off no refs are known: what it applied is told by the label.
        """
        try:
            with cluster_at(inputs["kubeconfig"]) as cluster:
                cluster.discover()
                refs = state["refs"] if "refs" in state else _applied(cluster, inputs)
                delete_all(cluster, refs, report)
        except ClusterUnreachableError as error:
            if os.environ.get(FORGET_UNREACHABLE) == "1":
                report(f"forgotten, not deleted: {error}")
                return
            raise ProviderError(
                f"{error} If that cluster is gone for good, run this again with {FORGET_UNREACHABLE}=1."
            ) from error


def _put(inputs: dict[str, Any], before: list[Ref], report: Report) -> dict[str, Any]:
    """Apply what is declared, delete what was and is not. ``before``: the refs of the last time.

    A run that was killed has left objects that no state knows: the label finds those of known kinds.
    """
    objects = _declared(inputs)
    with cluster_at(inputs["kubeconfig"]) as cluster:
        refs = apply_all(cluster, objects, wait=bool(inputs.get("wait")), report=report)
        kept = {identity(entry) for entry in refs}
        kinds = {(entry["apiVersion"], entry["kind"]) for entry in [*before, *refs]}
        found = [ref(obj) for obj in applied_in(cluster, inputs["name"], kinds)]
        stale = {identity(entry): entry for entry in [*before, *found] if identity(entry) not in kept}
        delete_all(cluster, [e for e in stale.values() if not handed_over(cluster, e, refs)], report)
    return {**inputs, "refs": refs, "drift": []}


def _applied(cluster: Cluster, inputs: dict[str, Any]) -> list[Ref]:
    """What is there of the bundle, of the kinds that it declares."""
    kinds = {(obj["apiVersion"], obj["kind"]) for obj in _declared(inputs)}
    return [ref(obj) for obj in applied_in(cluster, inputs["name"], kinds)]


def _declared(inputs: dict[str, Any]) -> list[Object]:
    """All objects of the bundle, labelled. ProviderError where the manifest is not the declared one."""
    documents = list(inputs.get("objects") or [])
    if manifest := inputs.get("manifest"):
        path = Path(manifest["path"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ProviderError(
                f"manifest {path}: {error.strerror}. `antenna tools` makes it again."
            ) from error
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise ProviderError(f"manifest {path} is not the declared one (sha256). Run up again.")
        # The C loader: Kueue's manifests are 2 MB, which take the other one ten seconds.
        documents += yaml.load_all(content, Loader=yaml.CSafeLoader)
    return [declared(obj, inputs["name"]) for obj in flattened(documents)]


def _imported(id: str) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """What a cluster holds of a bundle, with what this project has set of each object as its inputs."""
    stack, _, name = id.partition("/")
    if not name:
        raise ProviderError(f"{id!r} is not <stack>/<bundle>, as in embedded/queues")
    kubeconfig = str(paths.kubeconfig(stack))
    with cluster_at(kubeconfig) as cluster:
        live = applied_in(cluster, name)
    if not live:
        return None
    objects = [part for obj in live if (part := applied_by(obj, MANAGER))]
    inputs = {"stack": stack, "name": name, "kubeconfig": kubeconfig, "objects": objects}
    return id, inputs, {**inputs, "refs": [ref(obj) for obj in live], "drift": []}


def _compared(inputs: dict[str, Any]) -> dict[str, Any]:
    manifest = inputs.get("manifest")
    content = manifest.get("sha256") if isinstance(manifest, dict) else manifest
    given = {**inputs, "manifest": content, "wait": inputs.get("wait") or False}
    return {key: value for key, value in given.items() if value is not None}


def _object_changes(old: Any, new: Any) -> dict[str, str]:
    """Which objects change, as property paths: `objects["ClusterQueue vib"]` -> add, delete or update."""
    if not isinstance(old, list) or not isinstance(new, list):
        return {}
    before, after = ({title(ref(obj)): obj for obj in objects if _nameable(obj)} for objects in (old, new))
    changes = {f'objects["{name}"]': "add" for name in after.keys() - before.keys()}
    changes |= {f'objects["{name}"]': "delete" for name in before.keys() - after.keys()}
    changes |= {
        f'objects["{name}"]': "update" for name in after.keys() & before.keys() if after[name] != before[name]
    }
    return changes


def _manifest_failures(manifest: Any) -> list[tuple[str, str]]:
    if manifest is None or manifest is UNKNOWN:
        return []
    if not isinstance(manifest, dict) or manifest.keys() != {"path", "sha256"}:
        return [("manifest", "must be {path, sha256}")]
    sha256 = manifest["sha256"]
    if isinstance(sha256, str) and not _SHA256.match(sha256):
        return [("manifest.sha256", "is not the SHA-256 of a file, in hex")]
    return []


def _object_failures(objects: Any) -> list[tuple[str, str]]:
    if objects is None or objects is UNKNOWN:
        return []
    if not isinstance(objects, list):
        return [("objects", "must be a list")]
    failures: list[tuple[str, str]] = []
    seen: set[tuple[str, str, str, str]] = set()
    for index, obj in enumerate(objects):
        if obj is UNKNOWN:
            continue
        where = f"objects[{index}]"
        if not _nameable(obj):
            failures.append((where, "needs apiVersion, kind and metadata.name"))
            continue
        entry = ref(obj)
        if identity(entry) in seen:
            failures.append((where, f"{title(entry)} is there twice"))
        seen.add(identity(entry))
        if entry["kind"] == "Secret" and (obj.get("data") or obj.get("stringData")):
            failures.append(
                (where, f"{title(entry)} would put its data into the state: make it on the cluster")
            )
    return failures


def _nameable(obj: Any) -> bool:
    """Whether all of the object's identity is there, and known."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(metadata, dict):
        return False
    return all(
        isinstance(v, str) and v for v in (obj.get("apiVersion"), obj.get("kind"), metadata.get("name"))
    )
