"""The machines' network on this host. Platform ssh has its own, which is not ours to make."""

from __future__ import annotations

import pulumi

from infra import resources
from infra.site import Site


class Network(pulumi.ComponentResource):
    """A bridge, and on this host the routes to every node's pods."""

    def __init__(self, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("antenna:site:Network", "network", None, opts)
        self.bridge = site.bridge
        self.network = resources.Network(
            "network",
            stack=site.stack,
            bridge=self.bridge,
            cidr=str(site.network.cidr),
            gateway=str(site.network.gateway_address),
            # In the order of their addresses: that of the file means nothing.
            routes=[
                {"to": site.pods(m), "via": str(m.address)}
                for m in sorted(site.nodes, key=lambda machine: machine.address)
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"bridge": self.bridge})
