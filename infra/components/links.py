"""The links to remote sites, and the machines at which they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from infra import resources
from infra.site import Link, Machine, Site
from infra.site.remote import READER, Access, RemoteSite

OPERATOR_MARK = 0x00A00000
"""Bits that the head's CNI plugin sets on packets of the operator's pod (role kubernetes, antenna-source)."""


class Links(pulumi.ComponentResource):
    """The run "sites" over the machines outside the cluster, and a tunnel a link."""

    def __init__(
        self,
        site: Site,
        *,
        machines: Mapping[str, resources.Machine],
        gateway: pulumi.Resource,
        interfaces: Mapping[str, Sequence[str]],
        keys: Mapping[str, Mapping[str, Sequence[str]]],
        digest: str,
        identity_file: str,
        known_hosts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``gateway`` is what must be done on the head before; ``interfaces`` are each link's, by its name.

        ``keys``: remote site -> tenant -> public SSH keys that work for the tenant there; only a site that
        is played by a machine of ours is told of them.
        """
        super().__init__("antenna:site:Links", "links", None, opts)
        made_here = site.platform == "embedded"
        login = {"identity_file": identity_file, "known_hosts": known_hosts}
        # Elsewhere an administrator makes the operator's keys and has them taken by the sites.
        access = {site.head.name: _access(site, machines)} if made_here else {}
        ends = resources.Playbook(
            "sites",
            stack=site.stack,
            playbook="sites.yml",
            remove=None,
            reset=None if made_here else "reset_sites.yml",
            hosts={m.name: _host(site, m, machines[m.name], interfaces, keys) for m in site.ends} | access,
            variables={},
            digest=digest,
            **login,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[machines[m.name] for m in site.ends]),
        )
        self.ready: list[pulumi.Resource] = []
        if access:
            credentials = resources.Playbook(
                "remote-access",
                stack=site.stack,
                playbook="remote_access.yml",
                remove=None,
                reset=None,
                hosts=access,
                variables={},
                digest=digest,
                **login,
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[gateway, ends], deleted_with=machines[site.head.name]
                ),
            )
            self.ready.append(credentials)
        by_name = {machine.name: machine for machine in site.machines}
        for link in site.links:
            resources.Link(
                f"link-{link.name}",
                stack=site.stack,
                link=link.name,
                gateway=_login(site.head, machines, login),
                endpoint=_login(by_name[link.endpoint], machines, login),
                **tunnel(site, link),
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[gateway, ends],
                    # What is on machines of ours goes with them.
                    deleted_with=machines[site.head.name] if made_here else None,
                ),
            )
        self.register_outputs({"links": [link.name for link in site.links]})


def tunnel(site: Site, link: Link) -> dict[str, Any]:
    """What a tunnel is, apart from its machines. Pure."""
    ports = {remote.access.port for remote in site.sites if remote.name == link.site}
    return {
        "gateway_address": str(link.gateway_address),
        "endpoint_address": str(link.endpoint_address),
        "port": link.port,
        "keepalive_seconds": link.keepalive_seconds,
        "mtu": link.mtu,
        "ports": sorted(ports),
        "reaches": [str(reached) for reached in link.reaches],
        # The operator runs on the head; no other node's pods get through, and no other of the head's.
        "sources": [site.pods(site.head)],
        "mark": OPERATOR_MARK,
    }


def standin(
    site: Site,
    link: Link,
    interfaces: Sequence[str],
    keys: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What a machine that plays a remote site is told: the site's own entry, tenants' projects. Pure."""
    remote = next(remote for remote in site.sites if remote.name == link.site)
    grants: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for tenant in site.tenants:
        for allocation in tenant.allocations:
            if allocation.site == remote.name:
                row = allocation.model_dump(mode="json", include={"amount", "unit", "start", "end"})
                grants.setdefault((allocation.project, tenant.name), []).append(row)
    login = {tenant.name: tenant.login(remote.name) for tenant in site.tenants}
    return {
        "antenna_site": remote.model_dump(mode="json", exclude_none=True),
        "antenna_site_accounts": [
            {
                "project": project,
                "user": login[tenant],
                "keys": list(keys.get(tenant, ())),
                "grants": rows,
            }
            for (project, tenant), rows in grants.items()
        ],
        "antenna_site_tunnels": list(interfaces),
        "antenna_site_udp_ports": [link.port, link.port + 1],
        "antenna_site_management": [str(site.network.gateway_address)],
    }


def _host(
    site: Site,
    machine: Machine,
    made: resources.Machine,
    interfaces: Mapping[str, Sequence[str]],
    keys: Mapping[str, Mapping[str, Sequence[str]]],
) -> resources.Host:
    link = next(link for link in site.links if link.endpoint == machine.name)
    played = site.platform == "embedded"
    told = standin(site, link, interfaces[link.name], keys.get(link.site, {})) if played else {}
    return resources.host(machine, made, told)


def _access(site: Site, machines: Mapping[str, resources.Machine]) -> resources.Host:
    """The head, told of the remote sites that machines of ours play, and of their host keys."""
    sites = {remote.name: remote for remote in site.sites}
    told = [
        {
            **logins(site, sites[link.site]),
            "known_hosts": [_known(sites[link.site].access, machines[link.endpoint])],
        }
        for link in site.links
    ]
    return resources.host(site.head, machines[site.head.name], {"antenna_remote_access": told})


def logins(site: Site, remote: RemoteSite) -> dict[str, Any]:
    """The Antenna's logins at a site that a machine of ours plays: its reader's and each partner's. Pure."""
    return {
        "name": remote.name,
        "user": READER,
        "key_type": remote.access.key_types[0],
        "logins": [
            {"tenant": tenant.name, "user": tenant.login(remote.name)}
            for tenant in site.tenants
            if any(allocation.site == remote.name for allocation in tenant.allocations)
        ],
    }


def _known(access: Access, machine: resources.Machine) -> pulumi.Output[str]:
    """The line of known_hosts(5) of a machine, reached as the remote site that it plays."""
    host = access.host if access.port == resources.SSH_PORT else f"[{access.host}]:{access.port}"
    return machine.host_key.apply(lambda key: f"{host} {' '.join(key.split()[:2])}")


def _login(
    machine: Machine, machines: Mapping[str, resources.Machine], login: Mapping[str, str]
) -> resources.Login:
    return {
        "address": str(machine.address),
        "user": machine.user or "root",
        "port": machine.port or resources.SSH_PORT,
        "identity_file": login["identity_file"],
        "known_hosts": login["known_hosts"],
        "host_key": machines[machine.name].host_key,
    }
