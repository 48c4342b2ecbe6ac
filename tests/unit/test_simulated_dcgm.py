"""The simulated GPUs' exporter, as a process: a kubelet that is played here says who holds what."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from playbooks.roles.gpu_simulated.files.simulated_gpus.card import CARDS, H100, find_card, read
from playbooks.roles.gpu_simulated.files.simulated_gpus.devices import device_ids
from playbooks.roles.gpu_simulated.files.simulated_gpus.messages import POD_RESOURCES as PB

PROGRAMS = Path(__file__).parents[2] / "playbooks/roles/gpu_simulated/files"
MODEL = "NVIDIA-H100-80GB-HBM3"
IDS = device_ids("gpu-1", 4)
DEADLINE_SECONDS = 90
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
T = TypeVar("T")


class Kubelet:
    """The PodResources service of a kubelet; ``pods`` is {(namespace, pod, container): [device id]}."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.pods: dict[tuple[str, str, str], list[str]] = {}
        self.resource = "nvidia.com/gpu"
        self.start()

    def start(self) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            self.list,
            request_deserializer=PB["ListPodResourcesRequest"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),)
        )
        self.server.add_insecure_port(f"unix://{self.socket}")
        self.server.start()

    def list(self, request: Any, context: Any) -> Any:
        pods = []
        for (namespace, pod, container), ids in self.pods.items():
            devices = [PB["ContainerDevices"](resource_name=self.resource, device_ids=ids)]
            containers = [PB["ContainerResources"](name=container, devices=devices)]
            pods.append(PB["PodResources"](namespace=namespace, name=pod, containers=containers))
        return PB["ListPodResourcesResponse"](pod_resources=pods)

    def stop(self) -> None:
        self.server.stop(None).wait()


