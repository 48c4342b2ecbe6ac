"""How the sites' schedulers are opened: by the method that a site's entry names, with credentials from files.

For each site the folder holds ``SITE.user`` (the account's name), ``SITE.key`` (its private key) and
``SITE.known_hosts`` (the site's host keys), as a Secret's keys become files; and ``SITE.cert``, where the
site lets in keys with an OpenSSH certificate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from operators.sites.access import Granted, NodeRow, RemoteJobRow, SiteAccess, Submission, Unreachable
from operators.sites.model import Site

_PARTS: Final = ("user", "key", "known_hosts")

Opener = Callable[[Site, tuple[str, ...]], SiteAccess]
"""Opens a site's scheduler for these projects. Sends nothing yet."""


class LateAccess:
    """A site that is opened when it is first asked, and anew when its credentials have changed.

    Until it can be, every question raises Unreachable and says why.
    """

    def __init__(
        self,
        files: Sequence[Path],
        projects: Sequence[str],
        opened: Callable[[tuple[str, ...]], SiteAccess],
    ) -> None:
        """``opened`` opens it for projects, or raises Unreachable; ``files`` are what that reads."""
        self._files = tuple(files)
        self._projects = tuple(projects)
        self._open = opened
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._access: SiteAccess | None = None

    def serve(self, projects: Sequence[str]) -> None:
        """As in SiteAccess, like all of them."""
        with self._lock:
            self._projects = tuple(projects)
            if self._access is not None:
                self._access.serve(self._projects)

    def submit(self, job: Submission) -> int:
        """As in SiteAccess."""
        return self._opened().submit(job)

    def cancel(self, job: RemoteJobRow) -> None:
        """As in SiteAccess."""
        self._opened().cancel(job)

    def find(self, name: str, since: int) -> Sequence[RemoteJobRow]:
        """As in SiteAccess."""
        return self._opened().find(name, since)

    def queue(self) -> Sequence[RemoteJobRow]:
        """As in SiteAccess."""
        return self._opened().queue()

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        """As in SiteAccess."""
        return self._opened().ended(since)

    def nodes(self) -> Sequence[NodeRow]:
        """As in SiteAccess."""
        return self._opened().nodes()

    def granted(self, project: str) -> Granted:
        """As in SiteAccess."""
        return self._opened().granted(project)

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        """As in SiteAccess."""
        return self._opened().log_tail(job, directory, most)

    def close(self) -> None:
        """As in SiteAccess."""
        with self._lock:
            if self._access is not None:
                self._access.close()

    def _opened(self) -> SiteAccess:
        with self._lock:
            now = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in self._files)
            if self._access is None or now != self._seen:
                fresh = self._open(self._projects)
                if self._access is not None:
                    self._access.close()
                self._access, self._seen = fresh, now
            return self._access


def opener(folder: Path | None) -> Opener:
    """Opens sites with the credentials of a folder, whenever they come there; None: there are none."""

    def opened(site: Site, projects: tuple[str, ...]) -> SiteAccess:
        user, key, known_hosts = ((folder or Path("/nonexistent")) / f"{site.name}.{part}" for part in _PARTS)
        files = (user, key, known_hosts, _certificate(key))
        return LateAccess(files, projects, partial(_open, site, user, key, known_hosts))

    return opened


def _open(site: Site, user: Path, key: Path, known_hosts: Path, projects: tuple[str, ...]) -> SiteAccess:
    if site.access.method != "ssh":
        raise Unreachable(f"it is reached by {site.access.method}, which this Antenna cannot do yet")
    missing = [path.name for path in (user, key, known_hosts) if not path.is_file()]
    if missing:
        raise Unreachable(f"its credentials are not there yet: {', '.join(missing)}")
    # Loaded for a site that is there, and for none else.
    from operators.sites.slurm.access import SlurmAccess  # noqa: PLC0415

    return SlurmAccess(
        site=site,
        user=user.read_text().strip(),
        key=key,
        known_hosts=known_hosts,
        certificate=_certificate(key),
        projects=projects,
    )


def _certificate(key: Path) -> Path:
    return key.with_suffix(".cert")
