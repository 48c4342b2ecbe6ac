"""Links: tunnels from the Antenna's gateway, the head, to where the ways to remote sites begin."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from infra.site.problem import Problem
from infra.site.values import MachineName, Model, Range, RemoteName
from infra.suggestion import suggestion

if TYPE_CHECKING:
    from infra.site.site import Site

LINK_PREFIX = 30
"""Prefix length: a tunnel has two ends."""

UdpPort = Annotated[int, Field(strict=True, ge=1, le=65534)]


class Link(Model):
    """One tunnel. Only what the remote site's access says goes through it, begun by the Antenna."""

    name: RemoteName
    site: RemoteName = Field(examples=["lumi"])
    """The remote site that it leads to."""
    endpoint: MachineName = Field(examples=["lumi"])
    """The machine, of role ``site``, at which it ends."""
    cidr: Range = Field(examples=["10.76.0.0/30"])
    """Addresses inside the tunnel: the first is the gateway's, the second the endpoint's."""
    port: UdpPort = 51820
    """Where the endpoint listens. Rotation of keys uses the next UDP port too: let both through."""
    keepalive_seconds: Annotated[int, Field(strict=True, ge=1, le=60)] = 15
    mtu: Annotated[int, Field(strict=True, ge=576, le=1500)] = 1380
    reaches: tuple[Range, ...] = ()
    """Ranges beyond the endpoint that are reached through it, such as the site's login nodes."""

    @property
    def gateway_address(self) -> IPv4Address:
        """The gateway's address in the tunnel."""
        return self.cidr.network_address + 1

    @property
    def endpoint_address(self) -> IPv4Address:
        """The endpoint's address in the tunnel."""
        return self.cidr.network_address + 2


def link_problems(site: Site) -> Iterator[Problem]:
    """Links to nowhere, over nothing, or twice; machines of role ``site`` that no link ends at."""
    sites = {remote.name: remote for remote in site.sites}
    ends = {machine.name: machine for machine in site.machines if machine.role == "site"}
    for i, link in enumerate(site.links):
        key = f"links[{i}]"
        for field in ("name", "site", "endpoint"):
            twin = next((j for j in range(i) if getattr(site.links[j], field) == getattr(link, field)), None)
            if twin is not None:
                yield Problem(
                    f"{key}.{field}", f"{getattr(link, field)} is links[{twin}]'s already; one link for each"
                )
        if link.site not in sites:
            yield Problem(
                f"{key}.site", f"there is no remote site {link.site}; {suggestion(link.site, sites)}"
            )
        elif link.site not in {before.site for before in site.links[:i]} and not _leads_to(
            link, sites[link.site].access.host
        ):
            yield Problem(
                f"{key}.reaches",
                f"{sites[link.site].access.host}, where {link.site} is reached, is not beyond this link; "
                f"add its range, or make that site's access.host {link.endpoint_address}",
            )
        if link.endpoint not in ends:
            yield Problem(
                f"{key}.endpoint",
                f"no machine of role site is called {link.endpoint}; {suggestion(link.endpoint, ends)}"
                if ends
                else f"no machine of role site is called {link.endpoint}; add one to site:machines",
            )
    for i, machine in enumerate(site.machines):
        if machine.role == "site" and machine.name not in {link.endpoint for link in site.links}:
            yield Problem(
                f"machines[{i}].role",
                f"{machine.name} has role site and no link ends there; add one to site:links, such as "
                f"`{{name: {machine.name}, site: ..., endpoint: {machine.name}, cidr: 10.76.0.0/30}}`",
            )


def link_ranges(site: Site) -> Iterator[tuple[str, IPv4Network]]:
    """Every range that links use, with its key."""
    for i, link in enumerate(site.links):
        yield f"links[{i}].cidr", link.cidr
        yield from ((f"links[{i}].reaches[{j}]", reached) for j, reached in enumerate(link.reaches))


def _leads_to(link: Link, host: str) -> bool:
    """Whether an address is beyond the link. What a name stands for is not known here."""
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return bool(link.reaches)
    return address == link.endpoint_address or any(address in reached for reached in link.reaches)
