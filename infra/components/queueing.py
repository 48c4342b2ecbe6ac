"""Kueue, the Antenna's own API, and what all partners' queues share."""

from __future__ import annotations

import pulumi

from infra import resources
from operators import queues
from operators.api.generated import definitions


class Queueing(pulumi.ComponentResource):
    """Kueue by upstream's own manifest, the definitions of our own kinds, the cohort and its flavors.

    ``ready`` is what the operator, and through it the partners' queues, depend on.
    """

    def __init__(
        self,
        cohort: queues.Cohort,
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        manifest: resources.Manifest,
        nodes: pulumi.Resource,
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("antenna:site:Queueing", "queueing", None, opts)
        kueue = resources.Objects(
            "kueue",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            manifest=manifest,
            wait=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes], deleted_with=deleted_with),
        )
        crds = resources.Objects(
            "crds",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=definitions(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes], deleted_with=deleted_with),
        )
        self.ready = resources.Objects(
            "queues",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=queues.cohort_objects(cohort),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[kueue, crds], deleted_with=deleted_with),
        )
        self.register_outputs({"cohort": cohort.name})
