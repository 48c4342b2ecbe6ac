"""Container images without a container engine: layers of given files, in the OCI image layout.

The same files give the same bytes, on any machine and at any time: entries are sorted, owners are
root, modes are one of two, and nothing is older or newer than the epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's name of a processor -> Go's, which images use."""

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Contents:
    """What an image holds. Paths in it are absolute.

    The first layer is ``files``, which maps a path to the file put there, executable by all, and
    ``links``, a path to its target. Each folder of ``trees`` is the root of one more layer; its files
    are executable by all or by nobody, its folders those that hold something. ``user`` is "uid:gid".
    Every image has an empty /tmp that all may write to.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    trees: tuple[Path, ...] = ()


def write_image(reference: str, contents: Contents, archive: Path) -> str:
    """Write ``archive``, which `ctr images import` names ``reference``; the manifest's digest.

    ``reference`` is a full name with its tag, as in "registry.k8s.io/pause:3.10.2".
    """
    layers: list[Path] = []
    with ExitStack() as stack:
        for number, entries in enumerate(_layers(contents)):
            layer = archive.with_suffix(f".layer{number}")
            stack.callback(layer.unlink, missing_ok=True)
            _write_layer(entries, layer)
            layers.append(layer)
        digests = [_digest(layer) for layer in layers]
        config = _json(_config(contents, digests))
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(_CONFIG, config),
                "layers": [
                    {"mediaType": _LAYER, "digest": digest, "size": layer.stat().st_size}
                    for digest, layer in zip(digests, layers, strict=True)
                ],
            }
        )
        named = _descriptor(_MANIFEST, manifest) | {
            "annotations": {
                # containerd's name for the image; the tag alone is what the layout's standard has.
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
            }
        }
        index = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]})
        with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
            for blob in sorted((config, manifest), key=_sha256):
                add(tar, _blob(_sha256(blob)), blob)
            for digest, layer in zip(digests, layers, strict=True):
                with layer.open("rb") as stream:
                    tar.addfile(_entry(_blob(digest), size=layer.stat().st_size), stream)
            add(tar, "index.json", index)
            add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    return _sha256(manifest)


@dataclass(frozen=True)
class _Link:
    target: str


_Entries = dict[str, tuple[Path, int] | _Link]
"""Path in the image -> the file put there and its mode, or a link."""


def _layers(contents: Contents) -> Iterator[_Entries]:
    files: _Entries = {path: (source, 0o755) for path, source in contents.files.items()}
    yield files | {path: _Link(target) for path, target in contents.links.items()}
    yield from map(_tree, contents.trees)


def _tree(root: Path) -> _Entries:
    entries: _Entries = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            inside = f"/{path.relative_to(root)}"
            if path.is_symlink():
                entries[inside] = _Link(str(path.readlink()))
            elif path.is_file():
                entries[inside] = (path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
    return entries


def _write_layer(entries: _Entries, layer: Path) -> None:
    folders = {str(parent) for path in entries for parent in PurePosixPath(path).parents}
    with tarfile.open(layer, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted({*folders, "/tmp", *entries} - {"/"}):  # noqa: S108
            name = path.removeprefix("/")
            match entries.get(path):
                case (source, mode):
                    with source.open("rb") as stream:
                        tar.addfile(_entry(name, size=source.stat().st_size, mode=mode), stream)
                case _Link(target):
                    entry = _entry(name, mode=0o777)
                    entry.type, entry.linkname = tarfile.SYMTYPE, target
                    tar.addfile(entry)
                case None:
                    entry = _entry(name, mode=0o1777 if name == "tmp" else 0o755)
                    entry.type = tarfile.DIRTYPE
                    tar.addfile(entry)


def _config(contents: Contents, diff_ids: list[str]) -> dict[str, Any]:
    process: dict[str, Any] = {
        # Static pods name their program without its folder.
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "WorkingDir": "/",
    }
    if contents.entrypoint:
        process["Entrypoint"] = list(contents.entrypoint)
    if contents.user:
        process["User"] = contents.user
    return {
        "architecture": PROCESSORS.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _sha256(blob), "size": len(blob)}


def add(tar: tarfile.TarFile, name: str, blob: bytes) -> None:
    """Put a file into an archive: root's, readable by all, of the epoch."""
    tar.addfile(_entry(name, size=len(blob)), io.BytesIO(blob))


def _entry(name: str, *, size: int = 0, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, mode, 0
    return entry


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
