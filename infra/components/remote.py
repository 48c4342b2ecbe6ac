"""The remote sites, declared in the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra import resources
from operators.api.remote_site import remote_site_object
from operators.sites.model import Site


class Remote(pulumi.ComponentResource):
    """A RemoteSite for each entry, as one bundle: the operator sends work to them."""

    def __init__(
        self,
        sites: Sequence[Site],
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        operator: pulumi.Resource,
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("antenna:site:Remote", "remote", None, opts)
        self.sites = resources.Objects(
            "remote-sites",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=[remote_site_object(site) for site in sites],
            wait=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[operator], deleted_with=deleted_with),
        )
        self.register_outputs({"sites": [site.name for site in sites]})
