"""The operator's image: layers from folders, a digest known beforehand, and Python that runs from it."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from infra import paths
from infra.provider import base
from infra.tools import artifacts, compile_modules, operator_image, python_runtime
from infra.tools.failure import ToolError
from infra.tools.layers import Contents, write_image

REFERENCE = "antenna.be/operator:1"


def layers_of(archive: Path) -> list[dict[str, tarfile.TarInfo]]:
    """The members of each layer by name, lowest first."""
    with tarfile.open(archive) as image:

        def blob(descriptor: dict[str, Any]) -> bytes:
            return image.extractfile(f"blobs/{descriptor['digest'].replace(':', '/')}").read()  # type: ignore[union-attr]

        index = json.load(image.extractfile("index.json"))  # type: ignore[arg-type]
        manifest = json.loads(blob(index["manifests"][0]))
        config = json.loads(blob(manifest["config"]))
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
        found = []
        for descriptor in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(descriptor))) as layer:
                found.append({entry.name: entry for entry in layer})
        return found


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator of the test's own, in the place of the real one."""
    folder = tmp_path / "operators"
    (folder / "api").mkdir(parents=True)
    (folder / "__main__.py").write_text("print('hello')\n")
    (folder / "api" / "one.yaml").write_text("kind: One\n")
    shutil.copy(operator_image.LOCK, folder / "requirements.lock")
    monkeypatch.setattr(operator_image, "CODE", folder)
    monkeypatch.setattr(operator_image, "LOCK", folder / "requirements.lock")
    return folder


def test_each_folder_is_a_layer_with_its_links_and_modes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "usr/bin").mkdir(parents=True)
        (folder / "empty").mkdir()
    (first / "usr/bin/run").write_text("#!")
    (first / "usr/bin/run").chmod(0o700)
    (first / "bin").symlink_to("usr/bin")
    (second / "usr/bin/data").write_text("text")
    (second / "usr/bin/data").chmod(0o600)
    write_image(REFERENCE, Contents(trees=(first, second)), tmp_path / "image.tar")
    _, lower, upper = layers_of(tmp_path / "image.tar")
    assert {name: oct(entry.mode) for name, entry in lower.items()} == {
        "bin": "0o777",
        "tmp": "0o1777",
        "usr": "0o755",
        "usr/bin": "0o755",
        "usr/bin/run": "0o755",
    }
    assert lower["bin"].linkname == "usr/bin"
    assert upper["usr/bin/data"].mode == 0o644
    everything = [*lower.values(), *upper.values()]
    assert {(entry.uid, entry.gid, entry.mtime) for entry in everything} == {(0, 0, 0)}


def test_the_same_folders_give_the_same_bytes_whatever_their_order_and_times(tmp_path: Path) -> None:
    names = ["b", "a", "c"]
    for place, order in (("one", names), ("two", sorted(names))):
        (tmp_path / place).mkdir()
        for name in order:
            (tmp_path / place / name).write_text(name)
            os.utime(tmp_path / place / name, (len(place), 5))
    archives = [tmp_path / f"{place}.tar" for place in ("one", "two")]
    for archive in archives:
        write_image(REFERENCE, Contents(trees=(archive.with_suffix(""),)), archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_the_name_is_known_before_anything_is_built_and_follows_the_code(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "cache"))
    before, tree = operator_image.reference(), artifacts.digest()
    assert re.fullmatch(r"antenna\.be/operator:[0-9.]+-[0-9a-f]{8}", before)
    (code / "notes.txt").write_text("is not in the image")
    (code / "api" / "__pycache__").mkdir()
    (code / "api" / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"neither")
    os.utime(code / "__main__.py", (1, 1))
    assert (operator_image.reference(), artifacts.digest()) == (before, tree)
    (code / "__main__.py").write_text("print('hello again')\n")
    assert operator_image.reference() != before
    assert artifacts.digest() != tree
    assert not (tmp_path / "cache").exists()


def test_code_that_changes_makes_another_image_of_the_same_python_and_packages(code: Path) -> None:
    before = operator_image.folders()
    (code / "__main__.py").write_text("print('hello again')\n")
    after = operator_image.folders()
    assert after[0] != before[0]
    assert after[1:] == before[1:]


