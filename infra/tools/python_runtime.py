"""Debian's Python as the root of a container image: the interpreter, its library, what they link to.

The files are those of the Debian base that machines are made from (``infra/provider/base.py``), chosen
by its own package database, so that a node and the image run the same build with the same fixes.
Modules are there as bytecode that no file's time can make stale: a read-only root could not keep what
Python compiles, and would compile it at every start.
"""

from __future__ import annotations

import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

from infra.tools import compile_modules
from infra.tools.build import tail
from infra.tools.failure import ToolError

VERSION = "3.11"
"""Debian bookworm's."""

LIBRARY = f"/usr/lib/python{VERSION}"
INTERPRETER = f"/usr/bin/python{VERSION}"
PREFIX = f"/usr/local/lib/python{VERSION}/dist-packages"
"""Where Debian's Python looks for what is not Debian's."""

PACKAGES = (
    *(f"python{VERSION}-minimal", f"libpython{VERSION}-minimal", f"libpython{VERSION}-stdlib"),
    # linked to by the interpreter, its extension modules and those of wheels
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8"),
    *("libsqlite3-0", "libbz2-1.0", "liblzma5", "libuuid1", "gcc-12-base"),
)

LEFT_OUT = (
    "/etc/*",
    "/usr/share/[!d]*",
    "/usr/share/doc/*/[!c]*",
    "/usr/share/doc/*/changelog*",
    "/usr/lib/binfmt.d/*",
    # converters between character sets, and linkers' debugging aids: Python brings its own
    "/usr/lib/*/gconv/*",
    "/usr/lib/*/audit/*",
    # what builds, teaches, tests or draws
    *(f"{LIBRARY}/{name}/*" for name in ("test", "unittest", "pydoc_data", "distutils", "venv")),
    *(f"{LIBRARY}/{name}/*" for name in ("ensurepip", "lib2to3", "idlelib", "tkinter", "curses")),
    *(f"{LIBRARY}/{name}.py" for name in ("turtle", "doctest", "sitecustomize")),
    # extension modules for libraries that are not here
    *(f"{LIBRARY}/lib-dynload/{name}.*" for name in ("_curses", "_curses_panel", "readline")),
    *(f"{LIBRARY}/lib-dynload/{name}.*" for name in ("_dbm", "nis", "_crypt")),
    "*/__pycache__/*",
)
"""Shell patterns of paths that are in the packages and not in the image. Copyright notices stay."""

USER = "65532"
"""Runs the program, and belongs to nobody: the number that distroless images use."""

_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0::/root:/sbin/nologin\nantenna:x:{USER}:{USER}::/nonexistent:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nantenna:x:{USER}:\n",
}

_TIMEOUT = 600  # seconds


def assemble(base: Path, root: Path) -> None:
    """Fill the empty folder ``root``. ``base`` is a Debian root with ``PACKAGES`` in it.

    Raises ToolError where a package or the interpreter is missing.
    """
    for package in PACKAGES:
        for path in _files(base, package):
            if not any(fnmatch(path, pattern) for pattern in LEFT_OUT):
                _copy(base, path, root)
    for name, text in _ACCOUNTS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    compile_tree(base, root / LIBRARY[1:], LIBRARY)


def compile_tree(base: Path, folder: Path, inside: str) -> None:
    """Put bytecode in the place of every module below ``folder``, which will be ``inside`` the image.

    The base's own Python does it, so that the bytecode is its own. Raises ToolError.
    """
    done = subprocess.run(
        [*_python(base), compile_modules.__file__, folder, inside],
        env={"PYTHONHOME": str(base / "usr"), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise ToolError(f"modules in {inside} do not compile: {tail(done.stderr)}")


def _python(base: Path) -> list[str]:
    """The base's interpreter with the base's libraries, on a host that may have neither."""
    loaders = sorted((base / "usr/lib").glob("*-linux-gnu/ld-linux-*"))
    if not loaders:
        raise ToolError(f"{base} is no Debian base: it has no dynamic loader")
    loader = str(loaders[0])
    # Isolated from the host's variables but for the two that are given, and from site-packages.
    return [
        loader,
        "--library-path",
        str(Path(loader).parent),
        str(base / INTERPRETER[1:]),
        "-S",
        "-P",
        "-s",
    ]


def _files(base: Path, package: str) -> list[str]:
    """What dpkg says the package holds, folders too."""
    lists = sorted((base / "var/lib/dpkg/info").glob(f"{package}.list"))
    lists += sorted((base / "var/lib/dpkg/info").glob(f"{package}:*.list"))
    if not lists:
        raise ToolError(f"{base} lacks {package}, which the operator's image is made of")
    return [line for line in lists[0].read_text().splitlines() if line != "/."]


def _copy(base: Path, path: str, root: Path) -> None:
    source = base / path[1:]
    # Packages still name /lib, which is a link to /usr/lib.
    target = root / source.parent.resolve().relative_to(base.resolve()) / source.name
    if source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(source.readlink())
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
