#!/usr/bin/env python3
"""GPUs that are not there, offered to the kubelet through its device plugin API (v1beta1).

Ids look like those of real devices and stay the same for a machine: GPU-<uuid5 of machine and index>.
A file named after an id or an index in the faults folder makes that device unhealthy; removing it heals it.
Runs on a machine's own Python with grpcio and protobuf (3.20 or later).
"""

from __future__ import annotations

import argparse
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

API_VERSION = "v1beta1"
SOCKETS = Path("/var/lib/kubelet/device-plugins")
POLL_SECONDS = 1.0
REGISTER_TIMEOUT_SECONDS = 10
ID_SPACE = uuid.UUID("6a1f7d0c-4c57-5a55-9f0e-0d6f3c1b7a11")

# Messages of k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto, the fields that are used here:
# message -> (field, number, type). A type in brackets repeats; "map" is map<string, string>.
MESSAGES: dict[str, list[tuple[str, int, str]]] = {
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
}

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {"bool": FIELD.TYPE_BOOL, "string": FIELD.TYPE_STRING}


def add_field(message: Any, name: str, number: int, kind: str) -> None:
    """Add one field of the table above to a message's descriptor."""
    bare = kind.strip("[]")
    field = message.field.add(name=name, number=number)
    field.label = FIELD.LABEL_REPEATED if bare != kind or kind == "map" else FIELD.LABEL_OPTIONAL
    if kind == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        add_field(entry, "key", 1, "string")
        add_field(entry, "value", 2, "string")
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = f".{API_VERSION}.{message.name}.{entry.name}"
    elif bare in SCALARS:
        field.type = SCALARS[bare]
    else:
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = f".{API_VERSION}.{bare}"


def message_classes() -> dict[str, Any]:
    """A protobuf class for each message of the table."""
    file = descriptor_pb2.FileDescriptorProto(name="deviceplugin.proto", package=API_VERSION, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for row in fields:
            add_field(message, *row)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{API_VERSION}.{name}") for name in MESSAGES}
    # protobuf 4.22 renamed it; Debian 12 has 3.21.
    factory: Any = message_factory
    new = getattr(factory, "GetMessageClass", None)
    make = new or factory.MessageFactory(pool).GetPrototype
    return {name: make(descriptor) for name, descriptor in found.items()}


PB = message_classes()


def device_ids(machine: str, count: int) -> list[str]:
    """Ids of a machine's devices, in the order of their indices."""
    return [f"GPU-{uuid.uuid5(ID_SPACE, f'{machine}/{index}')}" for index in range(count)]


def healths(ids: list[str], faults: set[str]) -> dict[str, str]:
    """Health of each device, given the names in the faults folder (ids or indices)."""
    bad = {device for index, device in enumerate(ids) if device in faults or str(index) in faults}
    return {device: "Unhealthy" if device in bad else "Healthy" for device in ids}


@dataclass(frozen=True)
class Plugin:
    """What the kubelet asks of a device plugin, and the state of its devices."""

    ids: list[str]
    faults: Path
    stopped: threading.Event

    def read_healths(self) -> dict[str, str]:
        """Health of each device now."""
        names = {path.name for path in self.faults.iterdir()} if self.faults.is_dir() else set()
        return healths(self.ids, names)

    def options(self, request: Any, context: Any) -> Any:
        """GetDevicePluginOptions: neither of the optional calls is wanted."""
        return PB["DevicePluginOptions"]()

    def list_and_watch(self, request: Any, context: Any) -> Iterator[Any]:
        """ListAndWatch: all devices, and again whenever one's health changes."""
        sent: dict[str, str] = {}
        while context.is_active() and not self.stopped.is_set():
            if (found := self.read_healths()) != sent:
                sent = found
                devices = [PB["Device"](ID=device, health=health) for device, health in found.items()]
                yield PB["ListAndWatchResponse"](devices=devices)
            self.stopped.wait(POLL_SECONDS)

    def allocate(self, request: Any, context: Any) -> Any:
        """Allocate: the container learns its devices as it would from NVIDIA's runtime."""
        rows = [
            PB["ContainerAllocateResponse"](envs={"NVIDIA_VISIBLE_DEVICES": ",".join(row.devices_ids)})
            for row in request.container_requests
        ]
        return PB["AllocateResponse"](container_responses=rows)

    def pre_start(self, request: Any, context: Any) -> Any:
        """PreStartContainer and GetPreferredAllocation: never asked for by ``options``."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not offered")

    def handler(self) -> Any:
        """The methods by name, for a gRPC server."""

        def call(kind: Any, method: Any, request: str) -> Any:
            return kind(
                method,
                request_deserializer=PB[request].FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )

        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "GetDevicePluginOptions": call(unary, self.options, "Empty"),
            "ListAndWatch": call(stream, self.list_and_watch, "Empty"),
            "Allocate": call(unary, self.allocate, "AllocateRequest"),
            "PreStartContainer": call(unary, self.pre_start, "Empty"),
            "GetPreferredAllocation": call(unary, self.pre_start, "Empty"),
        }
        return grpc.method_handlers_generic_handler(f"{API_VERSION}.DevicePlugin", methods)


def register(kubelet: Path, endpoint: str, resource: str) -> None:
    """Tell the kubelet where the plugin listens. Raises grpc.RpcError when it does not answer."""
    with grpc.insecure_channel(f"unix://{kubelet}") as channel:
        call = channel.unary_unary(
            f"/{API_VERSION}.Registration/Register",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=PB["Empty"].FromString,
        )
        request = PB["RegisterRequest"](version=API_VERSION, endpoint=endpoint, resource_name=resource)
        call(request, timeout=REGISTER_TIMEOUT_SECONDS, wait_for_ready=True)


def inode(path: Path) -> int:
    """Number that changes when a socket is made anew; 0 when there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def serve(plugin: Plugin, sockets: Path, resource: str) -> None:
    """Offer the devices until stopped; again whenever the kubelet starts anew.

    A starting kubelet empties the folder and makes its own socket there, so a missing socket of ours or a
    new one of its says that it has forgotten us.
    """
    kubelet, ours = sockets / "kubelet.sock", sockets / "antenna-gpus.sock"
    while not plugin.stopped.is_set():
        if not inode(kubelet):
            plugin.stopped.wait(POLL_SECONDS)
            continue
        ours.unlink(missing_ok=True)
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        server.add_generic_rpc_handlers((plugin.handler(),))
        server.add_insecure_port(f"unix://{ours}")
        server.start()
        known = inode(kubelet)
        try:
            register(kubelet, ours.name, resource)
            print(f"registered {len(plugin.ids)} x {resource}", flush=True)
            while inode(kubelet) == known and inode(ours) and not plugin.stopped.is_set():
                plugin.stopped.wait(POLL_SECONDS)
        except grpc.RpcError as error:
            print(f"the kubelet does not take the registration: {error.code()}", flush=True)
            plugin.stopped.wait(POLL_SECONDS)
        finally:
            server.stop(grace=None).wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Simulated GPUs as a kubelet device plugin")
    parser.add_argument("--machine", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--resource", default="nvidia.com/gpu")
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, default=SOCKETS)
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    plugin = Plugin(device_ids(arguments.machine, arguments.count), arguments.faults, stopped)
    serve(plugin, arguments.sockets, arguments.resource)


if __name__ == "__main__":
    main()
