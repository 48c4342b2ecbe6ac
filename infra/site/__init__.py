"""The site: what one Antenna is made of, as a typed, frozen model. No I/O happens here.

``parse_site`` takes the ``site:`` keys of a stack file as plain data and either returns a ``Site`` in
which everything holds, or raises a ``SiteError`` with one line a problem: file, key, fix.
"""

from infra.site.authentication import Authentication
from infra.site.cohort import Cohort, Flavor, Shared
from infra.site.kubernetes import Kubernetes
from infra.site.links import Link
from infra.site.machines import Gpus, Machine, Role
from infra.site.monitoring import Monitoring
from infra.site.network import Network
from infra.site.oncall import Oncall
from infra.site.operator import Operator
from infra.site.parse import parse_site
from infra.site.problem import Problem, SiteError
from infra.site.remote import Access, Accounting, Partition, RemoteSite
from infra.site.site import Platform, Site
from infra.site.tenants import Allocation, Funding, Tenant

__all__ = [
    "Access",
    "Accounting",
    "Allocation",
    "Authentication",
    "Cohort",
    "Flavor",
    "Funding",
    "Gpus",
    "Kubernetes",
    "Link",
    "Machine",
    "Monitoring",
    "Network",
    "Oncall",
    "Operator",
    "Partition",
    "Platform",
    "Problem",
    "RemoteSite",
    "Role",
    "Shared",
    "Site",
    "SiteError",
    "Tenant",
    "parse_site",
]
