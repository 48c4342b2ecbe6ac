"""The remote sites in the terms of the operator. Pure."""

from __future__ import annotations

from fractions import Fraction

from infra.site import Site, Tenant
from infra.site import remote as entry
from operators import tenancy
from operators.sites import model


def sites(site: Site) -> tuple[model.Site, ...]:
    """Every remote site, in the order of the entries."""
    return tuple(_site(one) for one in site.sites)


def allocations(tenant: Tenant) -> tuple[tenancy.Allocation, ...]:
    """What remote sites granted a partner."""
    return tuple(
        tenancy.Allocation(one.site, one.project, exact(one.amount), one.unit, one.start, one.end)
        for one in tenant.allocations
    )


def exact(number: float) -> Fraction:
    """The number as it stands in the file: 0.155, and not the nearest that a float can hold."""
    return Fraction(str(number))


def _site(one: entry.RemoteSite) -> model.Site:
    return model.Site(
        name=one.name,
        title=one.title,
        access=model.Access(
            method=one.access.method,
            host=one.access.host,
            port=one.access.port,
            poll_floor_seconds=one.access.poll_floor_seconds,
            connections_per_minute=one.access.connections_per_minute,
            key_types=one.access.key_types,
            pooled_accounts=one.access.pooled_accounts,
        ),
        accounting=model.Accounting(
            tool=one.accounting.tool,
            refreshed=one.accounting.refreshed,
            period=one.accounting.period,
            carry_over_months=one.accounting.carry_over_months,
            overdraw=one.accounting.overdraw,
        ),
        project_pattern=one.projects.pattern,
        partitions=tuple(_partition(partition) for partition in one.partitions),
        project_directories=one.projects.directories,
    )


def _partition(one: entry.Partition) -> model.Partition:
    return model.Partition(
        name=one.name,
        billing=_billing(one.billing),
        max_seconds=int(exact(one.limits.hours) * 3600),
        max_nodes=one.limits.nodes,
        whole_nodes=one.whole_nodes,
        gpus_per_node=one.node.gpus,
        gpu_model=one.node.gpu_model or "",
        cores_per_node=one.node.cores,
        memory_gib_per_node=one.node.memory_gib,
        threads_per_core=one.node.threads_per_core,
        max_jobs=one.limits.jobs,
        max_running=one.limits.running,
        kwh_per_gpu_hour=None if one.kwh_per_gpu_hour is None else exact(one.kwh_per_gpu_hour),
    )


def _billing(rule: entry.Billing) -> model.Billing:
    match rule:
        case entry.WholeNodes():
            return model.WholeNodes(rule.unit, exact(rule.per_node_hour))
        case entry.LargestShare():
            return model.LargestShare(
                rule.unit, exact(rule.factor), rule.cores_per_slot, rule.memory_gib_per_slot
            )
        case entry.Cores():
            return model.Cores(rule.unit)
