"""The site's quotas in the terms of Kueue's queues. Pure."""

from __future__ import annotations

from infra import remote
from infra.site import Flavor, Site, Tenant
from operators import queues, tenancy
from operators.sites import flavors as remote_flavors

MODEL_LABEL = "nvidia.com/gpu.product"
"""The node label that names the GPU's model, as NVIDIA's feature discovery sets it."""


def cohort(site: Site) -> queues.Cohort:
    """The cohort: its flavors, the local ones first, and the pool that is no partner's own.

    A flavor's pool is what the site states as shared, never what the partners leave: one partner's
    quota is then in that partner's objects alone.
    """
    flavors = site.cohort.flavors
    several = len(flavors) > 1
    return queues.Cohort(
        name=site.cohort.name,
        flavors=tuple(
            queues.Flavor(flavor.name, {MODEL_LABEL: flavor.gpu_model} if several else {})
            for flavor in flavors
        )
        + remote_flavors.flavors(remote.sites(site)),
        pool={
            flavor.name: _amounts(
                flavor, flavor.shared.gpus, cpus=flavor.shared.cpus, memory_gib=flavor.shared.memory_gib
            )
            for flavor in flavors
        },
    )


def partner(site: Site, tenant: Tenant) -> tenancy.Tenant:
    """A partner with its quota: of each flavor its GPUs, and the cores and memory that go with them.

    Of a remote partition that one of its allocations pays for: what the site runs at a time.
    """
    granted = remote.allocations(tenant)
    # As the cluster knows the groups: what the issuer says of people has a prefix there.
    prefix = site.authentication.groups.prefix if site.authentication else ""
    return tenancy.Tenant(
        name=tenant.name,
        title=tenant.title,
        ecosystem=tenant.ecosystem,
        sectors=tenant.sectors,
        groups=tuple(prefix + group for group in tenant.groups),
        quotas={
            flavor.name: {
                resource: tenancy.Quota(amount)
                for resource, amount in _amounts(flavor, tenant.quota.get(flavor.name, 0)).items()
            }
            for flavor in site.cohort.flavors
        }
        | remote_flavors.quotas(granted, remote.sites(site)),
        allocations=granted,
        logins=tenant.logins,
        egress=tuple(tenancy.Egress(str(one.cidr), one.ports) for one in tenant.egress),
    )


def _amounts(flavor: Flavor, gpus: int, *, cpus: float = 0, memory_gib: float = 0) -> dict[str, int | str]:
    return {
        queues.GPU: gpus,
        "cpu": _cores(gpus * flavor.cpus_per_gpu + cpus),
        "memory": _memory(gpus * flavor.memory_gib_per_gpu + memory_gib),
    }


def _cores(amount: float) -> str:
    """A quantity as the API server prints it: whole cores, else thousandths."""
    return str(int(amount)) if amount == int(amount) else f"{round(amount * 1000)}m"


def _memory(gib: float) -> str:
    """A quantity as the API server prints it, to the MiB."""
    mib = round(gib * 1024)
    if mib == 0:
        return "0"
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"
