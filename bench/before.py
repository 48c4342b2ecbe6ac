"""An earlier build of this project, beside this one: set up as it sets itself up, in the cache."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra import paths
from infra.paths import REPOSITORY

COMMIT: Final = "d0bce96"
"""What later builds are compared with."""


def earlier_build(say: Callable[[str], None], commit: str = COMMIT) -> Path | None:
    """Its folder, with a virtual environment; None, and why, where the clone does not hold the commit."""
    folder = paths.cache_dir() / "bench" / commit
    if (folder / ".venv" / "complete").exists():
        return folder
    if not _git("cat-file", "-e", f"{commit}^{{commit}}"):
        say(f"this clone has no {commit}: nothing is compared with it (a whole clone has)")
        return None
    say(f"setting up the build of {commit}, once")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # A copy, not a work tree: the clone does not learn of it.
    archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    subprocess.run([".ci/bootstrap"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return folder


def _git(*arguments: str) -> bool:
    return (
        subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False).returncode == 0
    )
