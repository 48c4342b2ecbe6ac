"""A WireGuard tunnel from the gateway to an endpoint machine. The role ``wireguard`` is on both.

Keys are made on the machines. Private ones never leave them; public ones are all that is seen here.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.provider import ssh, tunnel
from infra.provider.kind import UNKNOWN, Diff, ProviderError, Report, changed
from infra.provider.tunnel import SIDES, Facts, Side, Slot
from infra.site.values import DNS_LABEL

PROGRAM = "/usr/local/lib/antenna/links"
"""Where the role ``wireguard`` puts what does the machine's part."""

MACHINE_KEYS = ("address", "user", "port", "identity_file", "known_hosts", "host_key")
REQUIRED = ("stack", "name", "gateway", "endpoint", "gateway_address", "endpoint_address", "port", "ports")
HANDSHAKE_SECONDS = 20
DRAIN_SECONDS = 1.0
"""How long packets may still be on their way under the old keys."""

MTU = (576, 1500)


class Link:
    """A tunnel between two machines that are reached over SSH.

    Inputs: stack, name, gateway and endpoint (each MACHINE_KEYS), gateway_address and endpoint_address (in
    the tunnel), port (UDP, of the endpoint; rotation uses the next one too), keepalive_seconds, mtu, ports
    (TCP, what the link is for), reaches (ranges beyond the endpoint), sources (ranges that the gateway
    forwards from), mark (bits that their packets must bear). Outputs: the inputs, gateway_key and
    endpoint_key (public), drift.
    """

    token = "antenna:index:Link"  # noqa: S105 - Pulumi's word for a type's name

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """Missing or malformed inputs."""
        failures = [(key, "is required") for key in REQUIRED if inputs.get(key) is None]
        name = inputs.get("name")
        if isinstance(name, str) and not (DNS_LABEL.fullmatch(name) and len(name) <= 30):
            failures.append(("name", f"{name!r} must be a DNS label of at most 30 characters"))
        for side in SIDES:
            machine = inputs.get(side)
            if isinstance(machine, dict):
                failures += [(f"{side}.{k}", "is required") for k in MACHINE_KEYS if machine.get(k) is None]
        for key in ("gateway_address", "endpoint_address"):
            failures += _refused(key, inputs.get(key), IPv4Address)
        for key in ("reaches", "sources"):
            for index, value in enumerate(inputs.get(key) or []):
                failures += _refused(f"{key}[{index}]", value, IPv4Network)
        failures += [
            (key, f"{value} must be {least} to {most}")
            for key, least, most in (("port", 1, 65534), ("mtu", *MTU), ("keepalive_seconds", 1, 60))
            if isinstance(value := inputs.get(key), int) and not least <= value <= most
        ]
        if isinstance(name, str) and inputs.get("gateway_address") == inputs.get("endpoint_address"):
            failures.append(("endpoint_address", "is the gateway's own"))
        return failures

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """Between other machines it is another tunnel; the rest is changed in place."""
        old = old_inputs or {key: value for key, value in old_state.items() if key in new_inputs}
        changes = changed(old, new_inputs)
        replaces = [
            key
            for key in changes
            if key in ("stack", "name") or (key in SIDES and _address(old, key) != _address(new_inputs, key))
        ]
        if old_state.get("drift"):
            changes.append("drift")
        return Diff(changes, replaces, delete_before_replace=bool(replaces))

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Raise it, or adopt what is there; both ends have shaken hands when this returns."""
        return f"{inputs['stack']}/{inputs['name']}", _bring_up(inputs, report)

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Compare both ends with what was declared, and with each other.

        Keys that both ends agree on are the tunnel's keys, whoever rotated them. Raises ProviderError on
        import: which machines it is between is not known.
        """
        if not inputs:
            raise ProviderError(f"{id}: a link cannot be imported; `up` adopts what is on the machines")
        try:
            facts = look(inputs)
        except ProviderError as error:
            return id, inputs, {**state, "drift": [str(error)]}
        if not any(facts[side].get("document") for side in SIDES):
            return None
        return id, inputs, {**_outputs(inputs, facts), "drift": tunnel.differences(inputs, facts)}

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Bring both ends to the declared tunnel; what is right already is not interrupted."""
        return _bring_up(new_inputs, report)

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Take it off both machines: interfaces, routes, firewall, keys, units."""
        where = {**state, **inputs}
        report("removing")
        _both(lambda side: _tell(where, side, "remove"))


def look(inputs: Mapping[str, Any]) -> dict[Side, Facts]:
    """What each end has of the tunnel. Raises ProviderError when a machine does not answer."""
    return _both(lambda side: _tell(inputs, side, "show"))


