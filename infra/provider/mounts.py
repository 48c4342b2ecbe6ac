"""What is mounted on this host, and unmounting it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from infra.provider.command import run

_ESCAPE = re.compile(r"\\([0-7]{3})")


def below(folder: Path) -> list[Path]:
    """Mount points at or below ``folder``, the deepest first."""
    return parse(Path("/proc/self/mountinfo").read_text(), folder)


def parse(mountinfo: str, folder: Path) -> list[Path]:
    """From the text of /proc/self/mountinfo. Pure."""
    points = [
        Path(_ESCAPE.sub(lambda m: chr(int(m[1], 8)), line.split()[4])) for line in mountinfo.splitlines()
    ]
    return [p for p in reversed(points) if p.is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below ``folder``. Lazily: what still uses it lets go by itself."""
    for point in below(folder):
        run(["umount", "--lazy", str(point)])


def overlay(lower: Sequence[Path], upper: Path, work: Path, merged: Path) -> None:
    """Mount ``upper`` over the ``lower`` ones, of which the first is topmost, at ``merged``."""
    for folder in (upper, work, merged):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", "antenna", "-o", options, str(merged)])
