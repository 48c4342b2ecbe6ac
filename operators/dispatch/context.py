"""What the dispatch knows besides its jobs: of the cluster, the sites, and what may be done now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from operators.api.remote_site import Maintenance
from operators.dispatch.accounts import Accounts
from operators.dispatch.checks import Health
from operators.dispatch.decide import Bounds
from operators.dispatch.known_logins import KnownLogins
from operators.dispatch.tasks import Task
from operators.kube.client import Cluster
from operators.sites.model import Site
from operators.tenancy import Allocation


@dataclass
class Context:
    """What one look at a job needs to know besides it."""

    cluster: Cluster
    clock: Callable[[], float]
    bounds: Bounds
    accounts: Accounts
    may_send: Callable[[], bool]
    """Whether this process leads, and will until a submission that begins now is over."""
    writer: Callable[[], str]
    sites: Mapping[str, Site]
    allocations: Mapping[str, tuple[Allocation, ...]]
    """By partner."""
    health: Mapping[str, Health]
    """By site."""
    maintenance: Mapping[str, Maintenance]
    """By site; also what is over."""
    logins: KnownLogins
    ask: Callable[[str, str, Task], bool]
    """Hand a task to the worker of a site and a partner, or of its reader; False where there is none."""