def measure(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Probe it from the gateway, now. Raises ProviderError when that does not answer or has no such tunnel.

    up, carrier, round_trip_seconds (None: nothing came back), loss (0 to 1), handshake_age_seconds (None:
    never), received_bytes and sent_bytes since the keys changed.
    """
    return _tell(inputs, "gateway", "measure")


def rotate(inputs: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Give the tunnel new keys without interrupting it; returns the outputs.

    The free slot is raised beside the one in use, and shakes hands; then each end moves its routes to it, in
    one step, while packets are taken from both; then the old slot goes with its keys. Killed anywhere, the
    tunnel stands, and `up` tidies. Raises ProviderError, with nothing changed, when it is not whole before
    or the new keys do not shake hands.
    """
    facts = look(inputs)
    if found := tunnel.differences(inputs, facts):
        raise ProviderError(
            f"link {inputs['name']} is not as declared ({found[0]}); `antenna up` mends it first"
        )
    old = tunnel.current_slot(facts)
    new = tunnel.other(old)
    report("making keys on both machines")
    peers = {old: tunnel.public_keys(facts, old), new: _keys(inputs, new, "--fresh")}
    report("shaking hands under the new keys")
    _apply(inputs, old, peers)
    if not _shakes_hands(inputs, new):
        _apply(inputs, old, {old: peers[old]})
        raise ProviderError(
            f"link {inputs['name']}: no handshake under the new keys within {HANDSHAKE_SECONDS} s; "
            f"it goes on with the old ones. {_advice(inputs, new)}"
        )
    report("moving to the new keys")
    for side in SIDES:
        _apply_to(inputs, side, new, peers)
    time.sleep(DRAIN_SECONDS)
    report("removing the old keys")
    _apply(inputs, new, {new: peers[new]})
    return _outputs(inputs, look(inputs))


def _bring_up(inputs: dict[str, Any], report: Report) -> dict[str, Any]:
    facts = look(inputs)
    slot = tunnel.current_slot(facts)
    report("keys")
    _apply(inputs, slot, {slot: _keys(inputs, slot)})
    report("waiting for a handshake")
    if not _shakes_hands(inputs, slot):
        raise ProviderError(
            f"link {inputs['name']}: no handshake within {HANDSHAKE_SECONDS} s. {_advice(inputs, slot)}"
        )
    return _outputs(inputs, look(inputs))


def _keys(inputs: Mapping[str, Any], slot: Slot, *flags: str) -> dict[Side, str]:
    """Each end's own public key of a slot; keys are made where there are none."""
    return _both(lambda side: str(_tell(inputs, side, "key", slot, *flags)["public_key"]))


def _apply(inputs: Mapping[str, Any], current: Slot, keys: Mapping[Slot, Mapping[Side, str]]) -> None:
    """Tell both ends; ``keys`` has the public keys of the slots that shall be there.

    The endpoint first: a call that nobody takes yet is repeated only 5 s later.
    """
    for side in reversed(SIDES):
        _apply_to(inputs, side, current, keys)


def _apply_to(
    inputs: Mapping[str, Any], side: Side, current: Slot, keys: Mapping[Slot, Mapping[Side, str]]
) -> Facts:
    far = SIDES[1 - SIDES.index(side)]
    told = tunnel.document(inputs, side, current, {slot: pair[far] for slot, pair in keys.items()})
    return _tell(inputs, side, "apply", document=told)


def _shakes_hands(inputs: Mapping[str, Any], slot: Slot) -> bool:
    told = _tell(inputs, "gateway", "await", slot, str(HANDSHAKE_SECONDS))
    return int(told["handshake"]) > 0


def _outputs(inputs: Mapping[str, Any], facts: Mapping[Side, Facts]) -> dict[str, Any]:
    keys = tunnel.public_keys(facts, tunnel.current_slot(facts))
    return {**inputs, "gateway_key": keys["gateway"], "endpoint_key": keys["endpoint"], "drift": []}


def _tell(
    inputs: Mapping[str, Any], side: Side, verb: str, *words: str, document: Any = None
) -> dict[str, Any]:
    """Run one verb of the machine's program. What is not installed has no tunnels."""
    login = ssh.Login.of(inputs[side])
    become = "" if login.user == "root" else "sudo -n "
    argv = shlex.join(["python3", "-m", "antenna_links", verb, inputs["name"], *words])
    command = f"{become}env PYTHONPATH={PROGRAM} {argv}"
    if verb in ("show", "remove"):
        command = f"if [ -d {PROGRAM} ]; then {command}; else echo '{{}}'; fi"
    given = None if document is None else json.dumps(document)
    answer: dict[str, Any] = json.loads(ssh.run(login, command, stdin=given, timeout=HANDSHAKE_SECONDS + 40))
    return answer


def _both(do: Callable[[Side], Any]) -> dict[Side, Any]:
    with ThreadPoolExecutor(len(SIDES)) as pool:
        return dict(zip(SIDES, pool.map(do, SIDES), strict=True))


def _advice(inputs: Mapping[str, Any], slot: Slot) -> str:
    where = f"UDP port {tunnel.port(inputs, slot)} of {inputs['endpoint']['address']}"
    return f"Does a firewall between the machines let {where} through, and the next port, for rotations?"


def _address(inputs: Mapping[str, Any], side: str) -> Any:
    machine = inputs.get(side)
    return machine.get("address") if isinstance(machine, dict) else machine


def _refused(key: str, value: Any, kind: Callable[[str], object]) -> list[tuple[str, str]]:
    if value is UNKNOWN or not isinstance(value, str):
        return []
    try:
        kind(value)
    except ValueError as error:
        return [(key, str(error))]
    return []
