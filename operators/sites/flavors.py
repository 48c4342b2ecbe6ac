"""A remote site's partitions in the terms of Kueue: flavors, and how much of each a partner has. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from operators.queues import REMOTE_CORE, REMOTE_GPU, Flavor
from operators.sites.model import Partition, Site
from operators.tenancy import Allocation, Quota

# Where a site does not state what a node has: more than any node.
_CORES: Final = 1024


def flavor_name(site: str, partition: str) -> str:
    """SITE-PARTITION, as a Kubernetes name: partitions may have capitals and underscores."""
    return re.sub(r"[^a-z0-9-]", "-", f"{site}-{partition}".lower()).strip("-")


def flavors(sites: Iterable[Site]) -> tuple[Flavor, ...]:
    """The flavors of all partitions, in the order of the sites' entries."""
    return tuple(
        Flavor(flavor_name(site.name, partition.name), remote=True)
        for site in sites
        for partition in site.partitions
    )


def paid_by(allocation: Allocation, site: Site) -> tuple[Partition, ...]:
    """The partitions that an allocation pays for: those of its site that bill in its unit."""
    if allocation.site != site.name:
        return ()
    return tuple(one for one in site.partitions if one.billing.unit == allocation.unit)


def quotas(allocations: Iterable[Allocation], sites: Iterable[Site]) -> dict[str, dict[str, Quota]]:
    """flavor -> resource -> quota of a partner: of each partition that one of its allocations pays for."""
    sites = tuple(sites)
    return {
        flavor_name(site.name, partition.name): _quota(partition)
        for allocation in allocations
        for site in sites
        for partition in paid_by(allocation, site)
    }


def _quota(partition: Partition) -> dict[str, Quota]:
    """Room for the largest job of the partition, and for as many of one node as it runs at a time.

    What a site does not run at once waits here, in the partner's own order; how much is used in all is
    the budget's matter.
    """
    nodes = max(partition.max_nodes, partition.max_running or 0)
    if partition.gpus_per_node:
        return {REMOTE_GPU: Quota(nodes * partition.gpus_per_node)}
    return {REMOTE_CORE: Quota(nodes * (partition.cores_per_node or _CORES))}
