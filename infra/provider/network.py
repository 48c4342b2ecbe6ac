"""The network of a stack's machines on this host: a bridge, the host's address on it, routes."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.provider import interfaces
from infra.provider.command import run
from infra.provider.interfaces import Interface, Route
from infra.provider.kind import Diff, ProviderError, Report, changed

BRIDGE_NAME = re.compile(r"^[a-z][a-z0-9-]{0,14}$")


class Network:
    """Inputs: stack, bridge, cidr, gateway, routes [{to, via}]. Outputs: the inputs and drift."""

    token = "antenna:index:Network"  # noqa: S105 - Pulumi's word for a type's name

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """Missing or malformed inputs, a gateway or next hop outside the network."""
        failures = [
            (name, "is required")
            for name in ("stack", "bridge", "cidr", "gateway")
            if inputs.get(name) is None
        ]
        bridge = inputs.get("bridge", "")
        if isinstance(bridge, str) and bridge and not BRIDGE_NAME.match(bridge):
            failures.append(("bridge", f"{bridge!r} must match {BRIDGE_NAME.pattern}, Linux allows 15 bytes"))
        cidr, gateway, routes = inputs.get("cidr"), inputs.get("gateway"), inputs.get("routes") or []
        if not isinstance(cidr, str):
            return failures
        try:
            network = IPv4Network(cidr)
        except ValueError as error:
            return [*failures, ("cidr", str(error))]
        if isinstance(gateway, str):
            failures += _check_host("gateway", gateway, network)
        for index, route in enumerate(routes):
            if isinstance(route, dict):
                failures += _check_route(f"routes[{index}]", route, network)
        return failures

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """Another bridge or range is another network; routes and drift are mended in place."""
        old = old_inputs or {k: v for k, v in old_state.items() if k != "drift"}
        changes = changed(old, new_inputs)
        replaces = [name for name in changes if name in ("stack", "bridge", "cidr", "gateway")]
        if old_state.get("drift"):
            changes.append("drift")
        return Diff(changes, replaces, delete_before_replace=bool(replaces))

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Raise the bridge. Raises ProviderError when its range is taken on this host."""
        _apply(inputs, report)
        return f"{inputs['stack']}/{inputs['bridge']}", {**inputs, "drift": []}

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Compare with what ``ip`` reports. On import the bridge tells its own inputs."""
        found = interfaces.interfaces()
        if not inputs:
            imported = _import(id, found, interfaces.routes())
            return (id, imported, {**imported, "drift": []}) if imported else None
        drift = differences(inputs, found, interfaces.routes())
        return id, inputs, {**state, **inputs, "drift": drift}

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Bring addresses and routes to the declared ones."""
        _apply(new_inputs, report)
        return {**new_inputs, "drift": []}

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Delete the bridge; its address and routes go with it."""
        bridge = state.get("bridge") or id.rpartition("/")[2]
        if bridge in interfaces.interfaces():
            interfaces.delete(bridge)


def differences(inputs: dict[str, Any], found: dict[str, Interface], routes: list[Route]) -> list[str]:
    """How the host differs from the declared network, one line each. Pure."""
    bridge, network = inputs["bridge"], IPv4Network(inputs["cidr"])
    wanted = {(r["to"], r["via"]) for r in inputs.get("routes") or []}
    if bridge not in found:
        return [f"bridge {bridge}: missing"]
    there = {(str(r.to), r.via) for r in routes if r.device == bridge and r.via}
    address = f"{inputs['gateway']}/{network.prefixlen}"
    addresses = {str(a) for a in found[bridge].addresses}
    return [
        *([] if found[bridge].up else [f"bridge {bridge}: down"]),
        *([] if address in addresses else [f"address {address} on {bridge}: missing"]),
        *(f"address {extra} on {bridge}: not declared" for extra in sorted(addresses - {address})),
        *(f"route {to} via {via}: missing" for to, via in sorted(wanted - there)),
        *(f"route {to} via {via}: not declared" for to, via in sorted(there - wanted)),
    ]


def overlaps(inputs: dict[str, Any], found: dict[str, Interface], routes: list[Route]) -> list[str]:
    """What of the host already uses the declared ranges, one line each. Pure."""
    wanted = [IPv4Network(inputs["cidr"]), *(IPv4Network(r["to"]) for r in inputs.get("routes") or [])]
    others = [
        *((a.network, f"interface {i.name} ({a})") for i in found.values() for a in i.addresses),
        *((r.to, f"interface {r.device} (route {r.to})") for r in routes),
    ]
    mine = inputs["bridge"]
    return [
        f"{network} overlaps {what}"
        for network in wanted
        for taken, what in others
        if network.overlaps(taken) and f"interface {mine} " not in what
    ]


def _apply(inputs: dict[str, Any], report: Report) -> None:
    bridge, network = inputs["bridge"], IPv4Network(inputs["cidr"])
    found, routes = interfaces.interfaces(), interfaces.routes()
    owner = f"antenna:{inputs['stack']}"
    if bridge in found and found[bridge].alias not in ("", owner):
        raise ProviderError(
            f"interface {bridge} belongs to {found[bridge].alias}; choose another bridge for this stack"
        )
    if taken := overlaps(inputs, found, routes):
        raise ProviderError(f"{taken[0]} of this host; choose another range for this stack's network")
    report(f"bridge {bridge} {inputs['gateway']}/{network.prefixlen}")
    if bridge not in found:
        run(["ip", "link", "add", bridge, "type", "bridge"])
        run(["ip", "link", "set", bridge, "alias", owner])
    current = {str(a) for a in found[bridge].addresses} if bridge in found else set()
    address = f"{inputs['gateway']}/{network.prefixlen}"
    for extra in sorted(current - {address}):
        run(["ip", "address", "delete", extra, "dev", bridge])
    run(["ip", "address", "replace", address, "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    wanted = {(r["to"], r["via"]) for r in inputs.get("routes") or []}
    there = {(str(r.to), r.via) for r in routes if r.device == bridge and r.via}
    for to, via in sorted(there - wanted):
        run(["ip", "route", "delete", to, "via", via, "dev", bridge])
    for to, via in sorted(wanted):
        run(["ip", "route", "replace", to, "via", via, "dev", bridge])


def _import(id: str, found: dict[str, Interface], routes: list[Route]) -> dict[str, Any]:
    stack, _, bridge = id.partition("/")
    if bridge not in found or not found[bridge].addresses:
        return {}
    address = found[bridge].addresses[0]
    return {
        "stack": stack,
        "bridge": bridge,
        "cidr": str(address.network),
        "gateway": str(address.ip),
        "routes": [{"to": str(r.to), "via": r.via} for r in routes if r.device == bridge and r.via],
    }


def _check_host(name: str, address: str, network: IPv4Network) -> list[tuple[str, str]]:
    try:
        inside = IPv4Address(address) in network
    except ValueError as error:
        return [(name, str(error))]
    return [] if inside else [(name, f"{address} is not inside {network}")]


def _check_route(name: str, route: dict[str, Any], network: IPv4Network) -> list[tuple[str, str]]:
    to, via = route.get("to"), route.get("via")
    failures = [(f"{name}.{key}", "is required") for key, v in (("to", to), ("via", via)) if v is None]
    if isinstance(via, str):
        failures += _check_host(f"{name}.via", via, network)
    if isinstance(to, str):
        try:
            IPv4Network(to)
        except ValueError as error:
            failures.append((f"{name}.to", str(error)))
    return failures
