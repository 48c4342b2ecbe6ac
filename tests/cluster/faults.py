"""Faults between a client and its API server, and in the server itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from tests.cluster.light import LightCluster


class Proxy:
    """Forwards TCP connections to ``port`` of loopback, until told otherwise.

    ``stall()``: connections stay open and are accepted, and nothing goes through, in silence.
    ``cut()``: connections break and new ones are refused. ``mend()`` ends either; what was stalled stays
    dead, as behind a firewall that has forgotten it.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._accept()

    def stall(self) -> None:
        self._open.clear()

    def cut(self) -> None:
        with suppress(OSError):  # cut already
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave accept() waiting
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def mend(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept()
        self._open.set()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._sockets.append(client)
                if not self._open.is_set():
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._sockets.append(server)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self._open.is_set():
                    return  # neither forwarded nor closed
                target.sendall(data)
        if self._open.is_set():
            for one in (source, target):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(kubeconfig: Path, folder: Path) -> Iterator[tuple[Proxy, Path]]:
    """A proxy before the API server, and a kubeconfig that leads through it."""
    config = yaml.safe_load(kubeconfig.read_text())
    (entry,) = config["clusters"]
    proxy = Proxy(int(entry["cluster"]["server"].rpartition(":")[2]))
    entry["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    through = folder / "proxied"
    through.write_text(yaml.safe_dump(config))
    try:
        yield proxy, through
    finally:
        proxy.cut()


@contextmanager
def stopped(
    cluster: LightCluster,
    program: str,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """A program of the control plane is killed, and started again as it was, with these added."""
    pid = pid_of(cluster, program)
    command = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    folder = Path(f"/proc/{pid}/cwd").readlink()
    os.kill(pid, signal.SIGKILL)
    while _runs(pid):
        time.sleep(0.02)
    try:
        yield
    finally:
        pids = _pid_file(cluster, program)
        with (pids.parent.parent / "logs" / f"{program}.log").open("ab") as log:
            again = subprocess.Popen(
                [*command, *(argument for argument in arguments if argument not in command)],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pids.write_text(str(again.pid))


def pid_of(cluster: LightCluster, program: str) -> int:
    """The process of a program of the control plane."""
    return int(_pid_file(cluster, program).read_text())


def _pid_file(cluster: LightCluster, program: str) -> Path:
    return next(cluster.kubeconfig.parent.glob(f"kwok/clusters/*/pids/{program}.pid"))


def _runs(pid: int) -> bool:
    """Whether a thread of it is left. Its first one can have ended, and others still hold its port."""
    process = Path(f"/proc/{pid}")
    try:
        ended = "\nState:\tZ" in (process / "status").read_text()
        return not ended or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def compact(cluster: LightCluster) -> None:
    """Have etcd forget all versions but the present one (its JSON gateway)."""

    def call(path: str, body: bytes) -> bytes:
        request = urllib.request.Request(f"{cluster.etcd}/v3/kv/{path}", data=body)  # noqa: S310 (loopback)
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return bytes(answer.read())

    revision = yaml.safe_load(call("range", b'{"key": "Lw=="}'))["header"]["revision"]
    call("compaction", f'{{"revision": "{revision}", "physical": true}}'.encode())
