"""Which pinned tools are there: what `antenna tools` shows and makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.tools import busybox, kubectl
from infra.tools.build import build, directory
from infra.tools.failure import ToolError
from infra.tools.pins import TOOLS, rows
from infra.tools.progress import Report


@dataclass(frozen=True)
class Row:
    """One tool. ``path`` is where it lies or would lie, ``size`` its bytes there, 0 when not built."""

    tool: str
    version: str
    built: bool
    path: Path
    size: int


def status() -> list[Row]:
    """All tools, in the table's order; reads the cache, builds nothing."""
    rows = [_row(tool.name, tool.version, directory(tool)) for tool in TOOLS]
    return [
        *rows,
        _row(busybox.PACKAGE, "debian", busybox.location().parent.parent),
        _row("kubectl", kubectl.version(), kubectl.kubectl()),
    ]


def ensure(names: Sequence[str], report: Report) -> None:
    """Have the named tools in the cache; all of them when ``names`` is empty.

    Raises ToolError for a name that is none, before anything is built, or when a build fails.
    """
    known = [tool.name for tool in TOOLS]
    if unknown := sorted(set(names) - set(known) - {busybox.PACKAGE, "kubectl"}):
        raise ToolError(f"no tool is called {', '.join(unknown)}; there are: {', '.join(known)}")
    if not names or busybox.PACKAGE in names:
        busybox.ensure_busybox(report)
    build(rows(names or known), report)


def _row(tool: str, version: str, path: Path) -> Row:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Row(tool, version, path.exists(), path, sum(file.stat().st_size for file in files))
