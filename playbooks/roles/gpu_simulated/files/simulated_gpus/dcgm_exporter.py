"""Metrics of the simulated GPUs under the names, labels and help texts of NVIDIA's dcgm-exporter.

Who holds which GPU is asked of the kubelet's PodResources API (v1), as dcgm-exporter does. Energy is the
integral of power since the machine's boot. It is written down before it is shown, so that it never falls: a
start goes on from the file, and bridges the time in between with the mean of the powers before and after.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .card import Card, Holder, Reading, find_card, read
from .devices import device_ids, read_xid
from .messages import POD_RESOURCES as PB
from .messages import POD_RESOURCES_VERSION as API_VERSION

KUBELET = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
KUBELET_TIMEOUT_SECONDS = 2
SCRAPER_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Device:
    """One GPU at one moment; energy in mJ."""

    index: int
    uuid: str
    holder: Holder | None
    xid: int
    reading: Reading
    energy: float


# Name, type, help and value, as in dcgm-exporter's etc/default-counters.csv.
FAMILIES: tuple[tuple[str, str, str, Callable[[Device], float]], ...] = (
    ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).", lambda d: d.reading.clock),
    ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", lambda d: d.reading.temperature),
    ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", lambda d: d.reading.power),
    (
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Total energy consumption since boot (in mJ).",
        lambda d: round(d.energy),
    ),
    ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", lambda d: d.reading.utilisation),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", lambda d: d.reading.memory_traffic),
    ("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered.", lambda d: d.xid),
    ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", lambda d: d.reading.memory_free),
    ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", lambda d: d.reading.memory_used),
)


@dataclass(frozen=True)
class Machine:
    """What does not change while the program runs."""

    name: str
    model: str
    card: Card
    ids: list[str]
    resource: str
    faults: Path


@dataclass
class Meter:
    """Energy of each device since boot, in mJ, kept in a file that a boot empties."""

    path: Path
    at: float = 0.0
    rows: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            kept = json.loads(self.path.read_text())
            self.at, self.rows = kept["at"], kept["devices"]

    def advance(self, at: float, watts: dict[str, float]) -> dict[str, float]:
        """Energy of each device at ``at`` (seconds since boot), given its power then; on disk on return."""
        passed = max(0.0, at - self.at)
        for device, power in watts.items():
            before = self.rows.get(device, {"energy": 0.0, "watts": power})
            # Before the first look at a device nothing is known of it.
            joules = passed * (before["watts"] + power) / 2 if device in self.rows else 0.0
            self.rows[device] = {"energy": before["energy"] + 1000 * joules, "watts": power}
        self.at = at
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"at": self.at, "devices": self.rows}))
        fresh.replace(self.path)
        return {device: self.rows[device]["energy"] for device in watts}


@dataclass
class Exporter(Collector):
    """The devices as last looked at, for any number of scrapes."""

    machine: Machine
    kubelet: grpc.Channel
    meter: Meter
    holders: dict[str, Holder] = field(default_factory=dict)
    kubelet_answers: bool = True
    devices: tuple[Device, ...] = ()

    def look(self) -> None:
        """Learn who holds what, advance the energy, and show that from now on."""
        self.ask_kubelet()
        machine, now = self.machine, time.time()
        found = []
        for index, uuid in enumerate(machine.ids):
            holder, xid = self.holders.get(uuid), read_xid(machine.faults, index)
            seed = f"{holder.namespace}/{holder.pod}/{index}" if holder and not xid else None
            found.append(Device(index, uuid, holder, xid, read(machine.card, seed, now), 0.0))
        energy = self.meter.advance(time.monotonic(), {row.uuid: row.reading.power for row in found})
        self.devices = tuple(replace(row, energy=energy[row.uuid]) for row in found)

    def ask_kubelet(self) -> None:
        """Renew ``holders``. While the kubelet does not answer, pods run on: what it said last stays."""
        call = self.kubelet.unary_unary(
            f"/{API_VERSION}.PodResourcesLister/List",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=PB["ListPodResourcesResponse"].FromString,
        )
        try:
            answer = call(PB["ListPodResourcesRequest"](), timeout=KUBELET_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if self.kubelet_answers:
                print(f"the kubelet does not tell who holds which GPU: {error.code()}", flush=True)
            self.kubelet_answers = False
            return
        self.kubelet_answers = True
        self.holders = holders(answer, self.machine.resource)

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus_client."""
        devices = self.devices
        for name, kind, text, value in FAMILIES:
            metric = Metric(name, text, kind)
            for device in devices:
                metric.add_sample(name, self.labels(device), value(device))
            yield metric

    def labels(self, device: Device) -> dict[str, str]:
        """Labels of a device; those of its holder when it has one."""
        own = {
            "gpu": str(device.index),
            "UUID": device.uuid,
            "device": f"nvidia{device.index}",
            "modelName": self.machine.model,
            "Hostname": self.machine.name,
        }
        if not device.holder:
            return own
        holder = device.holder
        return own | {"container": holder.container, "namespace": holder.namespace, "pod": holder.pod}

    def render(self) -> bytes:
        """The text format. NVIDIA's counters lack the suffix that prometheus_client gives to their names."""
        text = generate_latest(self)
        for name, kind, _, _ in FAMILIES:
            if kind == "counter":
                text = text.replace(f" {name}_total ".encode(), f" {name} ".encode())
        return text


def holders(answer: Any, resource: str) -> dict[str, Holder]:
    """Who holds each device of that resource, by device id, in a ListPodResourcesResponse."""
    return {
        device: Holder(pod.namespace, pod.name, container.name)
        for pod in answer.pod_resources
        for container in pod.containers
        for row in container.devices
        if row.resource_name == resource
        for device in row.device_ids
    }


def handler(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    """Answers GET /metrics."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SCRAPER_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = exporter.render()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A line a scrape tells nobody anything."""

    return Handler


def serve(exporter: Exporter, address: str, port: int, interval: float, stopped: threading.Event) -> None:
    """Look every ``interval`` seconds and answer scrapes, until stopped."""
    exporter.look()
    server = ThreadingHTTPServer((address, port), handler(exporter))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    print(f"listening on {address}:{server.server_port}", flush=True)
    try:
        while not stopped.wait(interval):
            exporter.look()
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Metrics of simulated GPUs, as dcgm-exporter's")
    parser.add_argument("--machine", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--memory-mib", type=int, help="of each GPU; by default the model's own")
    parser.add_argument("--resource", default="nvidia.com/gpu")
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--energy-file", type=Path, required=True)
    parser.add_argument("--kubelet", type=Path, default=KUBELET)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    card = find_card(arguments.model)
    machine = Machine(
        name=arguments.machine,
        model=arguments.model,
        card=replace(card, memory_mib=arguments.memory_mib or card.memory_mib),
        ids=device_ids(arguments.machine, arguments.count),
        resource=arguments.resource,
        faults=arguments.faults,
    )
    # A kubelet that starts anew is to be found at once.
    options = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 1000)]
    with grpc.insecure_channel(f"unix://{arguments.kubelet}", options=options) as kubelet:
        exporter = Exporter(machine, kubelet, Meter(arguments.energy_file))
        serve(exporter, arguments.address, arguments.port, arguments.interval, stopped)


if __name__ == "__main__":
    main()
