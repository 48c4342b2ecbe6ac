"""A PostgreSQL server of the tests' own: in a temporary folder, on a loopback port, never as root."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_ports

PACKAGE = "postgresql"
_PROGRAMS = Path("/usr/lib/postgresql")
_START_SECONDS = 60
_FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "20"}


@dataclass
class Cluster:
    """One that runs, and can be stopped and started. ``url`` is of a database of it, for SQLAlchemy."""

    programs: Path
    folder: Path
    port: int
    url: str
    as_user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It takes connections when this returns."""
        settings = {
            **_FOR_TESTS,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": self.port,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        log = self.folder / "log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *options],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                **self.as_user,
            )
        _wait(self.process, log)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """It ends; at SIGTERM it would wait for whoever is still connected, at SIGQUIT it asks nobody."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def reload(self) -> None:
        """It reads its settings anew."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a database. Debian's package is installed where it is missing."""
    with cluster() as one:
        yield one.url


@contextmanager
def cluster(folder: Path | None = None) -> Iterator[Cluster]:
    """The same, to be stopped and started; in ``folder``, if there is one."""
    programs = _programs()
    as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    made = Path(tempfile.mkdtemp(prefix="antenna-postgres-", dir=folder))
    one = None
    try:
        if as_user:
            shutil.chown(made, "postgres", "postgres")
        password = secrets.token_hex(16)
        _run(programs, made, password, as_user)
        (port,) = free_ports(1)
        url = f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/postgres"
        one = Cluster(programs, made, port, url, as_user)
        one.start()
        yield one
    finally:
        if one is not None:
            one.stop()
        shutil.rmtree(made, ignore_errors=True)


def _programs() -> Path:
    if not any(_PROGRAMS.glob("*/bin/initdb")):
        quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
        # Only the programs: no cluster of the machine's own is made or started.
        keep = Path("/etc/postgresql-common/createcluster.conf")
        keep.parent.mkdir(parents=True, exist_ok=True)
        if not keep.exists():
            keep.write_text("create_main_cluster = false\n")
        subprocess.run([*quiet, "update"], check=True, timeout=300)
        subprocess.run(
            [
                *quiet,
                "-o",
                "Dpkg::Options::=--force-confold",
                "install",
                "--yes",
                "--no-install-recommends",
                PACKAGE,
            ],
            check=True,
            timeout=600,
        )
    return max(_PROGRAMS.glob("*/bin/initdb")).parent


def _run(programs: Path, folder: Path, password: str, as_user: dict) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if as_user:
        shutil.chown(secret, "postgres", "postgres")
    argv = [
        *(programs / "initdb", "-D", folder / "data", "-U", "postgres", "--pwfile", secret, "--no-sync"),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder, check=False, **as_user)
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while b"ready to accept connections" not in log.read_bytes():
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.05)
