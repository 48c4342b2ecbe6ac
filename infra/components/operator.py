"""The operator: the program in the cluster that keeps tenants and exposes metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra import resources
from infra.site import Site
from operators.manifests import operator_objects


class Operator(pulumi.ComponentResource):
    """Its rights, storage and Deployment, as one bundle. Tenants depend on ``ready``."""

    def __init__(
        self,
        site: Site,
        *,
        image: str,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``image`` is the one made here, of which nodes have the archive; a site may name another."""
        super().__init__("antenna:site:Operator", "operator", None, opts)
        self.image = site.operator.image or image
        self.ready = resources.Objects(
            "operator",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=operator_objects(
                image=self.image,
                head=site.head.name,
                storage_class=site.operator.storage_class or "",
                tenants=[tenant.name for tenant in site.tenants],
            ),
            wait=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after), deleted_with=deleted_with),
        )
        self.register_outputs({"image": self.image})
