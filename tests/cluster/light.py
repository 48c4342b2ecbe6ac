"""A light control plane: a real API server with Kueue beside it, on loopback, ready in seconds.

kwokctl runs etcd, the API server, the controller manager and the scheduler as plain processes; kwok
plays the nodes and their pods. Kueue runs as upstream's manifests configure it, but outside of any
cluster: its webhooks are reached by URL.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.tools.light import ControlPlane, ensure_control_plane
from infra.tools.manifests import render_kueue
from infra.tools.pins import KUBERNETES_VERSION
from operators.api import crd
from operators.kube.client import connect
from operators.kube.errors import KubernetesError
from tests.cluster.access import Access
from tests.ports import free_ports

Object = dict[str, Any]
KUEUE_NAMESPACE = "kueue-system"
OWN_KUBELET = {"kwok.x-k8s.io/status": "custom"}
"""The annotation of pods that kwok leaves alone: the test plays their kubelet. kwok's own end at once."""
_PORTS = (
    "etcdPort",
    "etcdPeerPort",
    "kubeApiserverPort",
    "kubeControllerManagerPort",
    "kubeSchedulerPort",
    "kwokControllerPort",
)


@dataclass(frozen=True)
class LightCluster(Access):
    """One that is up. ``programs`` are the binaries that it runs, ``etcd`` the address of its store."""

    programs: ControlPlane
    etcd: str


@contextmanager
def light_cluster(
    folder: Path,
    *,
    kueue: bool = True,
    without: tuple[str, ...] = (),
    configured: Object | None = None,
    gates: tuple[str, ...] = (),
    api_server: Mapping[str, str] | None = None,
) -> Iterator[LightCluster]:
    """Up when entered, gone when left. ``folder`` is empty and holds all that it writes.

    ``without`` names programs that are not to run: ``kube-controller-manager``, ``kube-scheduler``;
    ``configured`` is what Kueue's configuration has besides, ``gates`` are features of it as in
    ``ElasticJobsViaWorkloadSlices=true``, ``api_server`` are further flags of the API server without their
    dashes.
    """
    programs = ensure_control_plane(print)
    name = f"light-{secrets.token_hex(4)}"
    kubeconfig = folder / "kubeconfig"
    environment = {
        **os.environ,
        "KWOK_WORKDIR": str(folder / "kwok"),
        "KWOK_KUBE_VERSION": KUBERNETES_VERSION,
    }
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    configuration = _kwokctl_configuration(folder, programs, ports, api_server or {})
    kwokctl: list[str | Path] = [programs.kwokctl, "--config", configuration]
    create: list[str | Path] = ["create", "cluster", "--name", name, "--kubeconfig", kubeconfig]
    try:
        with ThreadPoolExecutor(1) as meanwhile:
            rendered = meanwhile.submit(kueue_manifests) if kueue else None
            _run([*kwokctl, *create, *(f"--disable={program}" for program in without)], environment)
        cluster = LightCluster(kubeconfig, programs, f"http://127.0.0.1:{ports['etcdPort']}")
        beside = kueue_beside(cluster, folder / "kueue", rendered, configured, gates) if rendered else None
        with beside or nullcontext():
            _wait_until_ready(cluster)
            if kueue:
                _end(folder / "kwok" / "clusters" / name / "pids" / "kube-controller-manager.pid")
            # The controller manager ends itself where the API server is not healthy ten seconds after it:
            # on a busy host that happens. What runs is left alone.
            _run([*kwokctl, "start", "cluster", "--name", name], environment)
            yield cluster
    finally:
        _run([*kwokctl, "delete", "cluster", "--name", name, "--kubeconfig", kubeconfig], environment)


