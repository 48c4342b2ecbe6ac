"""Builds the pinned tools from source, once per content, into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from infra import paths
from infra.tools.cache import make_once
from infra.tools.failure import ToolError
from infra.tools.pace import KNOWN, Pace, Packages, follow, packages
from infra.tools.pins import Tool
from infra.tools.progress import Progress, Report
from infra.tools.toolchain import Toolchain, choose

FLAGS = ("-trimpath", "-buildvcs=false")
"""Nothing of the machine, the clone or the moment enters a binary."""

ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GO111MODULE": "on",
    # Every module must match the tool's go.sum; a go.mod that would have to change is an error.
    "GOFLAGS": "-mod=readonly",
    # The Go that was chosen, not another one fetched by it.
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}

COMPILER = {
    # A twelfth less processor time for the same bytes; from 1 GiB on a compiler collects garbage as usual.
    "GOGC": "400",
    "GOMEMLIMIT": "1GiB",
}
"""How the compiler runs, which decides nothing of what it makes."""

TAIL_LINES = 8


def binary(tool: Tool, name: str) -> Path:
    """Where the tool's binary lies once it is built. Raises ToolError when no Go can build it."""
    return directory(tool) / "bin" / name


def directory(tool: Tool) -> Path:
    """The tool's folder in the cache, whether it is there or not: its name holds the content's hash."""
    return paths.cache_dir() / "tools" / f"{tool.name}-{content_hash(tool, _toolchain(tool))}"


def content_hash(tool: Tool, toolchain: Toolchain) -> str:
    """16 hex digits over all that decides what is built."""
    content = hashlib.sha256()
    decided = (toolchain.banner, FLAGS, sorted(ENVIRONMENT.items()), sorted(tool.binaries.items()))
    content.update(repr((*decided, tool.link_flags, *tool.tags)).encode())
    for path in sorted(p for p in tool.source.rglob("*") if p.is_file()):
        content.update(f"\n{path.relative_to(tool.source)} {path.stat().st_size}\n".encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


def build(tools: Sequence[Tool], report: Report) -> None:
    """Have all of ``tools`` in the cache; one after the other, as each uses every processor.

    Raises ToolError with the first failure; what was built before it stays built.
    """
    missing = [tool for tool in tools if not directory(tool).is_dir()]
    pace = Pace()
    for index, tool in enumerate(missing):
        later = sum(t.seconds for t in missing[index + 1 :])
        step = _Step(tool, index + 1, len(missing), later, report, pace)
        make_once(directory(tool), tool.name, step.make, step.show)
        step.show(finished=True)
        pace = pace.with_build(tool.seconds, time.monotonic() - step.began)


def module_directory(tool: Tool) -> Path:
    """The tool's own source, unpacked by Go, which fetches it again if it is no longer there."""
    go = _toolchain(tool).go
    for argv in (
        ["mod", "download", tool.module],
        ["list", "-m", "-f", "{{.Dir}}", tool.module],
    ):
        done = subprocess.run(
            [go, *argv],
            cwd=tool.source,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ToolError(f"{tool.name}: `go {' '.join(argv)}` failed: {tail(done.stderr)}")
    return Path(done.stdout.strip())


def _toolchain(tool: Tool) -> Toolchain:
    return choose(tool.name, tool.source / "go.mod")


@dataclass
class _Step:
    """The building of one tool, ``number`` of ``count``; ``later`` seconds are expected after it."""

    tool: Tool
    number: int
    count: int
    later: float
    report: Report
    pace: Pace
    began: float = field(default_factory=time.monotonic)
    packages: Packages = field(default_factory=lambda: Packages({}, {}))

    def show(self, note: str = "", finished: bool = False) -> None:
        elapsed = time.monotonic() - self.began
        done = 1.0 if finished else self.packages.done
        whole = self.pace.whole(self.tool.seconds, elapsed, done)
        pace = self.pace.with_build(self.tool.seconds, whole) if done >= KNOWN else self.pace
        left = whole - elapsed + self.later * pace.factor
        self.report(Progress(self.tool.name, self.number, self.count, elapsed, whole, left, note, finished))

    def make(self, scratch: Path, lock: int) -> None:
        bin_dir, temporary = scratch / "bin", scratch / "tmp"
        bin_dir.mkdir()
        temporary.mkdir()
        log = paths.cache_dir() / "logs" / f"{self.tool.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        go = _toolchain(self.tool).go
        environment = os.environ | ENVIRONMENT | COMPILER | {"GOTMPDIR": str(temporary)}
        self.packages = packages(go, self.tool.binaries, self.tool.source, environment)
        self.began = time.monotonic()  # what came before says nothing of how fast the compiler is
        # -v: each package's name when its turn has come.
        argv = [str(go), "build", "-v", *FLAGS, "-ldflags", self.tool.link_flags]
        argv += ["-tags", ",".join(self.tool.tags), "-o", f"{bin_dir}/", *self.tool.binaries]
        with log.open("wb") as output:
            look = follow(log, self.packages.begins)
            status = self._run(argv, environment, output, lock, look)
        if status:
            lines = log.read_text(errors="replace").splitlines()
            reason = tail("\n".join(line for line in lines if line not in self.packages.weights))
            raise ToolError(
                f"{self.tool.name} {self.tool.version} could not be built:\n{reason}\nFull log: {log}"
            )
        for package, name in self.tool.binaries.items():
            (bin_dir / _go_name(package)).rename(bin_dir / name)
        shutil.rmtree(temporary)

    def _run(
        self, argv: list[str], env: dict[str, str], output: IO[bytes], lock: int, look: Callable[[], None]
    ) -> int:
        """The exit status. Nothing is left running, however this ends."""
        process = subprocess.Popen(
            # Go ends when this process is killed. The compilers that it started end by themselves
            # within seconds and hold the lock until then, so that a next build cannot meet them.
            ["setpriv", "--pdeathsig", "KILL", *argv],
            cwd=self.tool.source,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],
        )
        try:
            while True:
                look()
                self.show()
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _go_name(package: str) -> str:
    """What ``go build`` calls the binary: the last element that is not a major version."""
    elements = package.split("/")
    is_major = elements[-1].startswith("v") and elements[-1][1:].isdigit()
    return elements[-2] if is_major else elements[-1]


def tail(output: str) -> str:
    """The last lines of a program's output, which hold the reason."""
    return "\n".join(output.strip().splitlines()[-TAIL_LINES:]) or "it gave no reason"
