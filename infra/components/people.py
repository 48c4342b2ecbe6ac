"""The people that an embedded site makes up, and the OpenID provider that vouches for them."""

from __future__ import annotations

import pulumi

from infra import resources
from infra.issuer import Made
from infra.site import Site


class People(pulumi.ComponentResource):
    """The run "people" over the head. A run of its own: a partner comes without a look at all the nodes."""

    def __init__(
        self,
        site: Site,
        made: Made,
        *,
        head: resources.Machine,
        nodes: pulumi.Resource,
        digest: str,
        identity_file: str,
        known_hosts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``made`` are the provider's files, on this host; ``digest`` covers playbooks and tools."""
        super().__init__("antenna:site:People", "people", None, opts)
        resources.Playbook(
            "people",
            stack=site.stack,
            playbook="people.yml",
            remove=None,
            reset="reset_people.yml",
            hosts={site.head.name: resources.host(site.head, head, {})},
            variables={
                "antenna_issuer_folder": str(made.folder),
                # Of the files, which the state does not hold: with them the run has something to do.
                "antenna_issuer_digest": made.digest,
            },
            digest=digest,
            identity_file=identity_file,
            known_hosts=known_hosts,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes], deleted_with=head),
        )
        self.register_outputs({})
