"""Property values to and from the protocol's structs."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import struct_pb2

from infra.engine.properties import Properties, Value


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Read a protobuf struct; numbers without a fraction become int."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def to_struct(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Write a protobuf struct."""
    return struct_pb2.Struct(fields={key: _to_value(value) for key, value in properties.items()})


def _from_value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _to_value(value: Value) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case dict():
            return struct_pb2.Value(struct_value=to_struct(value))
        case list():
            return struct_pb2.Value(
                list_value=struct_pb2.ListValue(values=[_to_value(item) for item in value])
            )
        case _:
            raise TypeError(f"not a property value: {type(value).__name__}")
