"""The machines of the site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from infra import resources
from infra.site import Machine, Site


class Machines(pulumi.ComponentResource):
    """One resource a machine; ``machines`` has them by name."""

    def __init__(
        self,
        site: Site,
        *,
        bridge: str,
        base: str,
        site_base: str,
        artifacts: str,
        identity_file: str,
        network: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``base``, ``site_base`` and ``artifacts`` are digests: of the Debian base, of the one with a
        scheduler in it for machines that play a remote site, of the pinned tools' tree.

        None is of use to machines that exist: these are reached with ``identity_file``.
        """
        super().__init__("antenna:site:Machines", "machines", None, opts)
        made_here = site.platform == "embedded"
        self.machines = {
            machine.name: resources.Machine(
                machine.name,
                stack=site.stack,
                driver="nspawn" if made_here else "ssh",
                address=str(machine.address),
                user=machine.user or "root",
                port=machine.port or 22,
                settings=(
                    {
                        **_cable(site),
                        "bridge": bridge,
                        "base": site_base if machine.role == "site" else base,
                        # No part of the cluster: none of its programs.
                        "artifacts": "" if machine.role == "site" else artifacts,
                    }
                    if made_here
                    else {"host_key": _host_key(machine), "identity_file": identity_file}
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=network),
            )
            for machine in site.machines
        }
        self.head = self.machines[site.head.name]
        self.register_outputs({"machines": list(self.machines)})


def _cable(site: Site) -> dict[str, Any]:
    return {"prefix_length": site.network.cidr.prefixlen, "gateway": str(site.network.gateway_address)}


def _host_key(machine: Machine) -> str:
    if machine.host_key is None:
        raise ValueError(f"{machine.name} has no host key")  # the site's rules let none through
    return machine.host_key
