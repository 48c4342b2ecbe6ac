"""This host's network interfaces, addresses and routes, as ``ip`` reports and changes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from infra.provider.command import run


@dataclass(frozen=True)
class Interface:
    """One interface. ``alias`` is free text that we use to name the owner; ``master`` is its bridge."""

    name: str
    up: bool
    addresses: tuple[IPv4Interface, ...] = ()
    alias: str = ""
    master: str = ""


@dataclass(frozen=True)
class Route:
    """One IPv4 route; ``via`` is empty for a network that is on the link itself."""

    to: IPv4Network
    device: str
    via: str = ""


def interfaces() -> dict[str, Interface]:
    """Every interface of this host by name."""
    return parse_interfaces(json.loads(run(["ip", "-j", "-d", "address", "show"]) or "[]"))


def routes() -> list[Route]:
    """The IPv4 routes of the main table."""
    return parse_routes(json.loads(run(["ip", "-j", "-4", "route", "show"]) or "[]"))


def parse_interfaces(listing: list[dict[str, Any]]) -> dict[str, Interface]:
    """From ``ip -j address``. Pure."""
    return {
        entry["ifname"]: Interface(
            name=entry["ifname"],
            up="UP" in entry.get("flags", []),
            addresses=tuple(
                IPv4Interface(f"{a['local']}/{a['prefixlen']}")
                for a in entry.get("addr_info", [])
                if a.get("family") == "inet"
            ),
            alias=entry.get("ifalias", ""),
            master=entry.get("master", ""),
        )
        for entry in listing
        if "ifname" in entry
    }


def parse_routes(listing: list[dict[str, Any]]) -> list[Route]:
    """From ``ip -j route``. Pure. The default route is left out: it overlaps everything."""
    return [
        Route(IPv4Network(entry["dst"]), entry.get("dev", ""), entry.get("gateway", ""))
        for entry in listing
        if entry["dst"] != "default"
    ]


def delete(name: str) -> None:
    """Delete an interface; its routes go with it."""
    run(["ip", "link", "delete", name])
