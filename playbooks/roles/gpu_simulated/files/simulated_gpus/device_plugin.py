"""GPUs that are not there, offered to the kubelet through its device plugin API (v1beta1)."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from .devices import device_ids, read_xid
from .messages import DEVICE_PLUGIN as PB
from .messages import DEVICE_PLUGIN_VERSION as API_VERSION

SOCKETS = Path("/var/lib/kubelet/device-plugins")
POLL_SECONDS = 1.0
REGISTER_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Plugin:
    """What the kubelet asks of a device plugin, and the state of its devices."""

    ids: list[str]
    faults: Path
    stopped: threading.Event

    def read_healths(self) -> dict[str, str]:
        """Health of each device now."""
        return {
            device: "Unhealthy" if read_xid(self.faults, index) else "Healthy"
            for index, device in enumerate(self.ids)
        }

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
