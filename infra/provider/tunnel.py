"""A tunnel as each of its two ends is told of it, and how what is there differs. Pure.

Each end has two slots, each an interface with a key of its own on a port of its own. One carries the
tunnel; the other one is there while keys are rotated, so that the old keys go only when nothing uses them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Side = Literal["gateway", "endpoint"]
Slot = Literal["a", "b"]
Inputs = Mapping[str, Any]
Facts = Mapping[str, Any]

SLOTS: tuple[Slot, Slot] = ("a", "b")
SIDES: tuple[Side, Side] = ("gateway", "endpoint")

SHOWN = 9
"""How much of a link's name fits an interface's: 15 bytes less "wg-" and "-a"; one is left over."""


def interface(name: str, slot: Slot) -> str:
    """The name of a slot's interface; a long link's name is told apart by a digest."""
    if len(name) > SHOWN:
        name = name[: SHOWN - 4].rstrip("-") + hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"wg-{name}-{slot}"


def table(name: str) -> str:
    """Family and name of the tunnel's nftables table, on both ends."""
    return f"inet antenna_link_{name.replace('-', '_')}"


def port(inputs: Inputs, slot: Slot) -> int:
    """Where the endpoint listens for a slot: the declared UDP port, or the next one."""
    return int(inputs["port"]) + SLOTS.index(slot)


def other(slot: Slot) -> Slot:
    """The slot that is free while this one carries the tunnel."""
    return SLOTS[1 - SLOTS.index(slot)]


def document(inputs: Inputs, side: Side, current: Slot, peers: Mapping[Slot, str]) -> dict[str, Any]:
    """What one end is told. ``peers`` has the other end's public key for each slot that shall be there.

    The gateway calls and keeps the tunnel open; the endpoint needs no address of the gateway's.
    """
    gateway = side == "gateway"
    own, far = inputs["gateway_address"], inputs["endpoint_address"]
    if not gateway:
        own, far = far, own
    calls = f"{inputs['endpoint']['address']}:"
    return {
        "name": inputs["name"],
        "side": side,
        "address": own,
        "peer_address": far,
        "allowed": sorted([f"{far}/32", *(inputs.get("reaches") or [])]) if gateway else [f"{far}/32"],
        "mtu": inputs["mtu"],
        "keepalive": inputs["keepalive_seconds"] if gateway else 0,
        "forward": bool(inputs.get("sources") if gateway else inputs.get("reaches")),
        "firewall": firewall(inputs, side),
        "table": table(inputs["name"]),
        "current": current,
        "slots": {
            slot: {
                "interface": interface(inputs["name"], slot),
                "peer_key": key,
                "listen_port": 0 if gateway else port(inputs, slot),
                "endpoint": f"{calls}{port(inputs, slot)}" if gateway else "",
            }
            for slot, key in peers.items()
        },
    }


def firewall(inputs: Inputs, side: Side) -> str:
    """The nft script of one end: through the tunnel goes what the link is for, begun by the gateway."""
    name, near, far = table(inputs["name"]), inputs["gateway_address"], inputs["endpoint_address"]
    ports, reaches = inputs["ports"], inputs.get("reaches") or []
    tunnel = ", ".join(f'"{interface(inputs["name"], slot)}"' for slot in SLOTS)
    wanted = f"tcp dport {{ {', '.join(map(str, ports))} }} accept"
    if side == "gateway":
        # Not every pod of the sources, where those that may are marked.
        mark = inputs.get("mark")
        marked = f"meta mark & {mark:#010x} == {mark:#010x} " if mark else ""
        targets = f"ip daddr {{ {', '.join([far, *reaches])} }}"
        chains = {
            "input": ["iifname @tunnel ct state established,related accept", "iifname @tunnel drop"],
            "output": [
                "oifname @tunnel ct state established,related accept",
                # On the machine itself root's alone: no other user of it has business at a remote site.
                f"oifname @tunnel meta skuid 0 {targets} {wanted}",
                f"oifname @tunnel ip daddr {far} icmp type echo-request accept",
                "oifname @tunnel drop",
            ],
            "forward": [
                "iifname @tunnel ct state established,related accept",
                "oifname @tunnel ct state established,related accept",
                *(
                    f"oifname @tunnel {marked}ip saddr {{ {', '.join(sources)} }} {targets} {wanted}"
                    for sources in [inputs.get("sources") or []]
                    if sources
                ),
                "oifname @tunnel drop",
                "iifname @tunnel drop",
            ],
        }
    else:
        chains = {
            "input": [
                "iifname @tunnel ct state established,related accept",
                f"iifname @tunnel ip saddr {near} {wanted}",
                f"iifname @tunnel ip saddr {near} icmp type echo-request accept",
                "iifname @tunnel drop",
            ],
            "output": ["oifname @tunnel ct state established,related accept", "oifname @tunnel drop"],
            "forward": [
                "oifname @tunnel ct state established,related accept",
                "iifname @tunnel ct state established,related accept",
                *(f"iifname @tunnel ip daddr {{ {', '.join(r)} }} {wanted}" for r in [reaches] if r),
                "iifname @tunnel drop",
                "oifname @tunnel drop",
            ],
        }
    lines = [f"table {name}", f"delete table {name}", f"table {name} {{"]
    lines += ["\tset tunnel {", "\t\ttype ifname", f"\t\telements = {{ {tunnel} }}", "\t}"]
    for hook, rules in chains.items():
        lines += [f"\tchain {hook} {{", f"\t\ttype filter hook {hook} priority filter; policy accept;"]
        lines += [*(f"\t\t{rule}" for rule in rules), "\t}"]
    if side == "endpoint" and reaches:
        # What lies beyond knows the way to the endpoint, not to the gateway.
        lines += ["\tchain postrouting {", "\t\ttype nat hook postrouting priority srcnat; policy accept;"]
        lines += [f"\t\tip saddr {near} ip daddr {{ {', '.join(reaches)} }} masquerade", "\t}"]
    return "\n".join([*lines, "}", ""])


