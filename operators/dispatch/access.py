"""How the sites' schedulers are opened: by the method that a site's entry names, with credentials from files.

For each site the folder holds ``SITE.user`` (the account's name), ``SITE.key`` (its private key) and
``SITE.known_hosts`` (the site's host keys), as a Secret's keys become files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from operators.sites.access import Granted, NodeRow, RemoteJobRow, SiteAccess, Submission, Unreachable
from operators.sites.model import Site

_PARTS: Final = ("user", "key", "known_hosts")

Opener = Callable[[Site, tuple[str, ...]], SiteAccess]
"""Opens a site's scheduler for these projects. Sends nothing yet."""


class NoAccess:
    """A site that cannot be asked, and why: every question says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    def serve(self, projects: Sequence[str]) -> None:
        """For whomever: it cannot be asked."""

    def submit(self, job: Submission) -> int:
        """Raises Unreachable, as all of them do."""
        self._refuse()

    def cancel(self, job: RemoteJobRow) -> None:
        """Raises Unreachable."""
        self._refuse()

    def find(self, name: str, since: int) -> Sequence[RemoteJobRow]:
        """Raises Unreachable."""
        self._refuse()

    def queue(self) -> Sequence[RemoteJobRow]:
        """Raises Unreachable."""
        self._refuse()

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        """Raises Unreachable."""
        self._refuse()

    def nodes(self) -> Sequence[NodeRow]:
        """Raises Unreachable."""
        self._refuse()

    def granted(self, project: str) -> Granted:
        """Raises Unreachable."""
        self._refuse()

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        """Raises Unreachable."""
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""

    def _refuse(self) -> NoReturn:
        raise Unreachable(self._why)


def opener(folder: Path | None) -> Opener:
    """Opens sites with the credentials of a folder; None: there are none."""

    def opened(site: Site, projects: tuple[str, ...]) -> SiteAccess:
        if site.access.method != "ssh":
            return NoAccess(f"it is reached by {site.access.method}, which this Antenna cannot do yet")
        files = [(folder or Path("/nonexistent")) / f"{site.name}.{part}" for part in _PARTS]
        missing = [path.name for path in files if not path.is_file()]
        if missing:
            return NoAccess(f"its credentials are not there yet: {', '.join(missing)}")
        user, key, known_hosts = files
        # Loaded for a site that is there, and for none else.
        from operators.sites.slurm.access import SlurmAccess  # noqa: PLC0415

        return SlurmAccess(
            site=site,
            user=user.read_text().strip(),
            key=key,
            known_hosts=known_hosts,
            projects=projects,
        )

    return opened
