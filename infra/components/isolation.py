"""What the platform's own pods connect to, and nothing else: the policies of our own namespaces."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra import resources
from infra.site import Site
from operators.isolation import Addresses, own_policies


class Isolation(pulumi.ComponentResource):
    """The NetworkPolicies of our own namespaces, which ``after`` makes. Partners' the operator makes."""

    def __init__(
        self,
        site: Site,
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("antenna:site:Isolation", "isolation", None, opts)
        resources.Objects(
            "isolation",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=own_policies(addresses(site)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after), deleted_with=deleted_with),
        )
        self.register_outputs({})


def addresses(site: Site) -> Addresses:
    """The site's own addresses, as policies name them. Pure."""
    return Addresses(
        pods=str(site.network.pods),
        head=f"{site.head.address}/32",
        machines=str(site.network.cidr),
    )
