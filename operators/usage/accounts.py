"""The partners' accounts at remote sites, as the dispatch uses them: by the ledger and the sites' answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from fractions import Fraction

from sqlalchemy.exc import SQLAlchemyError

from operators.ledger.remote_entry import Payer
from operators.ledger.trouble import told
from operators.sites.access import RemoteJobRow, SiteAccess
from operators.sites.model import Site
from operators.tenancy import Tenant
from operators.usage.budgets import Allocation
from operators.usage.remote import RemoteUsage
from operators.usage.watch import RemoteWatch

_log = logging.getLogger(__name__)


class RemoteAccounts:
    """``dispatch.accounts.Accounts`` by the usage that the ledger keeps."""

    def __init__(self, usage: RemoteUsage) -> None:
        self._usage = usage
        self._watches: dict[str, RemoteWatch] = {}

    def configure(self, sites: Iterable[Site], partners: Iterable[Tenant]) -> None:
        """The sites and the partners with their allocations, as declared now."""
        known = tuple(partners)
        allocations = [Allocation(one.name, **vars(grant)) for one in known for grant in one.allocations]
        payers = [Payer(one.name, one.ecosystem, next(iter(one.sectors), "")) for one in known]
        self._usage.configure(sites, allocations, payers)

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        """None too while the ledger cannot be read: nothing is let go that may not be paid for."""
        try:
            return self._usage.remaining(tenant, site, unit)
        except SQLAlchemyError as error:
            _log.warning("the budget of %s at %s cannot be read: %s", tenant, site, told(error))
            return None

    def trouble(self, site: str) -> str:
        """Why nothing can be charged there: the ledger cannot be written."""
        return self._usage.trouble(site)

    def since(self, site: str) -> int | None:
        """None too while the ledger cannot be read: it says later that this was not read."""
        try:
            return self._usage.since(site)
        except SQLAlchemyError as error:
            _log.warning("%s: how far the accounting was read is not known: %s", site, told(error))
            return None

    def queued(self, site: str, rows: Sequence[RemoteJobRow]) -> None:
        """Into the ledger and the figures."""
        self._watch(site).queued(rows)

    def ended(self, site: str, rows: Sequence[RemoteJobRow], until: int | None) -> None:
        """Into the ledger and the figures."""
        self._watch(site).ended(rows, until)

    def looked(self, site: str, access: SiteAccess) -> None:
        """Ask for nodes, and for the site's own figures."""
        self._watch(site).looked(access)

    def _watch(self, site: str) -> RemoteWatch:
        return self._watches.setdefault(site, RemoteWatch(site, self._usage))
