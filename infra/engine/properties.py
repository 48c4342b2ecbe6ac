"""Property values as plain Python data.

A value is None, bool, int, float, str, list or dict. What JSON lacks is a dict with the protocol's signature
key (secret, resource reference) or the protocol's sentinel string (unknown), exactly as on the wire. A state
file differs in one thing only: there a secret holds ciphertext.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 the protocol's tag, no secret
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# Unknowns of other types than string have sentinels of their own.
_UNKNOWNS = {
    UNKNOWN,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
}
# What people see in place of a secret, and of what is not known before the update.
MASKED_SECRET = "[secret]"  # noqa: S105
MASKED_UNKNOWN = "[unknown]"

Value = Any
Properties = dict[str, Value]


def signature(value: Value) -> str | None:
    """Return the signature of a special value, None for a plain one."""
    return value.get(SIGNATURE) if isinstance(value, dict) else None


def is_secret(value: Value) -> bool:
    """Tell whether a value itself is a secret."""
    return signature(value) == SECRET


def secret(value: Value) -> Value:
    """Wrap a value as a secret; a secret stays as it is."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_unknown(value: Value) -> bool:
    """Tell whether a value itself is unknown until the update runs."""
    return isinstance(value, str) and value in _UNKNOWNS


def contains(value: Value, condition: Callable[[Value], bool]) -> bool:
    """Tell whether the value or anything in it meets a condition."""
    if condition(value):
        return True
    if isinstance(value, dict):
        return any(contains(item, condition) for item in value.values())
    return isinstance(value, list) and any(contains(item, condition) for item in value)


def equal(a: Value, b: Value) -> bool:
    """Compare deeply; unlike ``==``, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def reveal(value: Value) -> Value:
    """Take the secrets' wrappers off, deeply."""
    if is_secret(value):
        return reveal(value.get("value"))
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    return [reveal(item) for item in value] if isinstance(value, list) else value


def mask(value: Value) -> Value:
    """Replace secrets and unknowns by fixed texts, for people to see."""
    if is_secret(value):
        return MASKED_SECRET
    if isinstance(value, dict):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return MASKED_UNKNOWN if is_unknown(value) else value


def lower_outputs(value: Value) -> Value:
    """Turn output values (which carry dependencies) into plain, unknown or secret values."""
    if isinstance(value, list):
        return [lower_outputs(item) for item in value]
    if not isinstance(value, dict):
        return value
    if signature(value) != OUTPUT:
        return {key: lower_outputs(item) for key, item in value.items()}
    inner = lower_outputs(value["value"]) if "value" in value else UNKNOWN
    return secret(inner) if value.get("secret") else inner


def output_dependencies(value: Value) -> Iterator[str]:
    """Yield the URNs that the output values and resource references in a value depend on."""
    if isinstance(value, list):
        for item in value:
            yield from output_dependencies(item)
    elif isinstance(value, dict):
        if signature(value) == OUTPUT:
            yield from value.get("dependencies", [])
        for item in value.values():
            yield from output_dependencies(item)


def mark_secrets(outputs: Properties, inputs: Mapping[str, Value], additional: list[str]) -> Properties:
    """Make secret the outputs that are asked to be, and those whose input of the same name is."""
    return {
        key: secret(value) if key in additional or is_secret(inputs.get(key)) else value
        for key, value in outputs.items()
    }


def changed_keys(old: Mapping[str, Value], new: Mapping[str, Value]) -> list[str]:
    """Return the keys that were added, removed or changed."""
    return [
        key
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or not equal(reveal(old[key]), reveal(new[key]))
    ]
