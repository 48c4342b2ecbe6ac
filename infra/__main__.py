"""The Pulumi program: reads the site, composes the components, exports. Both engines run it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, cast

# `pulumi up` runs this file by its path, from wherever it is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pulumi
from pulumi.output import UNKNOWN
from pulumi.runtime.config import CONFIG, get_config_env

from infra import issuer, paths, quotas, remote, resources
from infra.authentication import authentication_configuration
from infra.components.cluster import Cluster
from infra.components.isolation import Isolation
from infra.components.links import Links
from infra.components.machines import Machines
from infra.components.monitoring import Monitoring
from infra.components.network import Network
from infra.components.operator import Operator
from infra.components.people import People
from infra.components.queueing import Queueing
from infra.components.remote import Remote
from infra.components.tenants import Tenant
from infra.oncall import oncall_of
from infra.provider import base, keys, tunnel
from infra.site import Site, SiteError, parse_site
from infra.tools import artifacts, images, operator_image, pins
from infra.tools.failure import ToolError
from infra.tools.progress import Progress
from playbooks.digest import content_digest

NAMESPACE = "site:"


def declare(site: Site) -> None:
    """Declare every resource of the site, and the stack's outputs."""
    made_here = site.platform == "embedded"
    tools = artifacts.digest(made_here=made_here)
    manifest = kueue_manifest(tools, made_here)
    known_hosts, kubeconfig = str(paths.known_hosts(site.stack)), str(paths.kubeconfig(site.stack))
    identity = Path(site.identity_file).expanduser() if site.identity_file else paths.ssh_key(site.stack)

    network = Network(site) if made_here else None
    machines = Machines(
        site,
        bridge=network.bridge if network else "",
        base=base.digest(),
        site_base=base.site_digest(),
        artifacts=tools,
        identity_file=str(identity),
        network=[network.network] if network else [],
    )
    digest = hashlib.sha256(f"{content_digest()} {tools}".encode()).hexdigest()
    made = provider(site)
    cluster = Cluster(
        site,
        machines=machines.machines,
        digest=digest,
        kubernetes_version=pins.KUBERNETES_VERSION,
        pause_image=images.PAUSE,
        artifacts_source=str(artifacts.location(tools)),
        identity_file=str(identity),
        known_hosts=known_hosts,
        kubeconfig=kubeconfig,
        authentication=authentication_configuration(site, made.authority if made else ""),
    )
    if made:
        People(
            site,
            made,
            head=machines.head,
            nodes=cluster.ready,
            digest=digest,
            identity_file=str(identity),
            known_hosts=known_hosts,
        )
    before_operator: list[pulumi.Resource] = []
    if site.links:
        before_operator += Links(
            site,
            machines=machines.machines,
            gateway=cluster.ready,
            interfaces={
                k.name: [tunnel.interface(k.name, slot) for slot in tunnel.SLOTS] for k in site.links
            },
            keys=remote_keys(site) if made_here else {},
            digest=content_digest(),
            identity_file=str(identity),
            known_hosts=known_hosts,
        ).ready
    in_cluster: dict[str, Any] = {
        "stack": site.stack,
        "kubeconfig": kubeconfig,
        "cluster": cluster.id,
        # What lives in a machine of ours goes with it; on machines that stay it is deleted.
        "deleted_with": machines.head if made_here else None,
    }
    cohort = quotas.cohort(site)
    queueing = Queueing(cohort, manifest=manifest, nodes=cluster.ready, **in_cluster)
    before_operator.append(queueing.ready)
    operator = Operator(site, image=operator_image.reference(), after=before_operator, **in_cluster)
    before_tenants = [operator.ready]
    if site.sites:
        before_tenants.append(Remote(remote.sites(site), operator=operator.ready, **in_cluster).sites)
    for tenant in site.tenants:
        Tenant(quotas.partner(site, tenant), cohort, after=before_tenants, **in_cluster)

    monitoring = Monitoring(
        store_image=images.VICTORIA_METRICS,
        alerter_image=images.VMALERT,
        alertmanager_image=images.ALERTMANAGER,
        hosts=[site.head.name, *(node.name for node in site.nodes if node is not site.head)],
        retention_days=site.monitoring.retention_days,
        oncall=oncall_of(site),
        nodes=cluster.ready,
        **in_cluster,
    )
    Isolation(site, after=[queueing.ready, operator.ready, monitoring.ready], **in_cluster)

    for flavor, count in site.unassigned.items():
        if count:
            pulumi.log.warn(
                f"{count} GPUs of flavor {flavor} are in no quota and nobody can use them: raise a partner's "
                f"quota or site:cohort.flavors shared.gpus"
            )
    pulumi.export("platform", site.platform)
    pulumi.export(
        "machines",
        {
            m.name: {
                "address": str(m.address),
                "user": m.user or "root",
                "port": m.port or 22,
                "role": m.role,
            }
            for m in site.machines
        },
    )
    pulumi.export("identity_file", str(identity))
    pulumi.export("known_hosts", known_hosts)
    pulumi.export("kubeconfig", kubeconfig)
    pulumi.export("tenants", [tenant.name for tenant in site.tenants])


