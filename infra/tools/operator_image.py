"""The operator's image for machines made here: Debian's Python, the locked packages, ``operators/``.

A layer each, so that a change of code is a small one. Its tag is a digest of what it is made from: a
change of code is another image, and rolls the Deployment. ``operators/Containerfile`` makes the same for
a registry.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from infra import paths
from infra.provider import base
from infra.provider.kind import ProviderError
from infra.tools import compile_modules, layers, python_runtime
from infra.tools.build import tail
from infra.tools.cache import make_once
from infra.tools.failure import ToolError
from infra.tools.layers import Contents, write_image
from infra.tools.progress import Progress, Report

NAME = "antenna.be/operator"
FILE = "operator.tar"

CODE = paths.REPOSITORY / "operators"
LOCK = CODE / "requirements.lock"
SUFFIXES = frozenset({".py", ".yaml"})
"""Of modules, and of the data that lies among them."""

ENTRYPOINT = (python_runtime.INTERPRETER, "-I", "-u", "-m", "operators")

LEFT_OUT = (
    # the asynchronous twin of the Kubernetes client, as large as the client; kopf brings its own
    "kubernetes/aio",
    "sqlalchemy/testing",
    # programs; what an installer notes for itself; what compilers and type checkers read
    *("bin", ".lock", "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    *("**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c", "**/*.h"),
)
"""Patterns of what the packages hold and the operator never reads."""

_GLIBC = "manylinux_2_36"
"""Debian bookworm's C library, as wheels name it."""

_RECIPE = (__file__, python_runtime.__file__, compile_modules.__file__, layers.__file__)
"""The modules that decide how the image is put together."""

_SECONDS = 40
"""To make it with nothing cached; measured on two cores. 2 s after a change of code."""


def reference() -> str:
    """The image's full name, as in "antenna.be/operator:0.1.0-6f1d2c3a". Reads files; builds nothing."""
    return f"{NAME}:{version('antenna')}-{digest()[:8]}"


def digest() -> str:
    """16 hex digits over everything that decides what is in the image."""
    content = hashlib.sha256(f"{_python_digest()} {_packages_digest()}".encode())
    for path in code():
        content.update(f"\n{path.relative_to(CODE)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def code() -> list[Path]:
    """The files of the operator itself, sorted."""
    return sorted(p for p in CODE.rglob("*") if p.suffix in SUFFIXES and not p.name.startswith("."))


def folders() -> list[Path]:
    """What the present image is and is made from, in the cache, whether it is there or not."""
    images = paths.cache_dir() / "images"
    return [
        images / f"operator-{digest()}",
        images / f"python-{_python_digest()}",
        images / f"operator-packages-{_packages_digest()}",
    ]


def ensure_archive(report: Report) -> Path:
    """The image's archive, made if it is not there. Raises ToolError.

    Needs the machines' base and makes it if that is missing, which takes root.
    """
    image, python, packages = folders()

    def show(note: str) -> None:
        report(Progress("operator's image", 1, 1, 0, _SECONDS, _SECONDS, note))

    def make(scratch: Path, _lock: int) -> None:
        system = _base(show)
        make_once(python, "python", lambda root, _: python_runtime.assemble(system, root), show)
        make_once(packages, "operator-packages", lambda root, _: _install(system, root), show)
        show("writing it")
        tree = scratch / "code"
        _copy_code(tree / python_runtime.PREFIX[1:] / CODE.name)
        user = f"{python_runtime.USER}:{python_runtime.USER}"
        contents = Contents(entrypoint=ENTRYPOINT, user=user, trees=(python, packages, tree))
        write_image(reference(), contents, scratch / FILE)
        shutil.rmtree(tree)

    return make_once(image, FILE, make, show) / FILE


def _python_digest() -> str:
    content = hashlib.sha256(base.digest().encode())
    for module in _RECIPE:
        content.update(Path(module).read_bytes())
    return content.hexdigest()[:16]


def _packages_digest() -> str:
    return hashlib.sha256(_python_digest().encode() + LOCK.read_bytes()).hexdigest()[:16]


def _base(show: Callable[[str], None]) -> Path:
    try:
        return base.directory(base.ensure(show))
    except ProviderError as error:
        raise ToolError(f"operator's image: {error}") from None


def _install(system: Path, root: Path) -> None:
    """The locked packages below ``root``: wheels for the image's Python, whatever this host's is."""
    target = root / python_runtime.PREFIX[1:]
    argv = [
        *(str(Path(sysconfig.get_path("scripts")) / "uv"), "pip", "install", "--quiet"),
        *("--target", str(target), "--require-hashes", "--no-deps", "--no-build", "--link-mode", "copy"),
        *("--python-version", python_runtime.VERSION),
        *("--python-platform", f"{platform.machine()}-{_GLIBC}"),
        *("--requirements", str(LOCK)),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode:
        raise ToolError(
            f"operator's image: its packages cannot be installed: {tail(done.stderr)}\n"
            "Next: see that Python packages can be downloaded, then again"
        )
    for pattern in LEFT_OUT:
        for path in sorted(target.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    python_runtime.compile_tree(system, target, python_runtime.PREFIX)


def _copy_code(place: Path) -> None:
    for path in code():
        copy = place / path.relative_to(CODE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Without the checkout's modes.
        copy.write_bytes(path.read_bytes())
