"""A small file system of its own, to be filled, to fail, and to be mounted for reading. Needs root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Volume:
    """A small ext4 of its own."""

    image: Path
    at: Path

    def mount(self, *options: str) -> None:
        _run("mount", "-o", ",".join(("loop", *options)), self.image, self.at)

    def unmount(self) -> None:
        """Away, and checked. In a new image: a machine that began meanwhile may still hold the old one."""
        _run("umount", self.at)
        copy = self.image.with_name(f"{self.image.name}-")
        shutil.copy(self.image, copy)
        self.image.unlink()
        self.image = copy
        subprocess.run(["e2fsck", "-fy", self.image], capture_output=True, check=False)

    def fill(self) -> None:
        """Not a byte is left."""
        with (self.at / "fill").open("ab", buffering=0) as file, suppress(OSError):
            for size in (1 << 16, 1 << 10, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def empty(self) -> None:
        """There is room again; also where a check of the volume has found what it was full of."""
        for one in (self.at / "fill", *(self.at / "lost+found").iterdir()):
            one.unlink(missing_ok=True)
        # On the disk too: without a journal a volume that fails soon afterwards would be full again.
        _run("sync", "--file-system", self.at)

    def remount(self, option: str) -> None:
        _run("mount", "-o", f"remount,{option}", self.at)


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


@contextmanager
def volume(folder: Path, mebibytes: int) -> Iterator[Volume]:
    """Mounted when entered, gone when left."""
    made = Volume(folder / "image", folder / "volume")
    made.at.mkdir()
    with made.image.open("wb") as file:
        file.truncate(mebibytes << 20)
    # In blocks of a page, as any real one: SQLite maps a file of which it has written a byte a page, and who
    # maps what is not there is killed where the volume is full.
    _run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-O", "^has_journal", made.image)
    made.mount()
    made.at.chmod(0o755)
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", made.at], capture_output=True, check=False)
