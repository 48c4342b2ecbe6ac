"""The container images of the embedded platform: a row each, named as upstream names them.

A real site pulls the same names from its registries. The Kubernetes rows are what
`kubeadm config images list` of the pinned kubeadm wants; a test asks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra import paths
from infra.tools import busybox, layers
from infra.tools.build import binary, directory
from infra.tools.cache import make_once
from infra.tools.layers import Contents, write_image
from infra.tools.pins import (
    ALERTMANAGER_VERSION,
    KUBERNETES_VERSION,
    KUEUE_VERSION,
    VICTORIAMETRICS_VERSION,
    tool,
)

Where = Literal["head", "all"]
"""Which nodes run it: the control plane's, or any."""


@dataclass(frozen=True)
class Image:
    """One program of a pinned tool under upstream's name.

    ``source`` is the tool and its binary, ``path`` where upstream puts it in the image.
    """

    reference: str
    where: Where
    source: tuple[str, str]
    path: str
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The archive's name in a node's folder of images: "kube-apiserver.tar"."""
        return self.reference.rpartition(":")[0].rpartition("/")[2] + ".tar"


PAUSE = "registry.k8s.io/pause:3.10.2"
KUEUE = f"registry.k8s.io/kueue/kueue:{KUEUE_VERSION}"
VICTORIA_METRICS = f"docker.io/victoriametrics/victoria-metrics:{VICTORIAMETRICS_VERSION}"
VMALERT = f"docker.io/victoriametrics/vmalert:{VICTORIAMETRICS_VERSION}"
ALERTMANAGER = f"quay.io/prometheus/alertmanager:{ALERTMANAGER_VERSION}"
SAMPLE_WORK = "antenna.be/sample-work:1"

_APPLETS = ("cat", "date", "echo", "env", "false", "hostname", "id", "ls", "seq", "sh", "sleep", "true")


def _control_plane(name: str) -> Image:
    return Image(
        reference=f"registry.k8s.io/{name}:{KUBERNETES_VERSION}",
        where="head",
        source=("kubernetes", name),
        path=f"/usr/local/bin/{name}",
    )


def _victoriametrics(reference: str, name: str) -> Image:
    program = f"/{name}-prod"
    return Image(reference, "head", ("victoriametrics", name), program, (program,), user="65532:65532")


IMAGES = (
    _control_plane("kube-apiserver"),
    _control_plane("kube-controller-manager"),
    _control_plane("kube-scheduler"),
    _control_plane("kube-proxy"),
    Image("registry.k8s.io/etcd:3.7.0-0", "head", ("etcd", "etcd"), "/usr/local/bin/etcd"),
    Image(
        "registry.k8s.io/coredns/coredns:v1.14.6", "all", ("coredns", "coredns"), "/coredns", ("/coredns",)
    ),
    Image(PAUSE, "all", ("pause", "pause"), "/pause", ("/pause",), user="65535:65535"),
    Image(KUEUE, "all", ("kueue", "kueue"), "/manager", ("/manager",), user="65532:65532"),
    _victoriametrics(VICTORIA_METRICS, "victoria-metrics"),
    _victoriametrics(VMALERT, "vmalert"),
    Image(
        ALERTMANAGER,
        "head",
        ("alertmanager", "alertmanager"),
        "/bin/alertmanager",
        ("/bin/alertmanager",),
        user="65532:65532",
    ),
    Image(
        SAMPLE_WORK,
        "all",
        (busybox.PACKAGE, "busybox"),
        "/bin/busybox",
        user="65532:65532",
        links={f"/bin/{name}": "busybox" for name in _APPLETS},
    ),
)


def listing() -> list[dict[str, str]]:
    """The rows as plain data, for Ansible: ``name``, ``file`` below images/, ``where`` head or all."""
    return [{"name": image.reference, "file": image.file, "where": image.where} for image in IMAGES]


def ensure_archive(image: Image, waiting: Callable[[str], None]) -> Path:
    """The image's archive, made if it is not in the cache; its tool has been built."""
    name, program = image.source
    source = busybox.location() if name == busybox.PACKAGE else binary(tool(name), program)
    contents = Contents(
        files={image.path: source}, entrypoint=image.entrypoint, links=image.links, user=image.user
    )

    def make(scratch: Path, _lock: int) -> None:
        write_image(image.reference, contents, scratch / image.file)

    return make_once(folder(image), image.file, make, waiting) / image.file


def folder(image: Image) -> Path:
    """The folder of the image's archive in the cache, whether it is there or not."""
    name, _ = image.source
    made_from = "" if name == busybox.PACKAGE else directory(tool(name)).name
    content = hashlib.sha256(Path(layers.__file__).read_bytes() + f"{image} {made_from}".encode())
    return paths.cache_dir() / "images" / f"{image.file.removesuffix('.tar')}-{content.hexdigest()[:16]}"