@contextmanager
def kueue_beside(
    cluster: LightCluster,
    folder: Path,
    rendered: Future[list[Object]] | None = None,
    configured: Object | None = None,
    gates: tuple[str, ...] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Kueue as a process of this host, with its CRDs and webhooks in the cluster; ready when entered."""
    certificates = folder / "etc" / "kueue" / "metrics" / "certs"
    certificates.mkdir(parents=True)
    authority = _self_signed(certificates)
    webhook, health, metrics = free_ports(3)
    documents = rendered.result() if rendered else kueue_manifests()
    url = f"https://127.0.0.1:{webhook}"
    _install(cluster, documents, url=url, authority=authority)
    configuration = folder / "configuration.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                **shipped_configuration(documents),
                **(configured or {}),
                "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
                "metrics": {"bindAddress": f"127.0.0.1:{metrics}"},
                "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(certificates)},
                "internalCertManagement": {"enable": False},
                "leaderElection": {"leaderElect": False},
            }
        )
    )
    log = folder / "log"
    with log.open("wb") as output:
        # Kueue reads its metrics certificate from /etc/kueue and nowhere else: it is given an /etc of its
        # own, and the host's stays as it is.
        process = subprocess.Popen(
            [
                *("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",))),
                *("sh", "-c", 'mount --bind "$0" /etc && exec "$@"', folder / "etc", cluster.programs.kueue),
                *("--config", configuration, "--kubeconfig", cluster.kubeconfig),
                *("--feature-gates", ",".join(("VisibilityOnDemand=false", *gates))),
            ],
            env={**os.environ, "POD_NAMESPACE": KUEUE_NAMESPACE},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_kueue_is_ready(process, f"http://127.0.0.1:{health}/readyz", log)
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def kueue_manifests() -> list[Object]:
    """What a site installs, as documents."""
    return [d for d in yaml.load_all(render_kueue(), Loader=yaml.CSafeLoader) if d]


def shipped_configuration(documents: list[Object]) -> Object:
    """The configuration that these manifests give to Kueue."""
    (text,) = (
        document["data"]["controller_manager_config.yaml"]
        for document in documents
        if document["kind"] == "ConfigMap" and document["metadata"]["name"] == "kueue-manager-config"
    )
    configuration: Object = yaml.safe_load(text)
    return configuration


def _kwokctl_configuration(
    folder: Path, programs: ControlPlane, ports: dict[str, int], api_server: Mapping[str, str]
) -> Path:
    """kwokctl binds to every address of the host by default, etcd without authentication."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kwokctl.yaml"
    version = "config.kwok.x-k8s.io/v1alpha1"
    key, value = next(iter(OWN_KUBELET.items()))
    # kwokctl fills in kwok's own defaults only where nothing is said of kwok at all.
    kwok = {
        "disregardStatusWithAnnotationSelector": f"{key}={value}",
        "cidr": "10.0.0.1/24",
        "nodeIP": "10.0.0.1",
        "nodeLeaseDurationSeconds": 40,
        "nodeLeaseParallelism": 4,
        "nodePlayStageParallelism": 4,
        "podPlayStageParallelism": 4,
        "podsOnNodeSyncParallelism": 1,
    }
    path.write_text(
        yaml.safe_dump_all(
            [
                {"apiVersion": version, "kind": "KwokConfiguration", "options": kwok},
                _kwokctl_options(version, programs, ports, api_server),
            ]
        )
    )
    return path


def _kwokctl_options(
    version: str, programs: ControlPlane, ports: dict[str, int], api_server: Mapping[str, str]
) -> Object:
    return {
        "apiVersion": version,
        "kind": "KwokctlConfiguration",
        "componentsPatches": [
            # Each is the only one of its kind: on a busy host it would lose the lease to nobody, and end.
            *(
                {"name": name, "extraArgs": [{"key": "leader-elect", "value": "false"}]}
                for name in ("kube-controller-manager", "kube-scheduler")
            ),
            # As kubeadm has it: each controller is a service account, which policies tell from people.
            {
                "name": "kube-controller-manager",
                "extraArgs": [{"key": "use-service-account-credentials", "value": "true"}],
            },
            {
                "name": "kube-apiserver",
                "extraArgs": [{"key": key, "value": value} for key, value in api_server.items()],
            },
            # What it holds need not outlive the host, whose disk others keep busy.
            {"name": "etcd", "extraArgs": [{"key": "unsafe-no-fsync", "value": "true"}]},
        ],
        "options": {
            "runtime": "binary",
            "bindAddress": "127.0.0.1",
            "disableQPSLimits": True,
            # Chosen here: kwokctl counts down from one number, and two at once would meet.
            **ports,
            "etcdBinary": str(programs.etcd),
            "kubeApiserverBinary": str(programs.kube_apiserver),
            "kubeControllerManagerBinary": str(programs.kube_controller_manager),
            "kubeSchedulerBinary": str(programs.kube_scheduler),
            "kubectlBinary": str(programs.kubectl),
            "kwokControllerBinary": str(programs.kwok),
        },
    }


def install_definitions(cluster: LightCluster) -> None:
    """Kueue's CRDs alone: its objects can be kept and read as stored, and nobody acts on them."""
    definitions = [d for d in kueue_manifests() if d["kind"] == "CustomResourceDefinition"]
    for definition in definitions:
        definition["spec"].pop("conversion", None)
    _create(cluster, definitions)


def _install(cluster: LightCluster, documents: list[Object], *, url: str, authority: bytes) -> None:
    """Our own CRDs, and Kueue's namespace, CRDs and webhooks, these by URL in place of a Service."""
    bundle = base64.b64encode(authority).decode()

    def by_url(client: Object) -> Object:
        return {"url": url + client["service"]["path"], "caBundle": bundle}

    wanted = [*crd.definitions()]
    for document in documents:
        if document["kind"] in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            for hook in document["webhooks"]:
                hook["clientConfig"] = by_url(hook["clientConfig"])
        elif document["kind"] == "CustomResourceDefinition":
            conversion = document["spec"].get("conversion", {})
            if "webhook" in conversion:
                conversion["webhook"]["clientConfig"] = by_url(conversion["webhook"]["clientConfig"])
        elif document["kind"] != "Namespace":
            continue
        wanted.append(document)
    _create(cluster, wanted)


def _create(cluster: LightCluster, documents: Iterable[Object]) -> None:
    """All of them at once; CRDs are served when this returns."""
    client = connect(cluster.kubeconfig)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(_patiently(client.create), documents))

    @_patiently
    def established() -> None:
        for definition in client.list_objects("apiextensions.k8s.io/v1", "CustomResourceDefinition"):
            conditions = definition.get("status", {}).get("conditions")
            if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions or ()):
                raise OSError(f"{definition['metadata']['name']} is not established")

    established()
    client.close()


def _self_signed(folder: Path) -> bytes:
    """tls.crt and tls.key for 127.0.0.1, valid for a day; the certificate, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "light kueue")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "tls.crt").write_bytes(pem)
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


def _end(pid_file: Path) -> None:
    """End the controller manager, if it runs here: the next one counts, for quotas, the kinds defined since.

    One that runs looks for new kinds twice a minute; until then none is made where a quota names it.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()


_patiently = retry(
    retry=retry_if_exception_type((OSError, KubernetesError)),
    stop=stop_after_delay(60),
    wait=wait_fixed(0.1),
    reraise=True,
)


def _wait_until_ready(cluster: LightCluster) -> None:
    client = connect(cluster.kubeconfig)
    _patiently(client.request)("GET", "/readyz")
    client.close()


def _wait_until_kueue_is_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    @_patiently
    def ready() -> None:
        if process.poll() is not None:
            raise AssertionError(f"kueue ended:\n{log.read_text()[-3000:]}")
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 (loopback, http)

    ready()


def _run(command: list[str | Path], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
