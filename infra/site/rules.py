"""Rules that span keys: what each part says is right, together it could not be built."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from infra.site import layout
from infra.site.authentication_rules import authentication_problems
from infra.site.link_rules import link_problems
from infra.site.machines import end_problems, platform_problems, role_problems
from infra.site.oncall_rules import oncall_problems
from infra.site.problem import Problem
from infra.site.remote import READER
from infra.site.site import Site
from infra.site.tenants import Allocation
from infra.suggestion import suggestion
from operators.sites.flavors import flavor_name


def broken_rules(site: Site) -> list[Problem]:
    """The problems of every chain's first broken rule: what follows from these is not told."""
    broken = (next(filter(None, (list(rule(site)) for rule in chain)), []) for chain in CHAINS)
    return [problem for problems in broken for problem in problems]


def _platform(site: Site) -> Iterator[Problem]:
    if site.identity_file is not None and site.platform != "ssh":
        yield Problem(
            "identity_file",
            "is for `platform: ssh`; embedded machines are reached with their own key: remove it",
        )
    yield from role_problems(site.machines)
    yield from end_problems(site.machines)
    yield from platform_problems(site.platform, site.machines)


def _flavors(site: Site) -> Iterator[Problem]:
    flavors = site.cohort.flavors
    models = [flavor.gpu_model for flavor in flavors]
    for i, flavor in enumerate(flavors):
        if flavor.name in (f.name for f in flavors[:i]):
            yield Problem(
                f"cohort.flavors[{i}].name", f"{flavor.name} is there twice; remove one or rename it"
            )
        if flavor.gpu_model in models[:i]:
            yield Problem(
                f"cohort.flavors[{i}].gpu_model",
                f"{flavor.gpu_model} belongs to flavor {flavors[models.index(flavor.gpu_model)].name} "
                "already; one flavor a model",
            )
    for i, machine in enumerate(site.machines):
        if machine.gpus and machine.gpus.model not in models:
            yield Problem(
                f"machines[{i}].gpus.model",
                f"no flavor has {machine.gpus.model}; {suggestion(machine.gpus.model, models)}; "
                "or add a flavor with that gpu_model to site:cohort.flavors",
            )


def _tenants(site: Site) -> Iterator[Problem]:
    names: dict[str, int] = {}
    owners: dict[str, str] = {}
    for i, tenant in enumerate(site.tenants):
        if tenant.name in names:
            yield Problem(
                f"tenants[{i}].name",
                f"{tenant.name} is tenants[{names[tenant.name]}] already; remove one of the two or rename it",
            )
        names.setdefault(tenant.name, i)
        for j, sector in enumerate(tenant.sectors):
            if sector in tenant.sectors[:j]:
                yield Problem(f"tenants[{i}].sectors[{j}]", f"{sector} is listed twice; remove one")
        for j, group in enumerate(tenant.groups):
            if group in owners:
                whose = "twice in this list" if owners[group] == tenant.name else f"{owners[group]}'s"
                yield Problem(
                    f"tenants[{i}].groups[{j}]",
                    f"{group} is {whose} already; a group belongs to one partner: remove it here or there",
                )
            owners.setdefault(group, tenant.name)


def _egress(site: Site) -> Iterator[Problem]:
    """What is declared is let out whoever the address belongs to, so that it must not be one inside."""
    network = site.network
    inside = {
        "network.cidr": network.cidr,
        "network.pods": network.pods,
        "network.services": network.services,
        **dict(layout.link_ranges(site)),
    }
    for i, tenant in enumerate(site.tenants):
        for j, one in enumerate(tenant.egress):
            key = f"tenants[{i}].egress[{j}]"
            clash = next((name for name, taken in inside.items() if one.cidr.overlaps(taken)), None)
            if clash is not None:
                yield Problem(
                    f"{key}.cidr",
                    f"{one.cidr} overlaps {clash} {inside[clash]}, which is the site's own; name addresses "
                    "outside the site, in ranges as narrow as they are",
                )
            if twice := [port for k, port in enumerate(one.ports) if port in one.ports[:k]]:
                yield Problem(f"{key}.ports", f"{twice[0]} is listed twice; remove one")


def _quota(site: Site) -> Iterator[Problem]:
    flavors = [flavor.name for flavor in site.cohort.flavors]
    for i, tenant in enumerate(site.tenants):
        for name in tenant.quota:
            if name not in flavors:
                yield Problem(
                    f"tenants[{i}].quota.{name}", f"there is no flavor {name}; {suggestion(name, flavors)}"
                )
    for i, flavor in enumerate(site.cohort.flavors):
        there, over = site.gpus[flavor.name], -site.unassigned[flavor.name]
        if over > 0:
            yield Problem(
                f"cohort.flavors[{i}]",
                f"{flavor.name}: quotas add up to {there + over - flavor.shared.gpus} and "
                f"{flavor.shared.gpus} are shared, but the machines have {there} GPUs; "
                f"lower a partner's quota or shared.gpus by {over}, or add a machine",
            )


