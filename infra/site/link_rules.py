"""Rules of links: each leads somewhere, and nothing waits for one that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from infra.site.links import Link
from infra.site.problem import Problem
from infra.site.site import Site
from infra.suggestion import suggestion


def link_problems(site: Site) -> Iterator[Problem]:
    """Links to nowhere, over nothing, or twice; machines of role ``site`` that no link ends at."""
    sites = {remote.name: remote for remote in site.sites}
    ends = {machine.name: machine for machine in site.machines if machine.role == "site"}
    for i, link in enumerate(site.links):
        key = f"links[{i}]"
        for field in ("name", "site", "endpoint"):
            twin = next((j for j in range(i) if getattr(site.links[j], field) == getattr(link, field)), None)
            if twin is not None:
                yield Problem(
                    f"{key}.{field}", f"{getattr(link, field)} is links[{twin}]'s already; one link for each"
                )
        if link.site not in sites:
            yield Problem(
                f"{key}.site", f"there is no remote site {link.site}; {suggestion(link.site, sites)}"
            )
        elif link.site not in {before.site for before in site.links[:i]} and not _leads_to(
            link, sites[link.site].access.host
        ):
            yield Problem(
                f"{key}.reaches",
                f"{sites[link.site].access.host}, where {link.site} is reached, is not beyond this link; "
                f"add its range, or make that site's access.host {link.endpoint_address}",
            )
        if link.endpoint not in ends:
            yield Problem(
                f"{key}.endpoint",
                f"no machine of role site is called {link.endpoint}; {suggestion(link.endpoint, ends)}"
                if ends
                else f"no machine of role site is called {link.endpoint}; add one to site:machines",
            )
    for i, machine in enumerate(site.machines):
        if machine.role == "site" and machine.name not in {link.endpoint for link in site.links}:
            yield Problem(
                f"machines[{i}].role",
                f"{machine.name} has role site and no link ends there; add one to site:links, such as "
                f"`{{name: {machine.name}, site: ..., endpoint: {machine.name}, cidr: 10.76.0.0/30}}`",
            )


def _leads_to(link: Link, host: str) -> bool:
    """Whether an address is beyond the link. What a name stands for is not known here."""
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return bool(link.reaches)
    return address == link.endpoint_address or any(address in reached for reached in link.reaches)
