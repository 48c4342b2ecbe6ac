"""Protobuf classes of two of the kubelet's APIs, from tables: machines have protobuf but no compiler of it.

A table is {message: [(field, number, type)]} with the fields that are used here. A type in brackets repeats;
"map" is map<string, string>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Table = Mapping[str, list[tuple[str, int, str]]]

DEVICE_PLUGIN_VERSION = "v1beta1"
POD_RESOURCES_VERSION = "v1"

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {"bool": FIELD.TYPE_BOOL, "string": FIELD.TYPE_STRING}


def message_classes(package: str, table: Table) -> dict[str, Any]:
    """A protobuf class for each message of the table, by the message's name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in table.items():
        message = file.message_type.add(name=name)
        for row in fields:
            add_field(package, message, *row)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in table}
    # protobuf 4.22 renamed it; Debian 12 has 3.21.
    factory: Any = message_factory
    new = getattr(factory, "GetMessageClass", None)
    make = new or factory.MessageFactory(pool).GetPrototype
    return {name: make(descriptor) for name, descriptor in found.items()}


def add_field(package: str, message: Any, name: str, number: int, kind: str) -> None:
    """Add one field of a table to a message's descriptor."""
    bare = kind.strip("[]")
    field = message.field.add(name=name, number=number)
    field.label = FIELD.LABEL_REPEATED if bare != kind or kind == "map" else FIELD.LABEL_OPTIONAL
    if kind == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        add_field(package, entry, "key", 1, "string")
        add_field(package, entry, "value", 2, "string")
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
    elif bare in SCALARS:
        field.type = SCALARS[bare]
    else:
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{bare}"


DEVICE_PLUGIN = message_classes(
    DEVICE_PLUGIN_VERSION,
    {
        "Empty": [],
        "DevicePluginOptions": [
            ("pre_start_required", 1, "bool"),
            ("get_preferred_allocation_available", 2, "bool"),
        ],
        "RegisterRequest": [
            ("version", 1, "string"),
            ("endpoint", 2, "string"),
            ("resource_name", 3, "string"),
            ("options", 4, "DevicePluginOptions"),
        ],
        "Device": [("ID", 1, "string"), ("health", 2, "string")],
        "ListAndWatchResponse": [("devices", 1, "[Device]")],
        "ContainerAllocateRequest": [("devices_ids", 1, "[string]")],
        "AllocateRequest": [("container_requests", 1, "[ContainerAllocateRequest]")],
        "ContainerAllocateResponse": [("envs", 1, "map")],
        "AllocateResponse": [("container_responses", 1, "[ContainerAllocateResponse]")],
    },
)
"""Of k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto."""

POD_RESOURCES = message_classes(
    POD_RESOURCES_VERSION,
    {
        "ListPodResourcesRequest": [],
        "ListPodResourcesResponse": [("pod_resources", 1, "[PodResources]")],
        "PodResources": [
            ("name", 1, "string"),
            ("namespace", 2, "string"),
            ("containers", 3, "[ContainerResources]"),
        ],
        "ContainerResources": [("name", 1, "string"), ("devices", 2, "[ContainerDevices]")],
        "ContainerDevices": [("resource_name", 1, "string"), ("device_ids", 2, "[string]")],
    },
)
"""Of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto."""
