"""Rules of whom alerts reach: names that lead somewhere, people who are told, receivers that are reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from urllib.parse import urlsplit

from infra.site.oncall import Oncall, Route
from infra.site.problem import Problem
from infra.site.site import Site
from infra.suggestion import suggestion
from monitoring.oncall import RECEIVER_PORT, SEVERITIES


def oncall_problems(site: Site) -> Iterator[Problem]:
    """Names that lead nowhere, people who would not be told, receivers that could not be reached."""
    stated = site.oncall
    if stated is None:
        return
    yield from _receivers(site, stated)
    yield from _owners(site, stated)
    yield from _watchdog(stated)
    if stated.replicas > 1 and site.platform == "embedded":
        yield Problem(
            "oncall.replicas",
            "machines that are made here share one host, which two would not outlive; write 1",
        )
    elif stated.replicas > len(site.nodes):
        yield Problem(
            "oncall.replicas", f"there is one machine for {stated.replicas}; write 1, or add a machine"
        )


def _receivers(site: Site, stated: Oncall) -> Iterator[Problem]:
    names = [receiver.name for receiver in stated.receivers]
    used = {name for _, route in _routes(stated) for name in route.receivers} | {stated.watchdog}
    for i, receiver in enumerate(stated.receivers):
        key = f"oncall.receivers[{i}]"
        if receiver.name in names[:i]:
            yield Problem(f"{key}.name", f"{receiver.name} is there twice; rename one of the two")
        ways = [way for way in ("webhook", "chat", "email") if getattr(receiver, way) is not None]
        if len(ways) != 1:
            yield Problem(
                key,
                f"{receiver.name} is reached by {' and '.join(ways) or 'nothing'}; give it exactly one of "
                "webhook, chat, email",
            )
        elif receiver.name not in used:
            yield Problem(key, f"nothing is ever sent to {receiver.name}; name it in a route, or remove it")
        if receiver.webhook and receiver.webhook.url:
            yield from _reachable(site, f"{key}.webhook.url", receiver.webhook.url)


def _reachable(site: Site, key: str, url: str) -> Iterator[Problem]:
    """Alertmanager's pod is let out of the site, and to one port of the machines' network."""
    parts = urlsplit(url)
    try:
        host = IPv4Address(parts.hostname or "")
    except AddressValueError:
        host = None
    near = host is not None and host in site.network.cidr
    port = parts.port or (443 if parts.scheme == "https" else 80)
    inside: Mapping[str, IPv4Network] = {"pods": site.network.pods, "services": site.network.services}
    if host and (taken := next((name for name, block in inside.items() if host in block), None)):
        yield Problem(
            key, f"{host} is of the site's {taken}, where no receiver outlives the site; name another"
        )
    elif near and port != RECEIVER_PORT:
        yield Problem(
            key,
            f"{host} is in the machines' network, where alerts are let to port {RECEIVER_PORT} alone; listen "
            f"there, and write {parts.scheme}://{host}:{RECEIVER_PORT}{parts.path}",
        )
    elif not near and parts.scheme == "http":
        yield Problem(
            key, "goes out of the machines' network unencrypted, with partners' names; write https://"
        )


def _owners(site: Site, stated: Oncall) -> Iterator[Problem]:
    receivers = [receiver.name for receiver in stated.receivers]
    hours = [one.name for one in stated.hours]
    yield from _known("partners", stated.partners, [tenant.name for tenant in site.tenants], "partner")
    yield from _known("sites", stated.sites, [remote.name for remote in site.sites], "remote site")
    for key, route in _routes(stated):
        for j, name in enumerate(route.receivers):
            if name not in receivers:
                yield Problem(
                    f"oncall.{key}.receivers[{j}]",
                    f"there is no receiver {name}; {suggestion(name, receivers)}",
                )
        if route.hours is not None and route.hours not in hours:
            yield Problem(
                f"oncall.{key}.hours", f"there are no hours {route.hours}; {suggestion(route.hours, hours)}"
            )
    for i, one in enumerate(stated.hours):
        if one.begin >= one.end:
            yield Problem(
                f"oncall.hours[{i}].end",
                f"{one.end} is not after {one.begin}; over midnight write two entries of that name",
            )
    told = Counter(severity for route in stated.platform.routes for severity in route.severities)
    for severity in SEVERITIES:
        if not told[severity]:
            yield Problem(
                "oncall.platform.routes",
                f"nobody of the team is told of what is {severity}; add a route with severities [{severity}]",
            )
    if told["critical"] and not any(
        "critical" in route.severities and route.hours is None for route in stated.platform.routes
    ):
        yield Problem(
            "oncall.platform.routes",
            "nobody is told of what is critical at all hours; add a route for it without hours",
        )


def _known(key: str, owners: Collection[str], known: Collection[str], noun: str) -> Iterator[Problem]:
    for name in owners:
        if name not in known:
            yield Problem(f"oncall.{key}.{name}", f"there is no {noun} {name}; {suggestion(name, known)}")


def _routes(stated: Oncall) -> Iterator[tuple[str, Route]]:
    """All routes, each with its key below ``oncall``."""
    owners = {
        "platform": stated.platform,
        **{f"partners.{name}": owner for name, owner in stated.partners.items()},
        **{f"sites.{name}": owner for name, owner in stated.sites.items()},
    }
    for key, owner in owners.items():
        for i, route in enumerate(owner.routes):
            yield f"{key}.routes[{i}]", route


def _watchdog(stated: Oncall) -> Iterator[Problem]:
    if stated.watchdog is None:
        return
    beats = [receiver.name for receiver in stated.receivers if receiver.webhook is not None]
    if stated.watchdog not in beats:
        yield Problem(
            "oncall.watchdog",
            f"a beat each minute is for a program, and there is no webhook {stated.watchdog}; "
            f"{suggestion(stated.watchdog, beats)}",
        )
