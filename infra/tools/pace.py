"""How far a build is, and how fast builds really go here: what the time left is told from."""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

LINK: Final = 0.06
"""The share of a build's time that linking takes, when all packages are compiled; measured of Kubernetes."""

KNOWN: Final = 0.05
"""From this share of a build on, its own speed tells more than that of the builds before it."""


@dataclass(frozen=True)
class Pace:
    """How much longer builds take here than the table of tools says; 1 until something is known."""

    expected: float = 0.0
    taken: float = 0.0

    @property
    def factor(self) -> float:
        """Seconds for each expected one, over these builds."""
        return self.taken / self.expected if self.expected else 1.0

    def whole(self, expected: float, elapsed: float, done: float) -> float:
        """Seconds that a build takes in all, whose share ``done`` (0..1) is compiled after ``elapsed``."""
        return elapsed / done if done >= KNOWN else max(expected * self.factor, elapsed)

    def with_build(self, expected: float, taken: float) -> Pace:
        """The pace with one more build, of which it is about known what it takes."""
        return Pace(self.expected + expected, self.taken + taken)


@dataclass
class Packages:
    """The packages of a build, each with how much work it is, and which are compiled.

    ``weights`` are bytes of source, which compilation takes as long for, nearly; ``imports`` are the packages
    that must be there before.
    """

    weights: Mapping[str, int]
    imports: Mapping[str, Sequence[str]]
    at_a_time: int = field(default_factory=lambda: os.cpu_count() or 1)
    """How many are compiled side by side."""
    _begun: deque[str] = field(default_factory=deque)
    _seen: set[str] = field(default_factory=set)
    _done: int = 0
    _there: int = 0

    def begins(self, package: str) -> None:
        """It is being compiled: so is all done that it imports, to the end, and what began long before it.

        What was done and never began was there from an earlier build, and is no work of this one. Names of
        others change nothing.
        """
        if package not in self.weights or package in self._seen:
            return
        self._seen.add(package)
        self._begun.append(package)
        if len(self._begun) > self.at_a_time:
            self._done += self.weights[self._begun.popleft()]
        waiting = list(self.imports.get(package, ()))
        while waiting:
            name = waiting.pop()
            if name not in self._seen:
                self._seen.add(name)
                self._there += self.weights.get(name, 0)
                waiting += self.imports.get(name, ())

    @property
    def done(self) -> float:
        """The share of the build's time that is behind it, about: 0..1."""
        half_done = sum(self.weights[name] for name in self._begun) / 2
        work = sum(self.weights.values()) - self._there
        return (1 - LINK) * (self._done + half_done) / (work or 1)


def packages(go: Path, names: Iterable[str], folder: Path, environment: Mapping[str, str]) -> Packages:
    """Those that a build of these needs, the standard library's included; none where Go does not tell."""
    fields = "ImportPath,Dir,GoFiles,Imports,ImportMap"
    argv = [str(go), "list", "-deps", f"-json={fields}", *names]
    done = subprocess.run(
        argv, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    weights: dict[str, int] = {}
    imports: dict[str, list[str]] = {}
    for package in _documents(done.stdout):
        name = package["ImportPath"]
        renamed = package.get("ImportMap", {})
        weights[name] = _size(Path(package.get("Dir", "")), package.get("GoFiles", ()))
        imports[name] = [renamed.get(one, one) for one in package.get("Imports", ())]
    return Packages(weights, imports)


def follow(log: Path, begins: Callable[[str], None]) -> Callable[[], None]:
    """A function that hands each line that has come to the log since its last call to ``begins``."""
    offset = 0

    def read() -> None:
        nonlocal offset
        with log.open("rb") as file:
            file.seek(offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        offset += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            begins(line.strip())

    return read


def _size(folder: Path, files: Iterable[str]) -> int:
    try:
        return sum((folder / file).stat().st_size for file in files)
    except OSError:
        return 0  # generated when it is compiled


def _documents(text: str) -> Iterable[Any]:
    """JSON documents one after the other, without commas between them."""
    decoder = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        document, at = decoder.raw_decode(text, at)
        yield document
