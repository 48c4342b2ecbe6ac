"""One partner in the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra import resources
from operators import queues, tenancy
from operators.api.tenant import tenant_object


class Tenant(pulumi.ComponentResource):
    """A partner, as the Tenant from which the operator makes its namespace, rights and queues.

    ``after`` is what must be there while it is: its jobs are cancelled at their sites before it goes.
    """

    def __init__(
        self,
        partner: tenancy.Tenant,
        cohort: queues.Cohort,
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
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
            objects=[tenant_object(partner, cohort)],
            wait=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after), deleted_with=deleted_with),
        )
        self.register_outputs({"namespace": self.namespace})
