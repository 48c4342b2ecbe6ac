"""VictoriaMetrics, vmalert and Alertmanager in the cluster: figures, rules, alerts, dashboards."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra import resources
from monitoring.manifests import monitoring_objects
from monitoring.oncall import Oncall


class Monitoring(pulumi.ComponentResource):
    """The monitoring's namespace and what runs in it, as one bundle."""

    def __init__(
        self,
        *,
        store_image: str,
        alerter_image: str,
        alertmanager_image: str,
        hosts: Sequence[str],
        retention_days: int,
        oncall: Oncall | None,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        nodes: pulumi.Resource,
        deleted_with: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("antenna:site:Monitoring", "monitoring", None, opts)
        objects = monitoring_objects(
            store_image=store_image,
            alerter_image=alerter_image,
            alertmanager_image=alertmanager_image,
            nodes=hosts,
            retention_days=retention_days,
            oncall=oncall,
        )
        self.ready = resources.Objects(
            "monitoring",
            stack=stack,
            kubeconfig=kubeconfig,
            cluster=cluster,
            objects=objects,
            wait=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes], deleted_with=deleted_with),
        )
        self.register_outputs({"retention_days": retention_days})
