"""Between the protocol's values and plain data. Pure.

The protocol sends every number as a double, unknowns as a well-known string, and secrets and
outputs as marked structs. The kinds see ints where numbers are whole, ``UNKNOWN``, and the bare
value; the engine keeps track of what is secret. Nulls mean "not set" and are left out of maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from pulumi.runtime.rpc import (
    UNKNOWN as UNKNOWN_TEXT,
)
from pulumi.runtime.rpc import (
    _special_output_value_sig,
    _special_secret_sig,
    _special_sig_key,
)

from infra.provider.kind import UNKNOWN

LARGEST_EXACT = 2**53
"""Beyond it a double no longer holds every integer."""


def from_struct(struct: Struct) -> dict[str, Any]:
    """A property map as plain data."""
    return {name: _from_value(v) for name, v in struct.fields.items() if v.WhichOneof("kind") != "null_value"}


def to_struct(properties: Mapping[str, Any]) -> Struct:
    """Plain data as a property map. Raises TypeError for what has no place in one."""
    return Struct(fields={name: _to_value(v) for name, v in properties.items() if v is not None})


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= LARGEST_EXACT else number
        case "string_value":
            return UNKNOWN if value.string_value == UNKNOWN_TEXT else value.string_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return _from_marked(value.struct_value)
    return None


def _from_marked(struct: Struct) -> Any:
    mark = struct.fields[_special_sig_key].string_value if _special_sig_key in struct.fields else None
    if mark is None:
        return from_struct(struct)
    if mark in (_special_secret_sig, _special_output_value_sig):
        return _from_value(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
    raise TypeError("assets and resource references are not inputs of this provider")


def _to_value(value: Any) -> Value:  # noqa: PLR0911 - one return a type
    match value:
        case None:
            return Value(null_value=NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case int() | float():
            return Value(number_value=float(value))
        case str():
            return Value(string_value=value)
        case Mapping():
            return Value(struct_value=to_struct(value))
        case Iterable():
            listed = Value()
            listed.list_value.values.extend(_to_value(item) for item in value)
            return listed
    if value is UNKNOWN:
        return Value(string_value=UNKNOWN_TEXT)
    raise TypeError(f"{type(value).__name__} is not a property value")
