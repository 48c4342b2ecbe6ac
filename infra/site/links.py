"""Links: tunnels from the Antenna's gateway, the head, to where the ways to remote sites begin."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field

from infra.site.values import MachineName, Model, Range, RemoteName

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
