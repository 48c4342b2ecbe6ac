"""The pinned tools: a row each. Their versions and checksums are held by go.mod and go.sum in the
folder that ``source`` names; a test keeps row and folder in step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """What to build of one Go module.

    ``binaries`` maps a package's import path to the name of its binary, ``symbols`` a variable's
    import path to the text that the linker puts there, ``tags`` are build tags. ``seconds`` is about what a
    build takes on two free cores with nothing cached, reckoned from builds on busy ones; it only feeds the
    progress line.
    """

    source: Path
    module: str
    version: str
    binaries: Mapping[str, str]
    seconds: int
    symbols: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The tool's folder, which is what people call it."""
        return self.source.name

    @property
    def link_flags(self) -> str:
        """For ``go build -ldflags``: no debug tables, and the version stamps."""
        return " ".join(["-s -w", *(f"-X {name}={text}" for name, text in self.symbols.items())])


KUBERNETES_VERSION = "v1.37.2"
KUEUE_VERSION = "v0.19.2"
OIDC_VERSION = "v3.52.0"
VICTORIAMETRICS_VERSION = "v1.150.0"
ALERTMANAGER_VERSION = "v0.31.1"


def _kubernetes_stamps() -> dict[str, str]:
    """As upstream's hack/lib/version.sh does it; without them the parts disagree about versions."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    stamps = {"Version": KUBERNETES_VERSION, "Major": major, "Minor": minor, "TreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.git{name}": text for package in packages for name, text in stamps.items()}


TOOLS = (
    Tool(
        source=SOURCES / "kubernetes",
        module="k8s.io/kubernetes",
        version=KUBERNETES_VERSION,
        binaries={
            "k8s.io/kubernetes/cmd/kube-apiserver": "kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager": "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler": "kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet": "kubelet",
            "k8s.io/kubernetes/cmd/kubeadm": "kubeadm",
            "k8s.io/kubernetes/cmd/kube-proxy": "kube-proxy",
        },
        seconds=540,
        symbols=_kubernetes_stamps(),
    ),
    Tool(
        source=SOURCES / "containerd",
        module="github.com/containerd/containerd/v2",
        version="v2.4.2",
        binaries={
            "github.com/containerd/containerd/v2/cmd/containerd": "containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2": "containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr": "ctr",
        },
        seconds=37,
        symbols={"github.com/containerd/containerd/v2/version.Version": "v2.4.2"},
    ),
    Tool(
        source=SOURCES / "etcd",
        module="go.etcd.io/etcd/server/v3",
        version="v3.7.1",
        binaries={"go.etcd.io/etcd/server/v3": "etcd"},
        seconds=28,
    ),
    Tool(
        source=SOURCES / "coredns",
        module="github.com/coredns/coredns",
        version="v1.14.6",
        binaries={"antenna.be/tools/coredns": "coredns"},
        seconds=30,
    ),
    Tool(
        source=SOURCES / "kueue",
        module="sigs.k8s.io/kueue",
        version=KUEUE_VERSION,
        binaries={"sigs.k8s.io/kueue/cmd/kueue": "kueue"},
        seconds=150,
        symbols={"sigs.k8s.io/kueue/pkg/version.GitVersion": KUEUE_VERSION},
    ),
    Tool(
        source=SOURCES / "network_policy",
        module="sigs.k8s.io/kube-network-policies",
        version="v0.7.0",
        binaries={"antenna.be/tools/network_policy": "network-policy"},
        seconds=35,
    ),
    Tool(
        source=SOURCES / "pause",
        module="antenna.be/tools/pause",
        version="3.10.2",
        binaries={"antenna.be/tools/pause": "pause"},
        seconds=2,
    ),
    Tool(
        source=SOURCES / "issuer",
        module="github.com/zitadel/oidc/v3",
        version=OIDC_VERSION,
        binaries={"antenna.be/tools/issuer": "issuer"},
        seconds=30,
    ),
    Tool(
        source=SOURCES / "kwok",
        module="sigs.k8s.io/kwok",
        version="v0.8.0",
        binaries={
            "sigs.k8s.io/kwok/cmd/kwok": "kwok",
            "sigs.k8s.io/kwok/cmd/kwokctl": "kwokctl",
        },
        seconds=75,
        symbols={"sigs.k8s.io/kwok/pkg/consts.Version": "v0.8.0"},
    ),
    Tool(
        source=SOURCES / "victoriametrics",
        module="github.com/VictoriaMetrics/VictoriaMetrics",
        version=VICTORIAMETRICS_VERSION,
        binaries={
            f"github.com/VictoriaMetrics/VictoriaMetrics/app/{name}": name
            for name in ("victoria-metrics", "vmalert", "vmalert-tool")
        },
        seconds=60,
        symbols={"github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version": VICTORIAMETRICS_VERSION},
    ),
    Tool(
        source=SOURCES / "alertmanager",
        module="github.com/prometheus/alertmanager",
        version=ALERTMANAGER_VERSION,
        binaries={
            f"github.com/prometheus/alertmanager/cmd/{name}": name for name in ("alertmanager", "amtool")
        },
        seconds=50,
        symbols={"github.com/prometheus/common/version.Version": ALERTMANAGER_VERSION.removeprefix("v")},
        # Hours of people are in a time zone, and an image of one binary has no database of these.
        tags=("timetzdata",),
    ),
)


def rows(names: Collection[str]) -> list[Tool]:
    """The rows of those names in the table's order, in which what comes after Kubernetes finds much of it
    compiled. Names of others are left out.
    """
    return [row for row in TOOLS if row.name in names]


def tool(name: str) -> Tool:
    """The row of that name. Raises KeyError."""
    return {row.name: row for row in TOOLS}[name]
