"""The programs of a light control plane: a real API server on this host, without machines or nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.tools.build import binary, build
from infra.tools.kubectl import kubectl
from infra.tools.pins import rows, tool
from infra.tools.progress import Report

TOOLS = ("kubernetes", "etcd", "kwok", "kueue")
"""What it is made from."""


@dataclass(frozen=True)
class ControlPlane:
    """Paths of the programs. They are in the cache after ``ensure_control_plane``."""

    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    etcd: Path
    kwok: Path
    kwokctl: Path
    kueue: Path
    kubectl: Path


def control_plane() -> ControlPlane:
    """Where the programs lie or will lie; builds nothing."""
    kubernetes = tool("kubernetes")
    return ControlPlane(
        kube_apiserver=binary(kubernetes, "kube-apiserver"),
        kube_controller_manager=binary(kubernetes, "kube-controller-manager"),
        kube_scheduler=binary(kubernetes, "kube-scheduler"),
        etcd=binary(tool("etcd"), "etcd"),
        kwok=binary(tool("kwok"), "kwok"),
        kwokctl=binary(tool("kwok"), "kwokctl"),
        kueue=binary(tool("kueue"), "kueue"),
        kubectl=kubectl(),
    )


def ensure_control_plane(report: Report) -> ControlPlane:
    """The programs, after building what is missing. Raises ToolError."""
    build(rows(TOOLS), report)
    return control_plane()