def provider(site: Site) -> issuer.Made | None:
    """The files of the site's own OpenID provider, made where they are missing; None: it has none."""
    stated = site.authentication
    if not (stated and stated.built_in):
        return None
    return issuer.ensure(site, dry_run=pulumi.runtime.is_dry_run())


def remote_keys(site: Site) -> dict[str, dict[str, list[str]]]:
    """Public keys by remote site and tenant, for sites that machines of ours play; made where there are none.

    One a tenant and site: the private halves stay on this host, beside the stack's other keys.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for tenant in site.tenants:
        for name in dict.fromkeys(allocation.site for allocation in tenant.allocations):
            path = paths.remote_key(site.stack, name, tenant.name)
            public = (
                "" if pulumi.runtime.is_dry_run() else keys.make_pair(path, f"{tenant.name}@{site.stack}")
            )
            public = public or (path.with_suffix(".pub").read_text().strip() if path.exists() else "")
            found.setdefault(name, {})[tenant.name] = [public] if public else []
    return found


def site_keys() -> dict[str, Any]:
    """All ``site:`` keys of the configuration, known or not, namespace removed.

    ``pulumi.Config`` answers for one key at a time; a key that nobody asks for would go unnoticed.
    The engine hands structured values over as JSON.
    """
    config: dict[str, Any] = {**get_config_env(), **CONFIG.get()}
    return {
        key.removeprefix(NAMESPACE): json.loads(value) if value[:1] in ("{", "[") else value
        for key, value in config.items()
        if key.startswith(NAMESPACE)
    }


def kueue_manifest(tools: str, made_here: bool) -> resources.Manifest:
    """Kueue's manifest among the pinned tools, which an update builds first; a preview builds nothing."""
    try:
        if not pulumi.runtime.is_dry_run():
            artifacts.ensure_artifacts(_show, made_here=made_here)
        path, sha256 = artifacts.kueue_manifest(tools)
    except ToolError as error:
        raise pulumi.RunError(str(error)) from None
    except FileNotFoundError:
        return {
            "path": str(artifacts.location(tools) / "manifests/kueue.yaml"),
            "sha256": pulumi.Output.from_input(cast(Any, UNKNOWN)),
        }
    return {"path": str(path), "sha256": sha256}


def _show(progress: Progress) -> None:
    pulumi.log.info(str(progress), ephemeral=True)


def main() -> None:
    """Run the program. A wrong site ends it with its message before anything is declared."""
    try:
        site = parse_site(site_keys(), source=f"Pulumi.{pulumi.get_stack()}.yaml")
    except SiteError as error:
        raise pulumi.RunError(str(error)) from None
    declare(site)


if __name__ == "__main__":
    main()
