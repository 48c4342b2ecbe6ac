"""Which engine runs the program: the official one where it can be had, else the embedded one."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from infra import paths

Asked = Literal["auto", "pulumi", "embedded"]

INSTALLER = "https://get.pulumi.com"
PROBE_SECONDS = 0.6
FORGET_SECONDS = 86400.0


@dataclass(frozen=True)
class Situation:
    """What the choice rests on. ``failed_since`` is seconds since an install failed, or None."""

    asked: Asked
    on_path: str | None
    installed: Path | None
    may_download: bool
    failed_since: float | None


@dataclass(frozen=True)
class Choice:
    """``pulumi`` by its program, an attempt to install it, or ``embedded``; ``why`` is for the user."""

    engine: Literal["pulumi", "install", "embedded"]
    why: str
    root: Path | None = None


def choose(found: Situation) -> Choice:
    """Pure. `install` means: try, and take the embedded engine if it cannot be done."""
    recently = found.failed_since is not None and found.failed_since < FORGET_SECONDS
    rules = (
        (found.asked == "embedded", Choice("embedded", "as asked")),
        (bool(found.on_path), Choice("pulumi", found.on_path or "")),
        (found.installed is not None, Choice("pulumi", str(found.installed), found.installed)),
        (found.asked == "pulumi", Choice("install", "as asked")),
        (not found.may_download, Choice("embedded", "pulumi is not on the PATH, and downloads are off")),
        (recently, Choice("embedded", "pulumi is not on the PATH, and could not be fetched earlier")),
    )
    return next((pick for holds, pick in rules if holds), Choice("install", "pulumi is not on the PATH"))


def situation(asked: Asked, environment: Mapping[str, str] = os.environ) -> Situation:
    """What is on this host. Sends nothing."""
    failed = _failure_mark()
    return Situation(
        asked=asked,
        on_path=shutil.which("pulumi", path=environment.get("PATH")),
        installed=_installed(),
        may_download=environment.get("ANTENNA_OFFLINE") != "1" and not environment.get("CI"),
        failed_since=max(0.0, time.time() - failed.stat().st_mtime) if failed.exists() else None,
    )


def remember_failure() -> None:
    """So that a closed network is asked once a day, not with each command."""
    mark = _failure_mark()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def reachable(url: str = INSTALLER, seconds: float = PROBE_SECONDS) -> bool:
    """Whether something answers there, or at the proxy for it; bounded, name resolution included."""
    proxy = urllib.request.getproxies().get("https")
    target = urllib.parse.urlsplit(proxy if proxy and "://" in proxy else url)
    address = (target.hostname or "", target.port or (443 if target.scheme == "https" else 80))
    return _within(seconds, lambda: socket.create_connection(address, timeout=seconds).close())


def _within(seconds: float, attempt: Callable[[], None]) -> bool:
    done = threading.Event()

    def run() -> None:
        try:
            attempt()
        except OSError:
            return
        done.set()

    # A resolver may hang for longer than any socket's timeout, so nobody waits for the thread.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return done.is_set()


def _installed() -> Path | None:
    """Where the automation API put the version that goes with this SDK, if it did."""
    versions = Path.home() / ".pulumi" / "versions"
    if not versions.is_dir():
        return None
    # Not from the SDK itself: it takes half a second to import, and most commands need it not.
    root = versions / metadata.version("pulumi")
    return root if (root / "bin" / "pulumi").exists() else None


def _failure_mark() -> Path:
    return paths.cache_dir() / "pulumi-not-fetched"
