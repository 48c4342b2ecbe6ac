"""What is declared: the remote sites, and the partners with what was granted to them. Pure."""

from __future__ import annotations

import logging

from operators.api.remote_site import Maintenance, RemoteSiteSpec, site_of
from operators.api.tenant import TenantSpec, partner_of
from operators.sites.model import Site
from operators.tenancy import Allocation, Object, Tenant

_log = logging.getLogger(__name__)


class Declared:
    """As of the last change. Its dicts are changed in place: who is given one sees what is declared now."""

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.site_objects: dict[str, Object] = {}
        """Those whose entry cannot be read too."""
        self.maintenance: dict[str, Maintenance] = {}
        """By site; until when is for its reader to compare."""
        self.partners: dict[str, Tenant] = {}
        self.tenant_objects: dict[str, Object] = {}
        self.allocations: dict[str, tuple[Allocation, ...]] = {}
        """By partner."""

    def projects(self, site: str) -> set[tuple[str, str]]:
        """(tenant, project) of all that partners have at a site."""
        return {
            (tenant, grant.project)
            for tenant, granted in self.allocations.items()
            for grant in granted
            if grant.site == site
        }

    def tenant(self, obj: Object, gone: bool) -> bool:
        """A Tenant is new, has changed or is gone; whether that makes a difference."""
        name = obj["metadata"]["name"]
        before = self.partners.pop(name, None)
        self.allocations.pop(name, None)
        self.tenant_objects.pop(name, None)
        if not gone:
            self.tenant_objects[name] = obj
            try:
                self.partners[name] = partner_of(name, TenantSpec.model_validate(obj["spec"]))
                self.allocations[name] = self.partners[name].allocations
            except ValueError as error:
                _log.error("Tenant %s: %s", name, error)
        return before != self.partners.get(name)

    def site(self, obj: Object, gone: bool) -> bool:
        """A RemoteSite is new, has changed or is gone; whether that makes a difference."""
        name = obj["metadata"]["name"]
        before = self.sites.get(name), self.maintenance.pop(name, None)
        self.site_objects.pop(name, None)
        found: Site | None = None
        if not gone:
            self.site_objects[name] = obj
            try:
                spec = RemoteSiteSpec.model_validate(obj["spec"])
                found = site_of(name, spec)
                if spec.maintenance is not None:
                    self.maintenance[name] = spec.maintenance
            except ValueError as error:
                _log.error("RemoteSite %s: %s", name, error)
        if found is None:
            self.sites.pop(name, None)
        else:
            # In its place: sites are tried in the order in which they were first declared.
            self.sites[name] = found
        return before != (found, self.maintenance.get(name))
