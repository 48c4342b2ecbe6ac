"""Rules of the site's layout: ranges, names, addresses, pods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from infra.site.links import LINK_PREFIX
from infra.site.network import NODE_PREFIX, SERVICE_PREFIX
from infra.site.problem import Problem
from infra.site.site import Site


def ranges(site: Site) -> Iterator[Problem]:
    """Ranges that overlap, or are too small for what is in them."""
    network = site.network
    named = {"cidr": network.cidr, "pods": network.pods, "services": network.services}
    names = list(named)
    for i, name in enumerate(names):
        for other in names[:i]:
            if named[name].overlaps(named[other]):
                yield Problem(
                    f"network.{name}",
                    f"{named[name]} overlaps network.{other} {named[other]}; "
                    "choose a range beside it, such as "
                    f"{_free_range(named[name].prefixlen, [r for n, r in named.items() if n != name])}",
                )
    if network.cidr.prefixlen > 29:
        yield Problem(
            "network.cidr", f"{network.cidr} has room for no machines; choose a /24, such as 10.77.0.0/24"
        )
    if network.services.prefixlen > 24:
        yield Problem(
            "network.services",
            f"{network.services} is too small for the cluster's services; choose a /24 or larger",
        )
    if network.services.prefixlen < SERVICE_PREFIX:
        yield Problem(
            "network.services",
            f"{network.services} is larger than Kubernetes takes; choose a /{SERVICE_PREFIX} or smaller, "
            f"such as {network.services.network_address}/16",
        )
    if network.gateway is not None and network.gateway not in network.cidr:
        yield Problem(
            "network.gateway",
            f"{network.gateway} is outside the network {network.cidr}; "
            f"choose an address in it, such as {network.cidr.network_address + 1}",
        )
    if network.nodes < len(site.nodes):
        yield Problem(
            "network.pods",
            f"{network.pods} has room for {network.nodes} nodes of a /{NODE_PREFIX} each, there are "
            f"{len(site.nodes)} machines; choose a larger range, such as a /16",
        )


def tunnels(site: Site) -> Iterator[Problem]:
    """Ranges of links that overlap others, or are not those of a tunnel."""
    network = site.network
    taken = {
        "network.cidr": network.cidr,
        "network.pods": network.pods,
        "network.services": network.services,
    }
    for key, wanted in link_ranges(site):
        clash = next((name for name, other in taken.items() if wanted.overlaps(other)), None)
        if clash is not None:
            beside = _free_range(wanted.prefixlen, [*taken.values(), *(r for _, r in link_ranges(site))])
            fix = (
                f"choose a range beside it, such as {beside}"
                if key.endswith("cidr")
                else "narrow one of them"
            )
            yield Problem(key, f"{wanted} overlaps {clash} {taken[clash]}; {fix}")
        elif key.endswith("cidr") and wanted.prefixlen != LINK_PREFIX:
            yield Problem(
                key, f"{wanted} must be a /{LINK_PREFIX}; write {wanted.network_address}/{LINK_PREFIX}"
            )
        taken[key] = wanted


def names(site: Site) -> Iterator[Problem]:
    """A machine's name that another has."""
    for i, machine in enumerate(site.machines):
        twin = next((j for j in range(i) if site.machines[j].name == machine.name), None)
        if twin is not None:
            taken = {m.name for m in site.machines}
            yield Problem(
                f"machines[{i}].name",
                f"{machine.name} is the name of machines[{twin}] already; "
                f"choose another, such as {_free_name(machine.name, taken)}",
            )


def addresses(site: Site) -> Iterator[Problem]:
    """Addresses outside the network, reserved in it, or taken."""
    network = site.network
    gateway = network.gateway_address
    taken = {m.address for m in site.machines} | {gateway}
    free = _free_address(
        network.cidr, taken, after=max((a for a in taken if a in network.cidr), default=gateway)
    )
    fix = f"choose a free address in it, such as {free}"
    seen: dict[IPv4Address, str] = {}
    for i, machine in enumerate(site.machines):
        key = f"machines[{i}].address"
        if machine.role == "site" and site.platform == "ssh" and machine.address not in network.cidr:
            pass  # Where a link ends may be anywhere.
        elif machine.address not in network.cidr:
            yield Problem(key, f"{machine.address} is outside the network {network.cidr}; {fix}")
        elif machine.address in (network.cidr.network_address, network.cidr.broadcast_address):
            yield Problem(key, f"{machine.address} is reserved in the network {network.cidr}; {fix}")
        elif machine.address == gateway:
            yield Problem(
                key, f"{machine.address} is the gateway of the network; choose a free address, such as {free}"
            )
        elif machine.address in seen:
            yield Problem(
                key,
                f"{machine.address} is the address of {seen[machine.address]} already; "
                f"choose a free one, such as {free}",
            )
        seen.setdefault(machine.address, machine.name)


def pods(site: Site) -> Iterator[Problem]:
    """Nodes' ranges outside the pods' range, of another size, or taken."""
    network = site.network
    seen: dict[IPv4Network, str] = {}
    for i, machine in enumerate(site.machines):
        if machine.role == "site":
            continue
        key = f"machines[{i}].pods"
        pods = machine.pods or network.pods_of(machine.address)
        if pods is None:
            yield Problem(
                key,
                f"is missing: {machine.address} is beyond the {network.nodes} nodes' ranges of "
                f"{network.pods}; add a /{NODE_PREFIX} of it that no other machine has",
            )
            continue
        if pods.prefixlen != NODE_PREFIX:
            yield Problem(key, f"{pods} must be a /{NODE_PREFIX}; write {pods.network_address}/{NODE_PREFIX}")
        elif not pods.subnet_of(network.pods):
            yield Problem(
                key, f"{pods} is outside network.pods {network.pods}; choose a /{NODE_PREFIX} inside it"
            )
        elif pods in seen:
            yield Problem(
                key,
                f"{pods} belongs to {seen[pods]} already; choose another /{NODE_PREFIX} of {network.pods}",
            )
        seen.setdefault(pods, machine.name)


def _free_address(network: IPv4Network, taken: set[IPv4Address], after: IPv4Address) -> str:
    """The first free address after the machines' last one, else the first free one."""
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - 1
    places = chain(range(max(first, int(after) + 1), last + 1), range(first, last + 1))
    free = (address for place in places if (address := IPv4Address(place)) not in taken)
    return str(next(free, "(none: enlarge site:network.cidr)"))


def _free_name(name: str, taken: set[str]) -> str:
    stem = re.sub(r"-?[0-9]+$", "", name)
    return next(f"{stem}-{n}" for n in range(1, len(taken) + 2) if f"{stem}-{n}" not in taken)


def _free_range(prefix: int, taken: list[IPv4Network]) -> IPv4Network:
    """A range of the wanted size in 10.0.0.0/8, after what is taken there."""
    private = IPv4Network("10.0.0.0/8")
    size = 2 ** (32 - max(prefix, 8))
    start = max((int(r.broadcast_address) + 1 for r in taken if r.overlaps(private)), default=int(private[0]))
    return IPv4Network((-(-start // size) * size, max(prefix, 8)))


def link_ranges(site: Site) -> Iterator[tuple[str, IPv4Network]]:
    """Every range that links use, with its key."""
    for i, link in enumerate(site.links):
        yield f"links[{i}].cidr", link.cidr
        yield from ((f"links[{i}].reaches[{j}]", reached) for j, reached in enumerate(link.reaches))
