"""Machines become nodes of one cluster: an Ansible run over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra import resources
from infra.site import Machine, Site
from monitoring.alertmanager import ALERTS_ON_NODE
from monitoring.manifests import FIGURES_ON_HEAD
from operators.manifests import STATE_ON_HEAD

ARTIFACTS = "/opt/antenna/artifacts"


class Cluster(pulumi.ComponentResource):
    """The run "nodes". What needs the cluster depends on ``ready``; ``id`` tells it from the next one."""

    def __init__(
        self,
        site: Site,
        *,
        machines: Mapping[str, resources.Machine],
        digest: str,
        kubernetes_version: str,
        pause_image: str,
        artifacts_source: str,
        identity_file: str,
        known_hosts: str,
        kubeconfig: str,
        authentication: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``digest`` covers the playbooks and the pinned tools; paths are on the operator's host.

        ``authentication`` is whose word the API server takes of partners' people.
        """
        super().__init__("antenna:site:Cluster", "cluster", None, opts)
        made_here = site.platform == "embedded"
        head = machines[site.head.name]
        self.kubeconfig = kubeconfig
        # The cluster's data is on the head's disk: another disk, another cluster.
        self.id = head.host_key
        self.ready = resources.Playbook(
            "nodes",
            stack=site.stack,
            playbook="site.yml",
            remove="remove_node.yml",
            reset=None if made_here else "reset.yml",
            hosts={m.name: _host(site, m, machines[m.name]) for m in site.nodes},
            variables={
                **site_variables(site),
                "antenna_authentication": authentication,
                "antenna_artifacts": ARTIFACTS,
                **({} if made_here else {"antenna_artifacts_source": artifacts_source}),
                "antenna_kubernetes_version": kubernetes_version,
                "antenna_pause_image": pause_image,
                "antenna_kubeconfig": kubeconfig,
                "antenna_operator_state": STATE_ON_HEAD,
                "antenna_monitoring_state": FIGURES_ON_HEAD,
                "antenna_alerts_state": ALERTS_ON_NODE,
            },
            digest=digest,
            identity_file=identity_file,
            known_hosts=known_hosts,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[machines[node.name] for node in site.nodes],
                deleted_with=head if made_here else None,
            ),
        )
        self.register_outputs({"kubeconfig": kubeconfig})


def site_variables(site: Site) -> dict[str, Any]:
    """What every host is told of the site. Pure; the roles' argument_specs say what each means."""
    network, kubernetes = site.network, site.kubernetes
    made_here = site.platform == "embedded"
    # On this host the bridge's own address answers for names; elsewhere a machine's resolv.conf does.
    resolvers = network.resolvers or ((network.gateway_address,) if made_here else ())
    return {
        "antenna_stack": site.stack,
        "antenna_nested": made_here,
        "antenna_network_cidr": str(network.cidr),
        "antenna_trusted_cidrs": [str(cidr) for cidr in kubernetes.trusted_cidrs],
        "antenna_pod_cidr_all": str(network.pods),
        "antenna_service_cidr": str(network.services),
        "antenna_dns_address": str(network.dns_address),
        "antenna_resolvers": [str(address) for address in resolvers],
        "antenna_time_servers": list(network.time_servers),
        "antenna_image_repository": kubernetes.image_repository,
        "antenna_registry_mirrors": dict(kubernetes.registry_mirrors),
    }


def host_variables(site: Site, machine: Machine) -> dict[str, Any]:
    """What one host is told of itself. Pure."""
    variables: dict[str, Any] = {"antenna_pod_cidr": site.pods(machine)}
    if machine.gpus:
        variables["antenna_gpus"] = machine.gpus.model_dump(exclude_none=True)
    return variables


def _host(site: Site, machine: Machine, made: resources.Machine) -> resources.Host:
    # Links begin at the head.
    groups = ["gateway"] if machine.role == "head" and site.links else []
    return resources.host(machine, made, host_variables(site, machine), groups)