class Exporter:
    """The real program, on a port of the system's choice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        options = {
            "machine": "gpu-1",
            "model": MODEL,
            "count": "4",
            "faults": str(self.folder / "faults"),
            "energy-file": str(self.folder / "energy.json"),
            "kubelet": str(self.folder / "kubelet.sock"),
            "address": "127.0.0.1",
            "port": "0",
            "interval": "0.05",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulated_gpus.dcgm_exporter"]
            + [word for name, value in options.items() for word in (f"--{name}", value)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROGRAMS)},
        )
        assert self.process.stdout
        timer = threading.Timer(DEADLINE_SECONDS, self.process.kill)
        timer.start()
        self.said: list[str] = []
        self.port = 0
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.match(r"listening on 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        timer.cancel()
        assert self.port, self.said

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE_SECONDS)
        assert self.process.stdout
        self.said += self.process.stdout
        self.process.stdout.close()
        return status

    def scrape(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return answer.read().decode()

    def values(self, family: str) -> list[float]:
        """The family's values, by device index."""
        rows = {int(labels["gpu"]): value for labels, value in self.samples(family)}
        return [rows[index] for index in sorted(rows)]

    def samples(self, family: str) -> list[tuple[dict[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for found in text_string_to_metric_families(self.scrape())
            for sample in found.samples
            if found.name == family
        ]


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    played = Kubelet(tmp_path / "kubelet.sock")
    yield played
    played.stop()


@pytest.fixture
def exporter(tmp_path: Path, kubelet: Kubelet) -> Iterator[Exporter]:
    for index in range(4):
        (tmp_path / "faults" / str(index)).mkdir(parents=True)
    running = Exporter(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


def eventually(holds: Callable[[], T]) -> T:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)
    return found


def run_pod(kubelet: Kubelet, exporter: Exporter, *ids: str, pod: str = "train-0") -> None:
    kubelet.pods[("tenant-flanders", pod, "main")] = list(ids)
    eventually(lambda: any(row.get("pod") == pod for row, _ in exporter.samples("DCGM_FI_DEV_GPU_UTIL")))


def test_it_publishes_the_families_of_dcgm_exporter_under_their_names(exporter: Exporter) -> None:
    text = exporter.scrape()
    assert f"# HELP {ENERGY} Total energy consumption since boot (in mJ).\n# TYPE {ENERGY} counter\n" in text
    assert "# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.\n" in text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "DCGM_FI_DEV_SM_CLOCK": "gauge",
        "DCGM_FI_DEV_GPU_TEMP": "gauge",
        "DCGM_FI_DEV_POWER_USAGE": "gauge",
        ENERGY: "counter",
        "DCGM_FI_DEV_GPU_UTIL": "gauge",
        "DCGM_FI_DEV_MEM_COPY_UTIL": "gauge",
        "DCGM_FI_DEV_XID_ERRORS": "gauge",
        "DCGM_FI_DEV_FB_FREE": "gauge",
        "DCGM_FI_DEV_FB_USED": "gauge",
    }
    assert {len(family.samples) for family in families.values()} == {4}


def test_a_gpu_that_nobody_holds_idles(exporter: Exporter) -> None:
    assert exporter.values("DCGM_FI_DEV_POWER_USAGE") == [70.0] * 4
    assert exporter.values("DCGM_FI_DEV_GPU_UTIL") == [0.0] * 4
    assert exporter.values("DCGM_FI_DEV_FB_USED") == [0.0] * 4
    assert exporter.values("DCGM_FI_DEV_FB_FREE") == [81559.0] * 4
    labels, _ = exporter.samples("DCGM_FI_DEV_GPU_UTIL")[1]
    assert labels == {
        "gpu": "1", "UUID": IDS[1], "device": "nvidia1", "modelName": MODEL, "Hostname": "gpu-1"
    }  # fmt: skip


def test_a_gpu_works_for_the_pod_that_holds_it_and_idles_after(exporter: Exporter, kubelet: Kubelet) -> None:
    run_pod(kubelet, exporter, IDS[0], IDS[2])
    labels, _ = exporter.samples("DCGM_FI_DEV_POWER_USAGE")[2]
    assert (labels["namespace"], labels["pod"], labels["container"]) == ("tenant-flanders", "train-0", "main")
    power = exporter.values("DCGM_FI_DEV_POWER_USAGE")
    assert power[1] == power[3] == 70
    assert 570 < power[0] <= 700
    assert 570 < power[2] <= 700
    assert all(util >= 80 for util in exporter.values("DCGM_FI_DEV_GPU_UTIL")[0:3:2])
    used, free = exporter.values("DCGM_FI_DEV_FB_USED"), exporter.values("DCGM_FI_DEV_FB_FREE")
    assert used[0] > 81559 / 2
    assert [a + b for a, b in zip(used, free, strict=True)] == [81559] * 4
    kubelet.pods.clear()
    eventually(lambda: exporter.values("DCGM_FI_DEV_POWER_USAGE") == [70.0] * 4)
    assert all("pod" not in labels for labels, _ in exporter.samples("DCGM_FI_DEV_GPU_UTIL"))


def test_devices_of_another_resource_are_not_its_own(exporter: Exporter, kubelet: Kubelet) -> None:
    kubelet.resource = "example.com/fpga"
    kubelet.pods[("default", "other", "main")] = [IDS[3]]
    time.sleep(0.5)
    assert exporter.values("DCGM_FI_DEV_GPU_UTIL") == [0.0] * 4


def test_energy_is_the_integral_of_power(exporter: Exporter, kubelet: Kubelet) -> None:
    run_pod(kubelet, exporter, IDS[0])
    before, started = exporter.values(ENERGY), time.monotonic()
    power = exporter.values("DCGM_FI_DEV_POWER_USAGE")
    time.sleep(2)
    joules = [(b - a) / 1000 for a, b in zip(before, exporter.values(ENERGY), strict=True)]
    # The two were looked at in the same moments, whatever else this machine does.
    assert joules[0] / joules[1] == pytest.approx(power[0] / power[1], rel=0.05)
    assert joules[1] == pytest.approx(70 * (time.monotonic() - started), rel=0.3)


def test_energy_never_falls_however_the_program_ends(exporter: Exporter, kubelet: Kubelet) -> None:
    run_pod(kubelet, exporter, *IDS)
    seen = exporter.values(ENERGY)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        exporter.stop(number)
        exporter.start()
        found = exporter.values(ENERGY)
        assert all(now >= then > 0 for now, then in zip(found, seen, strict=True))
        seen = found


def test_the_time_without_the_program_counts_with_the_power_around_it(exporter: Exporter) -> None:
    eventually(lambda: exporter.values(ENERGY)[0] > 0)
    before, started = exporter.values(ENERGY)[0], time.monotonic()
    exporter.stop()
    time.sleep(1)
    exporter.start()
    joules = (exporter.values(ENERGY)[0] - before) / 1000
    assert joules == pytest.approx(70 * (time.monotonic() - started), rel=0.3)


def test_a_fault_shows_its_xid_and_stops_the_work_until_it_heals(
    exporter: Exporter, kubelet: Kubelet, tmp_path: Path
) -> None:
    run_pod(kubelet, exporter, IDS[1])
    fault = tmp_path / "faults/1/xid"
    fault.write_text("79\n")
    eventually(lambda: exporter.values("DCGM_FI_DEV_XID_ERRORS") == [0, 79, 0, 0])
    labels, util = exporter.samples("DCGM_FI_DEV_GPU_UTIL")[1]
    assert (labels["pod"], util) == ("train-0", 0)
    fault.unlink()
    eventually(lambda: exporter.values("DCGM_FI_DEV_XID_ERRORS") == [0] * 4)
    assert exporter.values("DCGM_FI_DEV_GPU_UTIL")[1] >= 80


def test_it_keeps_what_it_knew_while_the_kubelet_is_away_and_finds_it_again(
    exporter: Exporter, kubelet: Kubelet
) -> None:
    run_pod(kubelet, exporter, IDS[0])
    kubelet.stop()
    time.sleep(0.5)
    assert exporter.values("DCGM_FI_DEV_GPU_UTIL")[0] >= 80
    kubelet.pods.clear()
    kubelet.start()
    eventually(lambda: exporter.values("DCGM_FI_DEV_GPU_UTIL") == [0.0] * 4)
    exporter.stop()
    assert sum("kubelet does not tell" in line for line in exporter.said) == 1


def test_it_starts_before_the_kubelet(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path)
    assert exporter.values("DCGM_FI_DEV_POWER_USAGE") == [70.0] * 4
    assert exporter.stop() == 0


def test_there_is_nothing_but_metrics(exporter: Exporter) -> None:
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"http://127.0.0.1:{exporter.port}/", timeout=10)


def test_the_load_is_smooth_and_the_same_for_whoever_asks() -> None:
    readings = [read(H100, "ns/pod/0", 1_800_000_000 + second) for second in range(600)]
    assert readings == [read(H100, "ns/pod/0", 1_800_000_000 + second) for second in range(600)]
    power = [row.power for row in readings]
    assert max(abs(b - a) for a, b in pairwise(power)) < 10
    assert max(power) - min(power) > 60
    assert len({row.memory_used for row in readings}) == 1
    assert readings != [read(H100, "ns/pod/1", 1_800_000_000 + second) for second in range(600)]


def test_every_card_keeps_within_its_own_limits() -> None:
    for name, card in CARDS:
        assert find_card(f"NVIDIA-{name}-x") == card
        for second in range(0, 3600, 7):
            reading = read(card, "ns/pod/0", second)
            assert card.idle_watts < reading.power <= card.tdp_watts
            assert 80 <= reading.utilisation <= 100
            assert 0 < reading.memory_used < card.memory_mib
            assert reading.temperature <= 80