def _remote(site: Site) -> Iterator[Problem]:
    flavors = {flavor.name: f"cohort.flavors[{i}]" for i, flavor in enumerate(site.cohort.flavors)}
    for i, remote in enumerate(site.sites):
        own = remote.name in ("local", "any")
        if own or remote.name in (s.name for s in site.sites[:i]):
            yield Problem(
                f"sites[{i}].name",
                f"{remote.name} is taken" + (" by the Antenna itself" if own else "") + "; rename it",
            )
            continue
        for j, one in enumerate(remote.partitions):
            flavor, at = flavor_name(remote.name, one.name), f"sites[{i}].partitions[{j}]"
            if flavor in flavors and one.name not in (p.name for p in remote.partitions[:j]):
                yield Problem(
                    f"{at}.name",
                    f"{one.name} becomes the flavor {flavor}, as {flavors[flavor]} does; rename the site",
                )
            flavors.setdefault(flavor, at)
        names = [partition.name for partition in remote.partitions]
        for j, name in enumerate(names):
            if name in names[:j]:
                yield Problem(
                    f"sites[{i}].partitions[{j}].name", f"{name} is there twice; remove one of the two"
                )
        for j, partition in enumerate(remote.partitions):
            if partition.whole_nodes != (partition.billing.rule == "whole-nodes"):
                wanted = "true" if partition.billing.rule == "whole-nodes" else "false"
                yield Problem(
                    f"sites[{i}].partitions[{j}].whole_nodes",
                    f"does not go with billing rule {partition.billing.rule}; "
                    f"make it {wanted} or change the rule",
                )
        if not re.fullmatch(remote.projects.pattern, remote.projects.example):
            yield Problem(
                f"sites[{i}].projects.example",
                f"{remote.projects.example!r} does not match {remote.projects.pattern}; "
                "correct one of the two",
            )


def _allocations(site: Site) -> Iterator[Problem]:
    sites = {remote.name: remote for remote in site.sites}
    for i, tenant in enumerate(site.tenants):
        for j, allocation in enumerate(tenant.allocations):
            key = f"tenants[{i}].allocations[{j}]"
            remote = sites.get(allocation.site)
            if allocation.end < allocation.start:
                yield Problem(
                    f"{key}.end", f"{allocation.end} is before its start {allocation.start}; swap them"
                )
            if remote is None:
                yield Problem(
                    f"{key}.site",
                    f"there is no remote site {allocation.site}; {suggestion(allocation.site, sites)}",
                )
                continue
            if not re.fullmatch(remote.projects.pattern, allocation.project):
                yield Problem(
                    f"{key}.project",
                    f"{allocation.project!r} is not a project of {remote.title}: these match "
                    f"{remote.projects.pattern}, such as {remote.projects.example}",
                )
            if allocation.unit not in remote.units:
                yield Problem(
                    f"{key}.unit",
                    f"{remote.title} does not bill in {allocation.unit!r}; "
                    f"{suggestion(allocation.unit, remote.units)}",
                )


_READS = "the Antenna's own, which only reads,"


def _logins(site: Site) -> Iterator[Problem]:
    """A login is one partner's at a site, or who works for one could read and end what is the other's."""
    sites = {remote.name: remote for remote in site.sites}
    played = {link.site for link in site.links} if site.platform == "embedded" else set()
    owners = {(name, READER): _READS for name in played}
    for i, tenant in enumerate(site.tenants):
        granted = {allocation.site for allocation in tenant.allocations}
        for name in tenant.logins:
            key = f"tenants[{i}].logins.{name}"
            if name not in sites:
                yield Problem(
                    key,
                    f"there is no remote site {name}; {suggestion(name, sites)}",
                )
            elif name not in granted:
                yield Problem(
                    key,
                    f"{tenant.name} has no allocation at {name}; add one, or remove the login",
                )
        for name in sorted(granted & (tenant.logins.keys() | played) & sites.keys()):
            login = tenant.login(name)
            owner = owners.setdefault((name, login), f"{tenant.name}'s")
            pooled = sites[name].access.pooled_accounts and owner != _READS
            if owner != f"{tenant.name}'s" and not pooled:
                why = "" if owner == _READS else f", and {name} has `pooled_accounts: false`"
                yield Problem(
                    f"tenants[{i}].logins.{name}",
                    f"{login} is {owner} already{why}; write a login of the partner's own",
                )


def _grants(site: Site) -> Iterator[Problem]:
    """Use is told by site, project and unit: it must be clear whose it is, and what it is taken off."""
    owners: dict[tuple[str, str], str] = {}
    known: dict[tuple[str, str, str], list[tuple[str, Allocation]]] = defaultdict(list)
    for i, tenant in enumerate(site.tenants):
        for j, one in enumerate(tenant.allocations):
            key = f"tenants[{i}].allocations[{j}]"
            owner = owners.setdefault((one.site, one.project), tenant.name)
            if owner != tenant.name:
                yield Problem(
                    f"{key}.project",
                    f"{one.project} at {one.site} is {owner}'s already; each partner has projects of its own",
                )
                continue
            same = known[one.site, one.project, one.unit]
            for where, other in same:
                if one.start <= other.end and other.start <= one.end:
                    yield Problem(
                        key,
                        f"overlaps {where}: the same {one.unit} of {one.project} are granted until "
                        f"{other.end}; raise that amount, or begin this one later",
                    )
            same.append((key, one))


def _funding(site: Site) -> Iterator[Problem]:
    total = site.funding.eurohpc + site.funding.national
    if total != 100:
        yield Problem(
            "funding",
            f"eurohpc and national add up to {total} percent; "
            f"write `national: {100 - site.funding.eurohpc}` or change eurohpc",
        )


CHAINS: tuple[tuple[Callable[[Site], Iterator[Problem]], ...], ...] = (
    (layout.ranges, layout.names, layout.addresses, layout.pods),
    (_platform,),
    (_flavors, _quota),
    (_tenants,),
    (_remote, layout.tunnels, link_problems, _allocations, _logins, _grants, _egress),
    (_funding,),
    (authentication_problems,),
    (oncall_problems,),
)
"""Each rule of a chain takes it that the ones before it hold."""
