"""The ranges of the site: machines, pods, services."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pydantic import Field

from infra.site.values import Address, Model, Range, Text

NODE_PREFIX = 24
"""Prefix length of one node's pods: 254 addresses for the 110 pods that a kubelet runs at most."""

NODE_ADDRESSES = 256

SERVICE_PREFIX = 12
"""Of the largest range of services that the API server takes: 20 bits of addresses."""

DNS_OFFSET = 10
"""The cluster's DNS service is the tenth address of the services' range, as kubeadm has it."""


class Network(Model):
    """The ranges. None may overlap another, nor anything that the machines need to reach."""

    cidr: Range = Field(examples=["10.77.0.0/24"])
    pods: Range = Field(examples=["10.78.0.0/16"])
    services: Range = Field(examples=["10.79.0.0/16"])
    gateway: Address | None = None
    """The address on the machines' network that leads elsewhere. Embedded: the host's own, by default
    the first of the range."""
    resolvers: tuple[Address, ...] = ()
    """DNS servers that pods ask for names outside the cluster. Embedded: the host, by default."""
    time_servers: tuple[Text, ...] = ()

    @property
    def gateway_address(self) -> IPv4Address:
        """The gateway, stated or implied."""
        return self.gateway or self.cidr.network_address + 1

    @property
    def dns_address(self) -> IPv4Address:
        """Where pods ask for names."""
        return self.services.network_address + DNS_OFFSET

    @property
    def nodes(self) -> int:
        """How many nodes the pods' range has room for."""
        return self.pods.num_addresses // NODE_ADDRESSES

    def pods_of(self, address: IPv4Address) -> IPv4Network | None:
        """The pods' range that belongs to a machine's address, or None when there is none.

        The place of the address in its network is the place of the range among the nodes' ranges: it
        depends on nothing else, so adding or removing a machine never renumbers another.
        """
        place = int(address) - int(self.cidr.network_address)
        if not 0 <= place < self.nodes:
            return None
        first = int(self.pods.network_address) + place * NODE_ADDRESSES
        return IPv4Network((first, NODE_PREFIX))
