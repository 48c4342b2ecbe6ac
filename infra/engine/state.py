"""What the engine knows of a stack: its resources, and the operations that were under way.

The JSON is Pulumi's checkpoint, version 3. Secrets are encrypted in it and nowhere else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.engine import urn as urns
from infra.engine.errors import StateError
from infra.engine.passphrase import Cipher
from infra.engine.properties import SECRET, SIGNATURE, Properties, Value, is_secret

# The engine's version in a checkpoint: the protocol's, and that this was not the official engine.
VERSION = f"{importlib.metadata.version('pulumi')}+antenna"

# Name in the checkpoint -> name here, in the order of the checkpoint.
_FIELDS = {
    "urn": "urn",
    "custom": "custom",
    "delete": "delete",
    "id": "id",
    "type": "type",
    "inputs": "inputs",
    "outputs": "outputs",
    "parent": "parent",
    "protect": "protect",
    "external": "external",
    "dependencies": "dependencies",
    "initErrors": "init_errors",
    "provider": "provider",
    "propertyDependencies": "property_dependencies",
    "pendingReplacement": "pending_replacement",
    "additionalSecretOutputs": "additional_secret_outputs",
    "aliases": "aliases",
    "customTimeouts": "custom_timeouts",
    "importID": "import_id",
    "retainOnDelete": "retain_on_delete",
    "deletedWith": "deleted_with",
    "created": "created",
    "modified": "modified",
    "sourcePosition": "source_position",
    "stackTrace": "stack_trace",
    "ignoreChanges": "ignore_changes",
    "hideDiff": "hide_diff",
    "replaceOnChanges": "replace_on_changes",
}
_ALWAYS = {"urn", "custom", "type"}


@dataclass(eq=False)
class Resource:
    """One resource of a stack. Compared by identity: an old and a new state of a URN live side by side."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    protect: bool = False
    external: bool = False
    delete: bool = False
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    provider: str = ""
    init_errors: list[str] = field(default_factory=list)
    pending_replacement: bool = False
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    import_id: str = ""
    retain_on_delete: bool = False
    deleted_with: str = ""
    created: str = ""
    modified: str = ""
    source_position: str = ""
    stack_trace: list[dict[str, str]] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    hide_diff: list[Any] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return urns.name_of(self.urn)

    @property
    def is_provider(self) -> bool:
        """Whether this is a provider."""
        return urns.is_provider(self.type)

    def copy(self, **changes: Any) -> Resource:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def provider_urn(self) -> str:
        """Return the URN of the provider that manages this resource, empty for none."""
        return self.provider.rpartition("::")[0]

    def references(self) -> set[str]:
        """Return the URNs that must exist as long as this resource does, its parent apart."""
        found = {*self.dependencies, *(urn for deps in self.property_dependencies.values() for urn in deps)}
        return (found | {self.deleted_with, self.provider_urn()}) - {""}


@dataclass(frozen=True)
class Operation:
    """Something that was begun on a resource: creating, updating, deleting, reading or importing."""

    resource: Resource
    type: str


@dataclass(frozen=True)
class Snapshot:
    """A stack at one moment. Every resource comes after those that it refers to."""

    resources: tuple[Resource, ...] = ()
    pending: tuple[Operation, ...] = ()
    secrets_provider: Mapping[str, Any] | None = None


def now() -> str:
    """Return the present moment as checkpoints write it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def outputs_of(resources: Iterable[Resource]) -> Properties:
    """Return the stack's outputs."""
    return next((r.outputs for r in resources if r.type == urns.STACK_TYPE and not r.parent), {})


def load(content: bytes, cipher: Cipher) -> Snapshot:
    """Read a checkpoint. Raises StateError for what is none or needs more than this engine has."""
    document = parse(content)
    latest = document["checkpoint"].get("latest") or {}
    return Snapshot(
        resources=tuple(_load_resource(item, cipher) for item in latest.get("resources") or ()),
        pending=tuple(
            Operation(_load_resource(item["resource"], cipher), item["type"])
            for item in latest.get("pending_operations") or ()
        ),
        secrets_provider=latest.get("secrets_providers"),
    )


