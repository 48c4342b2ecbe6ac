"""The simulated GPUs speak the kubelet's device plugin API: a kubelet that is played here says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from playbooks.roles.gpu_simulated.files.simulated_gpus.device_plugin import Plugin, serve
from playbooks.roles.gpu_simulated.files.simulated_gpus.devices import device_ids, read_xid
from playbooks.roles.gpu_simulated.files.simulated_gpus.messages import DEVICE_PLUGIN as PB

DEADLINE_SECONDS = 60


class Kubelet:
    """The registration service of a kubelet, on a socket in a folder of its own."""

    def __init__(self, sockets: Path) -> None:
        self.sockets = sockets
        self.registered: list[Any] = []
        self.seen = threading.Semaphore(0)
        self.start()

    def start(self) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            self.register,
            request_deserializer=PB["RegisterRequest"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": handler}),)
        )
        self.server.add_insecure_port(f"unix://{self.sockets}/kubelet.sock")
        self.server.start()

    def register(self, request: Any, context: Any) -> Any:
        self.registered.append(request)
        self.seen.release()
        return PB["Empty"]()

    def stop(self) -> None:
        self.server.stop(None).wait()


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    for index in range(4):
        (tmp_path / "faults" / str(index)).mkdir(parents=True)
    played = Kubelet(tmp_path)
    stopped = threading.Event()
    plugin = Plugin(device_ids("gpu-1", 4), tmp_path / "faults", stopped)
    thread = threading.Thread(target=serve, args=(plugin, tmp_path, "nvidia.com/gpu"))
    thread.start()
    assert played.seen.acquire(timeout=DEADLINE_SECONDS)
    yield played
    stopped.set()
    thread.join(DEADLINE_SECONDS)
    played.stop()
    assert not thread.is_alive()


def call(kubelet: Kubelet, channel: grpc.Channel, method: str, request: Any, answer: str) -> Any:
    kind = channel.unary_stream if answer == "ListAndWatchResponse" else channel.unary_unary
    return kind(
        f"/v1beta1.DevicePlugin/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=PB[answer].FromString,
    )(request, timeout=DEADLINE_SECONDS)


def dial(kubelet: Kubelet) -> grpc.Channel:
    return grpc.insecure_channel(f"unix://{kubelet.sockets}/{kubelet.registered[-1].endpoint}")


def test_it_registers_the_resource_under_the_version_that_the_kubelet_speaks(kubelet: Kubelet) -> None:
    request = kubelet.registered[0]
    assert (request.version, request.resource_name) == ("v1beta1", "nvidia.com/gpu")


def test_all_devices_are_healthy_until_one_has_an_xid_and_again_without_it(kubelet: Kubelet) -> None:
    with dial(kubelet) as channel:
        stream = call(kubelet, channel, "ListAndWatch", PB["Empty"](), "ListAndWatchResponse")
        devices = {device.ID: device.health for device in next(stream).devices}
        assert list(devices.values()) == ["Healthy"] * 4
        fault = kubelet.sockets / "faults/1/xid"
        fault.write_text("79\n")
        after = {device.ID: device.health for device in next(stream).devices}
        assert [after[device] for device in devices] == ["Healthy", "Unhealthy", "Healthy", "Healthy"]
        fault.unlink()
        assert [device.health for device in next(stream).devices] == ["Healthy"] * 4
        stream.cancel()


def test_a_container_learns_which_devices_are_its_own(kubelet: Kubelet) -> None:
    ids = device_ids("gpu-1", 2)
    container = PB["ContainerAllocateRequest"](devices_ids=ids)
    with dial(kubelet) as channel:
        request = PB["AllocateRequest"](container_requests=[container])
        answer = call(kubelet, channel, "Allocate", request, "AllocateResponse")
    assert answer.container_responses[0].envs["NVIDIA_VISIBLE_DEVICES"] == ",".join(ids)


def test_it_registers_again_with_a_kubelet_that_started_anew(kubelet: Kubelet) -> None:
    kubelet.stop()
    for socket in kubelet.sockets.glob("*.sock"):
        socket.unlink()
    kubelet.start()
    assert kubelet.seen.acquire(timeout=DEADLINE_SECONDS)
    assert len(kubelet.registered) == 2


def test_ids_look_real_and_stay_the_same() -> None:
    ids = device_ids("gpu-1", 4)
    assert ids == device_ids("gpu-1", 4)
    assert len(set(ids)) == 4
    assert set(ids).isdisjoint(device_ids("gpu-2", 4))
    assert all(device.startswith("GPU-") and len(device) == 40 for device in ids)


@pytest.mark.parametrize(("text", "xid"), [("79\n", 79), ("", 0), ("lost", 0), ("-1", 0)])
def test_only_a_number_in_the_file_is_a_fault(tmp_path: Path, text: str, xid: int) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "2/xid").write_text(text)
    assert [read_xid(tmp_path, index) for index in range(4)] == [0, 0, xid, 0]
