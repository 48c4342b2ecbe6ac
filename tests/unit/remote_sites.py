"""LUMI and JUPITER as Pulumi.example-site.yaml describes them, in the operator's terms."""

from __future__ import annotations

from fractions import Fraction

from infra import paths
from infra.site.remote import RemoteSite
from infra.sitefile import read
from operators.sites.model import Access, Accounting, Cores, LargestShare, Partition, Site, WholeNodes


def _exact(amount: float) -> Fraction:
    return Fraction(str(amount))


def _billing(rule):
    match rule.rule:
        case "whole-nodes":
            return WholeNodes(rule.unit, _exact(rule.per_node_hour))
        case "largest-share":
            return LargestShare(rule.unit, _exact(rule.factor), rule.cores_per_slot, rule.memory_gib_per_slot)
        case "cores":
            return Cores(rule.unit)


def _partition(one):
    return Partition(
        name=one.name,
        billing=_billing(one.billing),
        max_seconds=round(one.limits.hours * 3600),
        max_nodes=one.limits.nodes,
        whole_nodes=one.whole_nodes,
        gpus_per_node=one.node.gpus,
        gpu_model=one.node.gpu_model or "",
        cores_per_node=one.node.cores,
        memory_gib_per_node=one.node.memory_gib,
        threads_per_core=one.node.threads_per_core,
        max_jobs=one.limits.jobs,
        max_running=one.limits.running,
        kwh_per_gpu_hour=_exact(one.kwh_per_gpu_hour) if one.kwh_per_gpu_hour else None,
    )


def _site(one):
    access, books = one.access, one.accounting
    return Site(
        name=one.name,
        title=one.title,
        access=Access(access.method, access.host, access.port, access.poll_floor_seconds),
        accounting=Accounting(
            books.tool, books.refreshed, books.period, books.carry_over_months, books.overdraw
        ),
        project_pattern=one.projects.pattern,
        partitions=tuple(_partition(partition) for partition in one.partitions),
    )


_DESCRIBED = {
    entry["name"]: RemoteSite.model_validate(entry)
    for entry in read(paths.REPOSITORY / "Pulumi.example-site.yaml")["sites"]
}
LUMI = _site(_DESCRIBED["lumi"])
JUPITER = _site(_DESCRIBED["jupiter"])
STORAGE = {store.name: _exact(store.factor) for store in _DESCRIBED["lumi"].storage}
