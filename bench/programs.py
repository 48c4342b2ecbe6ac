"""Runs what is measured, a process each, and reads what it costs from /proc."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # a second


@dataclass(frozen=True)
class Program:
    """How to run one, and how to read it."""

    name: str
    command: Callable[[Path, int, int, Path], list[str]]
    """kubeconfig, port of /metrics, port of /readyz, an empty folder -> arguments of Python."""
    own_health_port: bool
    has_ready: bool
    """Whether /readyz says when all has been listed; else the events tell."""
    job_series: bytes
    """The one series that each Job has begins so."""
    queue_jobs: re.Pattern[bytes]
    """Matches the series that count Jobs by queue and state; group 1 is the value."""
    count_path: str
    """Where the events that it has handled are told, ..."""
    events: re.Pattern[bytes]
    """... and the series that count those of Workloads; group 1 is the value."""


OPERATOR = Program(
    name="operator",
    command=lambda kubeconfig, port, health, folder: [
        *("-m", "operators", "--kubeconfig", str(kubeconfig), "--plain", "--no-controllers"),
        *("--listen", f"127.0.0.1:{port}", "--health-listen", f"127.0.0.1:{health}"),
        *("--state", str(folder)),
    ],
    own_health_port=True,
    has_ready=True,
    job_series=b"antenna_job_info{",
    queue_jobs=re.compile(rb"^antenna_queue_jobs\{[^\n]*\} (\S+)$", re.M),
    count_path="/metrics",
    events=re.compile(
        rb'^antenna_operator_events_total\{resource="workloads",type="(?:ADDED|MODIFIED|DELETED)"\} (\S+)$',
        re.M,
    ),
)
NAIVE = Program(
    name="prometheus_client collector",
    command=lambda kubeconfig, port, health, folder: [
        *("-m", "bench.peers.naive", "--kubeconfig", str(kubeconfig), "--port", str(port)),
    ],
    own_health_port=False,
    has_ready=True,
    job_series=b"naive_job_info{",
    queue_jobs=re.compile(rb"^naive_queue_jobs\{[^\n]*\} (\S+)$", re.M),
    count_path="/readyz",
    events=re.compile(rb"^events_total (\S+)$", re.M),
)
KOPF = Program(
    name="kopf on.event",
    command=lambda kubeconfig, port, health, folder: [
        *("-m", "bench.peers.kopf_events", "--port", str(port)),
    ],
    own_health_port=False,
    has_ready=False,
    job_series=b"",
    queue_jobs=re.compile(rb"(?!)"),
    count_path="/metrics",
    events=re.compile(rb"^events_total (\S+)$", re.M),
)


@dataclass(frozen=True)
class Scrape:
    """One answer of /metrics."""

    seconds: float
    cpu_seconds: float
    """Of the program that was scraped."""
    body: bytes
    read: float
    """When its last byte was here, by time.monotonic: to look for what is in it takes a while, too."""


@dataclass
class Running:
    """A program that runs."""

    program: Program
    process: subprocess.Popen[bytes]
    port: int
    health: int
    log: Path
    started: float
    """By time.monotonic."""

    def ready(self) -> bool:
        """Whether it says so itself."""
        try:
            return self._get(self.health, "/readyz")[0] == 200
        except OSError:
            self._alive()
            return False

    def scrape(self, *, packed: bool = False) -> Scrape:
        """One scrape, read to its end."""
        cpu, began = self.cpu_seconds(), time.monotonic()
        status, body = self._get(self.port, "/metrics", packed=packed)
        read = time.monotonic()
        if status != 200:
            raise RuntimeError(f"{self.program.name} answers {status}: {body[:300]!r}")
        return Scrape(read - began, self.cpu_seconds() - cpu, body, read)

    def events(self) -> int:
        """How many events of Workloads it has handled."""
        _, body = self._get(self.port, self.program.count_path)
        return int(sum(float(value) for value in self.program.events.findall(body)))

    def cpu_seconds(self) -> float:
        """User and system time of all its threads."""
        return cpu_seconds(self.process.pid)

    def peak_bytes(self) -> int:
        """The most memory that it ever held."""
        return peak_bytes(self.process.pid)

    def _get(self, port: int, path: str, *, packed: bool = False) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        headers = {
            "Accept": "text/plain;version=0.0.4",
            "Accept-Encoding": "gzip" if packed else "identity",
        }
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _alive(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.program.name} ended:\n{self.log.read_text()[-3000:]}")


@contextmanager
def running(program: Program, kubeconfig: Path, folder: Path) -> Iterator[Running]:
    """Started when entered, stopped when left. ``folder`` is empty."""
    folder.mkdir(parents=True)
    port, health = _free_port(), _free_port()
    log = folder / "log"
    command = [sys.executable, *program.command(kubeconfig, port, health, folder / "state")]
    (folder / "state").mkdir()
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment(kubeconfig),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(
            program,
            process,
            port,
            health if program.own_health_port else port,
            log,
            started,
        )
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(kubeconfig: Path) -> dict[str, str]:
    """What a measured program is started with."""
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        # Modules are compiled by the first run, as they are in an image: not by each.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(kubeconfig.parent / "compiled"),
    }


def cpu_seconds(pid: int, *, children: bool = False) -> float:
    """User and system time that a process has spent; with ``children`` also those of it that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11 : 15 if children else 13]) / _TICKS


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever held (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
