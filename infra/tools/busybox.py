"""The static busybox of the sample work, from Debian's package; Debian's signature vouches for it.

It is fetched once and kept: a mirror holds only a package's newest version, so none is pinned.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from infra import paths
from infra.tools.build import tail
from infra.tools.cache import make_once
from infra.tools.failure import ToolError
from infra.tools.progress import Progress, Report

PACKAGE = "busybox-static"


def location() -> Path:
    """Where it lies, once it is there."""
    return paths.cache_dir() / "tools" / PACKAGE / "bin" / "busybox"


def ensure_busybox(report: Report) -> Path:
    """Its path. Raises ToolError when Debian's archive cannot be reached or the host has no apt-get."""
    make_once(
        location().parent.parent,
        PACKAGE,
        lambda scratch, _lock: _fetch(scratch),
        lambda note: report(Progress(PACKAGE, 1, 1, 0, 2, 2, note)),
    )
    return location()


def _fetch(scratch: Path) -> None:
    package = scratch / "package"
    package.mkdir()
    if os.geteuid() == 0:
        # A fresh Debian has no list of what its archive holds.
        _run(["apt-get", "update", "-qq"], cwd=package)
    # apt's own unprivileged user may not enter a folder below somebody's home.
    _run(["apt-get", "download", "-o", "APT::Sandbox::User=root", PACKAGE], cwd=package)
    for archive in package.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(archive), "tree"], cwd=package)
    (scratch / "bin").mkdir()
    (package / "tree" / "bin" / "busybox").rename(scratch / "bin" / "busybox")
    shutil.rmtree(package)


def _run(argv: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise ToolError(
            f"{PACKAGE}: this host has no {argv[0]}. Next: put a static busybox at {location()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{PACKAGE}: `{' '.join(argv)}` did not end within 300 s") from None
    if done.returncode:
        raise ToolError(
            f"{PACKAGE}: `{' '.join(argv)}` failed: {tail(done.stderr)}\nNext: apt-get update, then again"
        )