def test_another_lock_is_other_packages_on_the_same_python(code: Path) -> None:
    before = operator_image.folders()
    (code / "requirements.lock").write_text("")
    after = operator_image.folders()
    assert after[1] == before[1]
    assert after[0] != before[0]
    assert after[2] != before[2]


def test_machines_that_exist_pull_the_image_and_their_tree_does_not_follow_it(code: Path) -> None:
    before = artifacts.digest(made_here=False)
    (code / "__main__.py").write_text("")
    assert artifacts.digest(made_here=False) == before != artifacts.digest()


def test_bytecode_is_the_same_each_time_is_never_checked_and_names_its_place(tmp_path: Path) -> None:
    made = []
    for place in ("one", "two"):
        folder = tmp_path / place
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "__init__.py").write_text("NAMES = {'a', 'b', 'c'}\n")
        (folder / "failing.py").write_text("from package import NAMES\n\n\nraise ValueError(NAMES)\n")
        subprocess.run([sys.executable, compile_modules.__file__, folder, "/usr/lib/x"], check=True)
        assert not list(folder.rglob("*.py"))
        made.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.pyc")})
    assert made[0] == made[1]
    # https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation
    assert {content[4:8] for content in made[0].values()} == {b"\x01\0\0\0"}
    argv = [sys.executable, "-c", "import failing"]
    done = subprocess.run(argv, cwd=tmp_path / "one", capture_output=True, text=True, check=False)
    assert 'File "/usr/lib/x/failing.py", line 4' in done.stderr


def test_a_base_without_python_is_refused_by_the_package_s_name(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(ToolError, match=r"lacks python3\.11-minimal"):
        python_runtime.assemble(tmp_path, tmp_path / "root")


def test_everything_that_the_operator_imports_is_in_its_lock_at_the_project_s_version() -> None:
    locked = pins(operator_image.LOCK)
    assert locked.items() <= pins(paths.REPOSITORY / "requirements.lock").items()
    distributions = packages_distributions()
    for path in operator_image.code():
        if path.suffix == ".py":
            for name in imported(path) - sys.stdlib_module_names - {"operators"}:
                # Several, where it is a namespace of theirs: google.
                found = {canonical(one) for one in distributions.get(name, ())}
                assert found & locked.keys(), f"{name}, imported by {path}"


def test_the_containerfile_has_the_python_and_the_uv_of_the_locks() -> None:
    text = (operator_image.CODE / "Containerfile").read_text()
    assert f"/uv:{pins(paths.REPOSITORY / 'requirements.lock')['uv']} AS" in text
    assert set(re.findall(r"python:(\d+\.\d+)\.\d+-", text)) == {python_runtime.VERSION}
    assert f"USER {python_runtime.USER}:{python_runtime.USER}" in text
    assert json.dumps(operator_image.ENTRYPOINT[1:]).strip("[]") in text
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert all(re.search(r":\d+\.\d+\.\d+", name) for name in bases)


def test_the_image_s_python_has_everything_and_needs_nothing_of_the_host(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not base.directory(base.digest()).is_dir():
        pytest.skip("entering an image needs root, and the machines' base, which `antenna up` makes")
    unpack(operator_image.ensure_archive(lambda _: None), tmp_path)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [
            "chroot",
            "--userspec=65532:65532",
            tmp_path,
            python_runtime.INTERPRETER,
            "-I",
            "-m",
            "operators",
            "--help",
        ],
        env={"PATH": "/usr/sbin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--kubeconfig" in done.stdout


def unpack(archive: Path, root: Path) -> None:
    with tarfile.open(archive) as image:
        index = json.load(image.extractfile("index.json"))  # type: ignore[arg-type]
        name = index["manifests"][0]["digest"].replace(":", "/")
        for layer in json.load(image.extractfile(f"blobs/{name}"))["layers"]:  # type: ignore[arg-type]
            blob = image.extractfile(f"blobs/{layer['digest'].replace(':', '/')}")
            with tarfile.open(fileobj=blob) as contents:
                contents.extractall(root, filter="tar")
    (root / "dev").mkdir()
    os.mknod(root / "dev" / "urandom", 0o666 | 0o020000, os.makedev(1, 9))
    os.mknod(root / "dev" / "null", 0o666 | 0o020000, os.makedev(1, 3))


def pins(lock: Path) -> dict[str, str]:
    """Package -> version."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}
