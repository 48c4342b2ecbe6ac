"""Images, the artefact tree's listing and the manifests: what can be said without building."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from infra.tools import artifacts, stock
from infra.tools.build import binary
from infra.tools.failure import ToolError
from infra.tools.images import IMAGES, KUEUE, PAUSE, SAMPLE_WORK, listing
from infra.tools.layers import Contents, write_image
from infra.tools.manifests import adapt
from infra.tools.pins import KUBERNETES_VERSION, TOOLS, tool

REFERENCE = "registry.example.org/team/greet:v1"


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    program = tmp_path / "greet"
    program.write_bytes(b"\x7fELF not really" * 1000)
    return Contents(
        files={"/usr/local/bin/greet": program},
        entrypoint=("greet",),
        links={"/usr/local/bin/hail": "greet"},
        user="65532:65532",
    )


def test_the_same_files_give_the_same_bytes(contents: Contents, tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    digest = write_image(REFERENCE, contents, first)
    program = contents.files["/usr/local/bin/greet"]
    os.utime(program, (1, 1))
    program.chmod(0o600)
    assert write_image(REFERENCE, contents, second) == digest
    assert first.read_bytes() == second.read_bytes()


def test_other_files_give_another_digest(contents: Contents, tmp_path: Path) -> None:
    digest = write_image(REFERENCE, contents, tmp_path / "image.tar")
    contents.files["/usr/local/bin/greet"].write_bytes(b"other")
    assert write_image(REFERENCE, contents, tmp_path / "image.tar") != digest


def test_every_blob_is_what_its_name_says_and_every_descriptor_is_met(
    contents: Contents, tmp_path: Path
) -> None:
    digest = write_image(REFERENCE, contents, tmp_path / "image.tar")
    members = _members(tmp_path / "image.tar")
    blobs = {name: data for name, data in members.items() if name.startswith("blobs/")}
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    (named,) = json.loads(members["index.json"])["manifests"]
    assert named["digest"] == digest
    assert named["annotations"]["io.containerd.image.name"] == REFERENCE
    manifest = json.loads(_blob(members, named))
    config = json.loads(_blob(members, manifest["config"]))
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert len(blobs) == 3
    assert not list(tmp_path.glob("*.layer"))


def test_a_layer_holds_the_program_its_links_and_a_tmp_for_all(contents: Contents, tmp_path: Path) -> None:
    write_image(REFERENCE, contents, tmp_path / "image.tar")
    members = _members(tmp_path / "image.tar")
    manifest = json.loads(_blob(members, json.loads(members["index.json"])["manifests"][0]))
    with tarfile.open(fileobj=io.BytesIO(_blob(members, manifest["layers"][0]))) as layer:
        modes = {entry.name: entry.mode for entry in layer}
        assert modes == {
            "tmp": 0o1777,
            "usr": 0o755,
            "usr/local": 0o755,
            "usr/local/bin": 0o755,
            "usr/local/bin/greet": 0o755,
            "usr/local/bin/hail": 0o777,
        }
        assert {(entry.uid, entry.gid, entry.mtime) for entry in layer} == {(0, 0, 0)}
        program = layer.extractfile("usr/local/bin/hail")
        assert program is not None
        assert program.read() == contents.files["/usr/local/bin/greet"].read_bytes()
    config = json.loads(_blob(members, manifest["config"]))["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["greet"]
    assert "/usr/local/bin" in config["Env"][0]


def test_the_listing_names_each_image_once_and_the_control_plane_s_for_the_head() -> None:
    rows = {row["name"]: row for row in listing()}
    assert len(rows) == len({row["file"] for row in listing()}) == len(IMAGES)
    head = {name for name, row in rows.items() if row["where"] == "head"}
    assert f"registry.k8s.io/kube-apiserver:{KUBERNETES_VERSION}" in head
    assert {PAUSE, KUEUE, SAMPLE_WORK} <= set(rows) - head
    assert rows[KUEUE]["file"] == "kueue.tar"


def test_the_images_are_those_that_the_pinned_kubeadm_wants() -> None:
    kubeadm = binary(tool("kubernetes"), "kubeadm")
    if not kubeadm.exists():
        pytest.skip("kubeadm is not built yet: `antenna tools` builds it")
    argv = [kubeadm, "config", "images", "list", "--kubernetes-version", KUBERNETES_VERSION]
    wanted = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert set(wanted) <= {image.reference for image in IMAGES}


def test_the_tree_s_digest_is_known_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path))
    digest = artifacts.digest()
    assert digest == artifacts.digest()
    assert artifacts.location(digest).parent == tmp_path / "artifacts"
    assert list(tmp_path.iterdir()) == []


def test_kueue_s_manifest_gets_the_pinned_image_fair_sharing_and_a_place_on_the_head() -> None:
    upstream = (
        "image: us-central1-docker.pkg.dev/k8s-staging-images/kueue/kueue:main\nimagePullPolicy: Always\n"
        "    #fairSharing:\n    #  preemptionStrategies: [LessThanInitialShare]\n"
        "    #resources:\n    #  excludeResourcePrefixes: []\n"
        "        kubectl.kubernetes.io/default-container: manager\n"
        "      serviceAccountName: kueue-controller-manager\n"
        "      values:\n      - kube-system\n      - kueue-system\n"
    )
    adapted = adapt(upstream)
    (configuration,) = re.findall("        antenna.be/configuration: '[0-9a-f]{16}'\n", adapted)
    assert adapted == (
        f"image: {KUEUE}\nimagePullPolicy: IfNotPresent\n"
        "    fairSharing:\n      preemptionStrategies: [LessThanInitialShare]\n"
        "    resources:\n      excludeResourcePrefixes: [ephemeral-storage]\n"
        f"        kubectl.kubernetes.io/default-container: manager\n{configuration}"
        "      serviceAccountName: kueue-controller-manager\n"
        "      priorityClassName: system-cluster-critical\n"
        "      nodeSelector: {node-role.kubernetes.io/control-plane: ''}\n"
        "      tolerations: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]\n"
        "      values:\n      - kube-system\n      - kueue-system\n"
        "      - antenna-system\n      - antenna-monitoring\n"
    )


def test_a_manifest_without_upstream_s_lines_is_refused() -> None:
    with pytest.raises(ToolError, match="0 times, expected once"):
        adapt("image: something:else\nimagePullPolicy: Always\n")


def test_the_stock_lists_every_tool_and_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path))
    rows = {row.tool: row for row in stock.status()}
    assert {row.name for row in TOOLS} | {"busybox-static", "kubectl"} == set(rows)
    assert not rows["kubernetes"].built
    assert rows["kubernetes"].version == KUBERNETES_VERSION
    assert rows["kubectl"].built
    assert rows["kubectl"].size > 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tool_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match="no tool is called kubernets; there are: kubernetes"):
        stock.ensure(["kubernets"], lambda _: None)
    assert list(tmp_path.iterdir()) == []


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def _blob(members: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    blob = members[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert len(blob) == descriptor["size"]
    return blob
