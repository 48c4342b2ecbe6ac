"""Pulumi's file backend: where a stack's state and locks lie, and how the state is written."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.engine import lock
from infra.engine.errors import LockedError, ProjectError, StateError
from infra.engine.lock import Holder


class FileBackend:
    """The state of one stack in a folder, laid out as ``pulumi login file://...`` lays it out."""

    def __init__(self, root: Path, project: str, stack: str) -> None:
        self._home = root / ".pulumi"
        self.stack_name = f"organization/{project}/{stack}"
        self.path = self._home / "stacks" / project / f"{stack}.json"
        self._locks = self._home / "locks" / "organization" / project / stack

    def read(self) -> bytes | None:
        """Return the state, None for a stack that was never written. Raises StateError."""
        for suffix in (".gz", ".zst"):
            compressed = self.path.with_name(self.path.name + suffix)
            if compressed.exists():
                raise StateError(f"{compressed} is compressed; this engine reads plain JSON only")
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        """Replace the state at once: whoever reads it, and whatever is killed, there is one whole state."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.path)

    def keep_copy(self) -> None:
        """Keep the state as it is now beside itself, as ``STACK.json.bak``."""
        if self.path.exists():
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".bak"))

    def holders(self) -> list[Holder]:
        """Return who holds the stack's lock, the dead too."""
        return lock.holders(self._locks)

    @contextmanager
    def locked(self) -> Iterator[list[Holder]]:
        """Hold the stack's lock; yields the dead whose locks were cleared. Raises LockedError."""
        self._lay_out()
        own, alive, dead = lock.acquire(self._locks)
        if alive:
            raise LockedError(tuple(alive))
        try:
            yield dead
        finally:
            own.unlink(missing_ok=True)

    def unlock(self) -> list[Holder]:
        """Remove every lock of the stack and return who held them."""
        found = self.holders()
        for holder in found:
            holder.path.unlink(missing_ok=True)
        return found

    def _lay_out(self) -> None:
        """Make the folders, and the marker by which the official engine knows the layout."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        meta = self._home / "meta.yaml"
        if not meta.exists():
            if any((self._home / "stacks").glob("*.json")):
                raise StateError(f"{self._home} has Pulumi's old layout; run `pulumi state upgrade`")
            meta.write_text("version: 1\n")


def root_of(url: str, project_dir: Path) -> Path:
    """Return the folder that a ``file://`` URL names; ``~`` is the user's home. Raises ProjectError."""
    if not url.startswith("file://"):
        raise ProjectError(f"backend {url!r}: this engine keeps state in files only (file://...)")
    text = url.removeprefix("file://").split("?", 1)[0] or "/"
    if text.startswith("~"):
        # The official engine asks the user database, not $HOME; both must find the same state.
        return Path(pwd.getpwuid(os.getuid()).pw_dir, text[2:])
    path = Path(text)
    return path if path.is_absolute() else project_dir / path
