"""One partner in the cluster."""

from __future__ import annotations

import pulumi

from infra import resources
from operators import queues, tenancy


class Tenant(pulumi.ComponentResource):
    """A partner's namespace, rights and queues, as one bundle of its own."""

    def __init__(
        self,
        partner: tenancy.Tenant,
        cohort: queues.Cohort,
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        queueing: pulumi.Resource,
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"tenant-{partner.name}"
        super().__init__("antenna:site:Tenant", name, None, opts)
        self.namespace = tenancy.namespace_name(partner.name)
        resources.Objects(
            name,
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=queues.tenant_objects(partner, cohort),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[queueing], deleted_with=deleted_with),
        )
        self.register_outputs({"namespace": self.namespace})
