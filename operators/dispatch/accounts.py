"""What the dispatch needs of the partners' accounts, and whom it tells what the sites tell. An interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Protocol

from operators.sites.access import RemoteJobRow, SiteAccess
from operators.sites.model import Site
from operators.tenancy import Tenant


class Accounts(Protocol):
    """Used and left of what remote sites granted. Called from several threads; errors are its own matter."""

    def configure(self, sites: Iterable[Site], partners: Iterable[Tenant]) -> None:
        """The sites and the partners with their allocations, as declared now."""

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        """Granted, or to be overdrawn, and not used by what has ended, in ``unit``; None: not known yet."""

    def trouble(self, site: str) -> str:
        """Why nothing can be charged there now, for users; empty while it can. Answers at once."""

    def since(self, site: str) -> int | None:
        """From when on the site's accounting has to be read now; None: not known, or it does not matter."""

    def queued(self, site: str, rows: Sequence[RemoteJobRow]) -> None:
        """All jobs that wait or run there now, and those that are known there to have ended."""

    def ended(self, site: str, rows: Sequence[RemoteJobRow], until: int | None) -> None:
        """Jobs that have ended there, by its accounting; the same may come again.

        ``until``: all that ended between what ``since`` said and then are among them, for certain; None:
        ``since`` said nothing.
        """

    def looked(self, site: str, access: SiteAccess) -> None:
        """All jobs were looked at; called from the thread that asks the site, so it may ask it more."""
