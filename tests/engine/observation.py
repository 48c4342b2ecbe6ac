"""What an engine did, in a form in which two engines can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.engine import state
from infra.engine.passphrase import Cipher, salt_of
from infra.engine.properties import SIGNATURE, is_secret

PASSPHRASE = "toys"  # noqa: S105 of stacks that live as long as a test
# Counted by neither engine, or different in every run by nature.
_VOLATILE = {"created", "modified", "sourcePosition", "stackTrace"}


def observe(
    ok: bool, ops: Iterable[tuple[str, str]], changes: Mapping[str, int], file: Path
) -> dict[str, Any]:
    """Return one step's outcome: what was done to which URN, the counts, and the state that it left."""
    return {
        "ok": ok,
        "ops": sorted([op, urn] for op, urn in set(ops)),
        "changes": {op: count for op, count in sorted(changes.items()) if count},
        "state": normalise(file.read_bytes()) if file.exists() else [],
    }


def normalise(content: bytes) -> list[dict[str, Any]]:
    """Return a state's resources without what differs between two runs of the same engine."""
    document = state.parse(content)
    latest = document["checkpoint"].get("latest") or {}
    cipher = Cipher(salt_of(latest.get("secrets_providers")), {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE})
    resources = latest.get("resources") or []
    ids = {r["id"]: "ID" for r in resources if r["type"].startswith("pulumi:providers:")}
    return sorted(
        (_resource(r, ids, cipher) for r in resources), key=lambda r: (r["urn"], r.get("delete", False))
    )


def _resource(resource: Mapping[str, Any], ids: Mapping[str, str], cipher: Cipher) -> dict[str, Any]:
    found = {key: value for key, value in resource.items() if key not in _VOLATILE}
    found["id"] = ids.get(found.get("id", ""), found.get("id", ""))
    if "provider" in found:
        urn, _, id_ = found["provider"].rpartition("::")
        found["provider"] = f"{urn}::{ids.get(id_, id_)}"
    found["dependencies"] = sorted(found.get("dependencies") or [])
    found["propertyDependencies"] = {
        key: sorted(urns) for key, urns in (found.get("propertyDependencies") or {}).items() if urns
    }
    for key in ("inputs", "outputs"):
        found[key] = _decrypted(found.get(key) or {}, cipher)
    return {key: value for key, value in found.items() if value not in ("", [], {}, False, None)}


def _decrypted(value: Any, cipher: Cipher) -> Any:
    if is_secret(value):
        return {SIGNATURE: "secret", "json": cipher.decrypt(value["ciphertext"])}
    if isinstance(value, dict):
        return {key: _decrypted(item, cipher) for key, item in value.items()}
    return [_decrypted(item, cipher) for item in value] if isinstance(value, list) else value
