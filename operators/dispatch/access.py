"""How the sites' schedulers are opened: by the method that a site's entry names, with credentials from files.

A login a partner and site, and one more a site that reads its queue and accounting and submits nothing.
As a Secret's keys become files, the folder holds of each partner ``SITE.TENANT.user`` (its login there) and
``SITE.TENANT.key`` (the login's private key), of the reader ``SITE.user`` and ``SITE.key``; each with a
``.cert`` where the site lets in keys with an OpenSSH certificate; and ``SITE.known_hosts``, its host keys.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from operators.sites.access import Granted, NodeRow, RemoteJobRow, SiteAccess, Submission, Unreachable
from operators.sites.model import Site
from operators.sites.slurm.polling import Origin

if TYPE_CHECKING:
    from operators.sites.slurm.access import Deadlines

READER: Final = ""
"""In place of a partner's name: the login that reads."""

_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class Logins(Protocol):
    """The logins at remote sites, by site and partner."""

    def name(self, site: Site, tenant: str) -> str:
        """What the partner's login is called there, or the reader's. Raises Unreachable: none, or unfit."""

    def open(self, site: Site, tenant: str, projects: tuple[str, ...]) -> SiteAccess:
        """The site's scheduler as that login, for these projects. Sends nothing yet."""


class LateAccess:
    """A login that is opened when it is first used, and anew when its credentials have changed.

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

    def check(self) -> None:
        """As in SiteAccess."""
        self._opened().check()

    def find(self, name: str, since: int, login: str) -> Sequence[RemoteJobRow]:
        """As in SiteAccess."""
        return self._opened().find(name, since, login)

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


class SharedOrigin(Origin):
    """Of logins that are used in threads of their own."""

    def __init__(self, per_minute: int) -> None:
        super().__init__(per_minute)
        self._lock = threading.RLock()

    def wait(self, now: float, most: int) -> float:
        """As in Origin."""
        with self._lock:
            return super().wait(now, most)

    def start(self, now: float, most: int) -> bool:
        """As in Origin."""
        with self._lock:
            return super().start(now, most)


class Credentials:
    """Logins whose credentials are the files of a folder, whenever they come there; None: there are none."""

    def __init__(self, folder: Path | None, deadlines: Deadlines | None = None) -> None:
        """``deadlines`` of a submission; None: those that ``decide.Bounds`` reckons with."""
        self._folder = folder or Path("/nonexistent")
        self._deadlines = deadlines
        self._origins: dict[tuple[str, int], Origin] = {}
        self._lock = threading.Lock()

    def name(self, site: Site, tenant: str) -> str:
        """As in Logins. Without pooled accounts one that another partner or the reader has too is unfit."""
        path = self._path(site, tenant, "user")
        if not path.is_file():
            raise Unreachable(f"its credentials are not there yet: {path.name}")
        login = _read(path)
        if not _LOGIN.fullmatch(login):
            raise Unreachable(f"{path.name} holds {login[:40]!r}, which is no login")
        if tenant != READER and not site.access.pooled_accounts:
            others = (self._folder / f"{site.name}.user", *self._folder.glob(f"{site.name}.*.user"))
            for other in sorted(others):
                if other != path and other.is_file() and _read(other) == login:
                    raise Unreachable(
                        f"{path.name} and {other.name} are both {login}, and {site.title} has no pooled "
                        "accounts: give each a login of its own"
                    )
        return login

    def open(self, site: Site, tenant: str, projects: tuple[str, ...]) -> SiteAccess:
        """As in Logins."""
        key = self._path(site, tenant, "key")
        known_hosts = self._folder / f"{site.name}.known_hosts"
        files = (self._path(site, tenant, "user"), key, known_hosts, _certificate(key))
        return LateAccess(files, projects, partial(self._open, site, tenant, key, known_hosts))

    def _open(
        self, site: Site, tenant: str, key: Path, known_hosts: Path, projects: tuple[str, ...]
    ) -> SiteAccess:
        if site.access.method != "ssh":
            raise Unreachable(f"it is reached by {site.access.method}, which this Antenna cannot do yet")
        wanted = (self._path(site, tenant, "user"), key, known_hosts)
        if missing := [path.name for path in wanted if not path.is_file()]:
            raise Unreachable(f"its credentials are not there yet: {', '.join(missing)}")
        # Loaded for a site that is there, and for none else.
        from operators.sites.slurm.access import SlurmAccess  # noqa: PLC0415

        return SlurmAccess(
            site=site,
            user=self.name(site, tenant),
            key=key,
            known_hosts=known_hosts,
            certificate=_certificate(key),
            projects=projects,
            deadlines=self._deadlines,
            reads_only=tenant == READER,
            origin=self._origin(site),
        )

    def _path(self, site: Site, tenant: str, part: str) -> Path:
        return self._folder / ".".join(filter(None, (site.name, tenant, part)))

    def _origin(self, site: Site) -> Origin:
        """Of all logins of a site one: it outlives their connections."""
        per_minute = site.access.connections_per_minute
        with self._lock:
            return self._origins.setdefault((site.name, per_minute), SharedOrigin(per_minute))


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip()


def _certificate(key: Path) -> Path:
    return key.with_suffix(".cert")
