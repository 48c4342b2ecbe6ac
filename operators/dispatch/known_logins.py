"""Which login a partner has at a site now, as it is asked for each look at each of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from operators.dispatch.access import READER, Logins
from operators.dispatch.checks import Health
from operators.sites.access import Unreachable
from operators.sites.model import Site
from operators.tenancy import Tenant

LASTS: Final = 2.0
"""Seconds that an answer is used for: a thousand jobs ask the same, and a Secret changes under its mount."""


class KnownLogins:
    """Of the dispatch's thread alone."""

    def __init__(
        self,
        logins: Logins,
        sites: Mapping[str, Site],
        partners: Mapping[str, Tenant],
        clock: Callable[[], float],
    ) -> None:
        self._logins = logins
        self._sites = sites
        self._partners = partners
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, str, str]] = {}
        self._health: dict[tuple[str, str], Health] = {}

    def name(self, site: str, tenant: str = READER) -> str:
        """What the partner's login there is called, or the reader's; empty while there is none."""
        return self._look(site, tenant)[0]

    def health(self, site: str, tenant: str) -> Health:
        """Whether work can be sent as the partner's login; one that was not used yet is taken to be well."""
        _, trouble = self._look(site, tenant)
        if trouble:
            return Health(False, f"has no login for {tenant}: {trouble}")
        return self._health.get((site, tenant), Health(True, "answers"))

    def tell(self, site: str, tenant: str, health: Health | None) -> None:
        """How the site answers the login, as its worker has it; None: there is no worker any more."""
        if health is None:
            self._health.pop((site, tenant), None)
        else:
            self._health[site, tenant] = health

    def clear(self) -> None:
        """How the sites answer is not known."""
        self._health.clear()

    def _look(self, site: str, tenant: str) -> tuple[str, str]:
        at, name, trouble = self._known.get((site, tenant), (float("-inf"), "", ""))
        if not 0 <= self._clock() - at < LASTS:
            name, trouble = self._ask(site, tenant)
            self._known[site, tenant] = (self._clock(), name, trouble)
        return name, trouble

    def _ask(self, site: str, tenant: str) -> tuple[str, str]:
        found = self._sites.get(site)
        if found is None:
            return "", f"there is no site {site}"
        try:
            name = self._logins.name(found, tenant)
        except (Unreachable, OSError) as error:
            return "", str(error)
        partner = self._partners.get(tenant)
        declared = partner.logins.get(site, name) if partner else name
        if name != declared:
            return "", f"its credentials are {name}'s, and its login there is declared as {declared}"
        return name, ""
