"""The operator in the form in which its manifest deploys it, as a process beside a light control plane.

Its arguments are those of the Deployment, with folders and ports of this host in their places; its rights
are those of its ServiceAccount. The Deployment itself is left out: nothing here runs containers.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from monitoring.manifests import monitoring_objects
from operators.api.crd import definitions
from operators.kube.client import Cluster
from operators.manifests import METRICS_READER, NAME, NAMESPACE, operator_objects
from tests.cluster.access import Access
from tests.cluster.comparison import read
from tests.cluster.tenant_controller import operators_kubeconfig
from tests.ports import free_ports

Object = dict[str, Any]
Figures = Mapping[str, Mapping[tuple[str, ...], float]]

GRACE_SECONDS = 30.0  # what a pod is given to end before it is killed: the API's own default
READY_SECONDS = 30.0
AUDIENCE = "antenna-operator"
_HERE = frozenset({"--listen", "--health-listen", "--usage-listen"})
_FOLDERS = frozenset({"--state", "--remote-credentials", "--cert-dir"})


def install(admin: Access, cluster: Cluster, tenants: Iterable[str]) -> None:
    """Everything that a site has of the operator but its Deployment, and where its scrapers look.

    ``tenants`` are the names of the Tenants that it is to have.
    """
    for definition in definitions():
        cluster.apply(definition, manager="test")
    admin.kubectl("wait", "--for=condition=Established", "crd/tenants.antenna.be", "--timeout=30s")
    images = {"store_image": "store", "alerter_image": "alerter", "alertmanager_image": "alertmanager"}
    monitoring = monitoring_objects(**images, nodes=["head"], retention_days=1, oncall=None)
    for obj in (*operator_objects(image="operator", head="head", tenants=tenants), *monitoring):
        if obj["kind"] not in ("Deployment", "PersistentVolume", "PersistentVolumeClaim"):
            cluster.apply(obj, manager="test")
    admin.kubectl("-n", "default", "create", "serviceaccount", "scraper")
    binding = ("clusterrolebinding", "test-scraper", f"--clusterrole={METRICS_READER}")
    admin.kubectl("create", *binding, "--serviceaccount=default:scraper")


def deployed_arguments() -> list[str]:
    """The arguments of the Deployment's container."""
    (deployment,) = (o for o in operator_objects(image="i", head="h") if o["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return list(container["args"])


class DeployedOperator:
    """One that can be started, ended and killed. ``folder`` keeps its state between its lives."""

    def __init__(
        self, admin: Access, folder: Path, arguments: Iterable[str], *, environment: Mapping[str, str] = {}
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.began = 0
        """Where in the log its present life begins, in bytes."""
        self._environment = dict(environment)
        self._token = admin.kubectl(
            *("-n", "default", "create", "token", "scraper", f"--audience={AUDIENCE}")
        ).strip()
        self._ports: dict[str, int] = {}
        self._arguments = [
            *("--kubeconfig", str(operators_kubeconfig(admin, folder, namespace=NAMESPACE, name=NAME))),
            *("--identity", "antenna-operator-0"),
            *(self._here(argument) for argument in arguments),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it is ready. Fails with its log where that takes longer than READY_SECONDS."""
        self.begin()
        return self.wait_until_ready()

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        self.began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "operators", *self._arguments],
                stderr=log,
                env={**os.environ, **self._environment},
            )

    def wait_until_ready(self) -> float:
        """As ``start``, of one that was begun."""
        began = time.monotonic()
        said = "nothing"
        while time.monotonic() - began < READY_SECONDS:
            assert self._process is not None
            assert self._process.poll() is None, self.told()
            try:
                self.get("/readyz")
                return time.monotonic() - began
            except urllib.error.HTTPError as error:
                said = error.read().decode().strip()
            except OSError as error:
                said = str(error)
            time.sleep(0.05)
        raise AssertionError(f"not ready after {READY_SECONDS:.0f} s: {said}\n{self.told()[-6000:]}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(GRACE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it whatever it does."""
        if self._process is not None and self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.end()

    def get(self, path: str) -> bytes:
        """A page, from the health port where there is one. Raises OSError, HTTPError among them."""
        if port := self._ports.get("--health-listen"):
            return _read(f"http://127.0.0.1:{port}{path}")
        return self._secured(path)

    def document(self, path: str) -> Object:
        """A document of the health port."""
        found: Object = json.loads(self.get(path))
        return found

    def scrape(self) -> Figures:
        """Every figure, as a scraper with a token gets them."""
        return read(self._secured("/metrics").decode())

    def told(self) -> str:
        """What its log has of its present life."""
        return self.log.read_bytes()[self.began :].decode()

    def errors(self) -> list[str]:
        """The lines of its present life that tell of an error, and those that nobody formatted."""
        text = "--log-format=json" not in self._arguments
        found = []
        for line in self.told().splitlines():
            if text and any(f" {level} " in line for level in ("INFO   ", "WARNING")):
                continue
            try:
                if not text and json.loads(line)["level"] in ("info", "warning"):
                    continue
            except ValueError:
                pass
            found.append(line)
        return found

    def _secured(self, path: str) -> bytes:
        port = self._ports["--listen"]
        if "--plain" in self._arguments:
            return _read(f"http://127.0.0.1:{port}{path}")
        # Its certificate is for the Service's name; that it is the published one is seen on a live site.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            f"https://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
            return bytes(answer.read())

    def _here(self, argument: str) -> str:
        option, _, value = argument.partition("=")
        if option in _HERE:
            (self._ports[option],) = free_ports(1)
            return f"{option}=127.0.0.1:{self._ports[option]}"
        if option in _FOLDERS:
            folder = self.folder / value.strip("/").replace("/", "-")
            folder.mkdir(exist_ok=True)
            return f"{option}={folder}"
        return argument


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (loopback)
        return bytes(answer.read())