def parse(content: bytes) -> dict[str, Any]:
    """Read a checkpoint's JSON without touching its secrets. Raises StateError."""
    try:
        document: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise StateError(f"the state is no JSON: {error}") from error
    version = document.get("version")
    if version not in (3, 4) or "checkpoint" not in document:
        raise StateError(f"the state has version {version}; this engine reads 3 and 4")
    if document.get("features"):
        raise StateError(
            f"the state uses features that only the official engine has: {', '.join(document['features'])}"
        )
    return document


def dump(stack: str, snapshot: Snapshot, cipher: Cipher) -> bytes:
    """Write a checkpoint; `stack` is the full name, ``organization/PROJECT/STACK``."""
    latest: dict[str, Any] = {
        "manifest": {
            "time": now(),
            "magic": hashlib.sha256(VERSION.encode()).hexdigest(),
            "version": VERSION,
        }
    }
    if snapshot.secrets_provider:
        latest["secrets_providers"] = dict(snapshot.secrets_provider)
    if snapshot.resources:
        latest["resources"] = [_dump_resource(resource, cipher) for resource in snapshot.resources]
    if snapshot.pending:
        latest["pending_operations"] = [
            {"resource": _dump_resource(operation.resource, cipher), "type": operation.type}
            for operation in snapshot.pending
        ]
    latest["metadata"] = {}
    document = {"version": 3, "checkpoint": {"stack": stack, "latest": latest}}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def normalise_aliases(resources: Iterable[Resource]) -> list[Resource]:
    """Make every reference to a resource by an earlier URN one by its present URN, and forget the aliases."""
    present = {alias: resource.urn for resource in resources for alias in resource.aliases}
    if not present:
        return list(resources)

    def fix(urn: str) -> str:
        return present.get(urn, urn)

    fixed = []
    for resource in resources:
        provider, separator, id_ = resource.provider.rpartition("::")
        fixed.append(
            resource.copy(
                urn=resource.urn if resource.aliases else fix(resource.urn),
                aliases=[],
                parent=fix(resource.parent),
                provider=fix(provider) + separator + id_,
                deleted_with=fix(resource.deleted_with),
                dependencies=[fix(urn) for urn in resource.dependencies],
                property_dependencies={
                    key: [fix(urn) for urn in deps] for key, deps in resource.property_dependencies.items()
                },
            )
        )
    return fixed


def _load_resource(item: Mapping[str, Any], cipher: Cipher) -> Resource:
    unknown = [key for key in item if key not in _FIELDS and item[key]]
    if unknown:
        raise StateError(
            f"{item.get('urn')}: the state has {', '.join(unknown)}, which only the official engine knows"
        )
    values = {_FIELDS[key]: value for key, value in item.items() if key in _FIELDS and value is not None}
    for key in ("inputs", "outputs"):
        values[key] = _decrypt(values.get(key, {}), cipher)
    values["property_dependencies"] = {k: v or [] for k, v in values.get("property_dependencies", {}).items()}
    return Resource(**values)


def _dump_resource(resource: Resource, cipher: Cipher) -> dict[str, Any]:
    item = {}
    for key, name in _FIELDS.items():
        value = getattr(resource, name)
        if key in ("inputs", "outputs"):
            value = _encrypt(value, cipher)
        if value or key in _ALWAYS:
            item[key] = value
    return item


def _encrypt(value: Value, cipher: Cipher) -> Value:
    if isinstance(value, list):
        return [_encrypt(item, cipher) for item in value]
    if not isinstance(value, dict):
        return value
    if is_secret(value):
        # Secrets inside a secret stay as they are: the whole is encrypted.
        plaintext = json.dumps(value.get("value"), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return {SIGNATURE: SECRET, "ciphertext": cipher.encrypt(plaintext)}
    return {key: _encrypt(value[key], cipher) for key in sorted(value)}


def _decrypt(value: Value, cipher: Cipher) -> Value:
    if isinstance(value, list):
        return [_decrypt(item, cipher) for item in value]
    if not isinstance(value, dict):
        return value
    if is_secret(value):
        plaintext = value["plaintext"] if "plaintext" in value else cipher.decrypt(value["ciphertext"])
        return {SIGNATURE: SECRET, "value": json.loads(plaintext)}
    return {key: _decrypt(item, cipher) for key, item in value.items()}