def current_slot(facts: Mapping[Side, Facts]) -> Slot:
    """The slot that carries the tunnel: the gateway's word, which moves first; ``a`` on new machines."""
    for side in SIDES:
        if (told := facts[side].get("document")) and told["current"] in SLOTS:
            current: Slot = told["current"]
            return current
    return SLOTS[0]


def public_keys(facts: Mapping[Side, Facts], slot: Slot) -> dict[Side, str]:
    """Each end's own public key of a slot, as its interface has it; empty where there is none."""
    return {side: facts[side].get("slots", {}).get(slot, {}).get("public_key", "") for side in SIDES}


def differences(inputs: Inputs, facts: Mapping[Side, Facts]) -> list[str]:
    """How the two ends differ from what was declared, one line each, the machine's side first."""
    current = current_slot(facts)
    keys = public_keys(facts, current)
    return [
        f"{side}: {line}"
        for side, peer in zip(SIDES, reversed(SIDES), strict=True)
        for line in _end(inputs, side, current, keys[peer], facts[side])
    ]


def _end(inputs: Inputs, side: Side, current: Slot, peer_key: str, facts: Facts) -> Iterator[str]:
    told = facts.get("document")
    if not told:
        yield "tunnel: missing"
        return
    wanted = document(inputs, side, current, {current: peer_key})
    slot, found = wanted["slots"][current], facts["slots"].get(current, {"there": False})
    name = slot["interface"]
    for left in sorted(facts["slots"].keys() - {current}):
        yield f"interface {facts['slots'][left]['interface']}: left behind by a rotation"
    if told["current"] != current:
        yield f"interface {name}: not in use, the other end uses it"
    if not found["there"]:
        yield f"interface {name}: missing"
        return
    yield from _interface(wanted, slot, found)
    yield from _peers(wanted, slot, found)
    if not facts["firewall"] or told["firewall"] != wanted["firewall"]:
        yield f"firewall {wanted['table']}: not as declared"


def _interface(wanted: Facts, slot: Facts, found: Facts) -> Iterator[str]:
    name = slot["interface"]
    if not found["up"]:
        yield f"interface {name}: down"
    if found["mtu"] != wanted["mtu"]:
        yield f"interface {name}: MTU {found['mtu']}, declared {wanted['mtu']}"
    if slot["listen_port"] not in (0, found["listen_port"]):
        yield f"interface {name}: listens on UDP port {found['listen_port']}, declared {slot['listen_port']}"
    yield from _set("address", found["addresses"], [f"{wanted['address']}/32"], name)
    yield from _set("route", found["routes"], wanted["allowed"], name)


def _peers(wanted: Facts, slot: Facts, found: Facts) -> Iterator[str]:
    name, key = slot["interface"], slot["peer_key"]
    for stranger in sorted(found["peers"].keys() - {key}):
        yield f"peer {stranger} on {name}: not the other end's key"
    peer = found["peers"].get(key)
    if peer is None:
        yield f"peer {key or '(the other end)'} on {name}: missing"
        return
    yield from _set("allowed range", peer["allowed"], wanted["allowed"], name)
    if peer["keepalive"] != wanted["keepalive"]:
        yield f"keepalive on {name}: {peer['keepalive']} s, declared {wanted['keepalive']} s"
    if slot["endpoint"] not in ("", peer["endpoint"]):
        yield f"peer on {name}: at {peer['endpoint'] or 'nowhere'}, declared {slot['endpoint']}"


def _set(what: str, found: list[str], wanted: list[str], name: str) -> Iterator[str]:
    yield from (f"{what} {one} on {name}: missing" for one in sorted(set(wanted) - set(found)))
    yield from (f"{what} {one} on {name}: not declared" for one in sorted(set(found) - set(wanted)))
