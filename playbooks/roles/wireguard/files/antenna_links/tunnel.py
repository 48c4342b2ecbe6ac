"""One slot of a tunnel: its WireGuard interface, addresses, routes, and the tunnel's firewall."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import config

LOADED = Path("/run/antenna/links")
"""Digests of the firewalls as they were loaded: by them a table that was changed since is told."""

APPEAR_SECONDS = 10
LOOSE = "2"
"""rp_filter: while a rotation moves the two ends' routes, packets come back on the other interface."""


def run(name: str, slot: str) -> None:
    """Make the interface and stay: the kernel's own WireGuard where it is there, else wireguard-go."""
    interface = _document(name)["slots"][slot]["interface"]
    delete(interface)
    if _succeeds("ip", "link", "add", interface, "type", "wireguard"):
        os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606 - the unit becomes it
    os.environ["WG_PROCESS_FOREGROUND"] = "1"
    os.execvp("wireguard-go", ["wireguard-go", "--foreground", interface])  # noqa: S606


def configure(name: str, slot: str) -> None:
    """Bring the interface to what the document says, without interrupting what it carries."""
    document = _document(name)
    wanted = document["slots"][slot]
    interface = wanted["interface"]
    _await(interface)
    _load_firewall(document)
    _set_peer(document, slot)
    with suppress(OSError):
        Path(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter").write_text(LOOSE)
    if document["forward"]:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    address = f"{document['address']}/32"
    for other in _addresses(interface):
        if other != address:
            _call("ip", "address", "delete", other, "dev", interface)
    _call("ip", "address", "replace", address, "dev", interface)
    _call("ip", "link", "set", interface, "mtu", str(document["mtu"]), "up")
    routes = document["allowed"] if document["current"] == slot else []
    for route in routes:
        _call("ip", "route", "replace", route, "dev", interface, "src", document["address"])
    for route in sorted(set(_routes(interface)) - set(routes)):
        _call("ip", "route", "delete", route, "dev", interface)


def clear(name: str, slot: str) -> None:
    """Remove a slot's interface after its unit has ended, however that was."""
    slots = (config.load(name) or {"slots": {}})["slots"]
    if slot in slots:
        delete(slots[slot]["interface"])


def delete(interface: str) -> None:
    """Remove an interface if it is there; its addresses and routes go with it."""
    if _exists(interface):
        _succeeds("ip", "link", "delete", interface)


def drop_firewall(document: config.Document) -> None:
    """Remove the tunnel's table."""
    _succeeds("nft", "delete", "table", *document["table"].split())
    for path in (_loaded(document["name"]), _script(document["name"])):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        LOADED.rmdir()


def facts(document: config.Document, slot: str) -> dict[str, Any]:
    """What there is of a slot. Never asks for what holds the private key (``wg show dump`` does)."""
    interface = document["slots"][slot]["interface"]
    if not _exists(interface):
        return {"interface": interface, "there": False}
    link = json.loads(_call("ip", "-j", "-d", "link", "show", "dev", interface))[0]
    kind = link.get("linkinfo", {}).get("info_kind", "")
    return {
        "interface": interface,
        "there": True,
        "carrier": "kernel" if kind == "wireguard" else "wireguard-go",
        "up": "UP" in link["flags"],
        "mtu": link["mtu"],
        "addresses": _addresses(interface),
        "routes": _routes(interface),
        "public_key": _call("wg", "show", interface, "public-key").strip(),
        "listen_port": int(_call("wg", "show", interface, "listen-port")),
        "peers": peers(interface),
    }


def peers(interface: str) -> dict[str, dict[str, Any]]:
    """The interface's peers by public key; times in seconds since the epoch, 0 for never."""
    columns = {
        what: parse_columns(_call("wg", "show", interface, what))
        for what in ("allowed-ips", "endpoints", "latest-handshakes", "transfer", "persistent-keepalive")
    }
    return {
        key: {
            "allowed": [] if allowed == ["(none)"] else sorted(allowed),
            "endpoint": "".join(columns["endpoints"].get(key, [])).replace("(none)", ""),
            "handshake": int(columns["latest-handshakes"].get(key, ["0"])[0]),
            "received": int(columns["transfer"].get(key, ["0", "0"])[0]),
            "sent": int(columns["transfer"].get(key, ["0", "0"])[1]),
            "keepalive": _seconds(columns["persistent-keepalive"].get(key, ["off"])[0]),
        }
        for key, allowed in columns["allowed-ips"].items()
    }


def parse_columns(text: str) -> dict[str, list[str]]:
    """What ``wg show INTERFACE WHAT`` prints: a peer's key and its values a line. Pure."""
    rows = (line.split() for line in text.splitlines() if line.strip())
    return {key: values for key, *values in rows}


def firewall_stands(document: config.Document) -> bool:
    """Whether the tunnel's table is as it was loaded."""
    loaded = _loaded(document["name"])
    return loaded.is_file() and loaded.read_text() == _firewall_digest(document)


def await_handshake(document: config.Document, slot: str, seconds: float) -> int:
    """When the slot's peer last shook hands, waiting for a first time; 0 when it did not in time.

    The slot in use must carry packets too. An end that lost its session, with its peer, would not be asked
    for another one before 15 s of silence: so it is asked anew here.
    """
    wanted = document["slots"][slot]
    end = time.monotonic() + seconds
    asked_anew = False
    while True:
        rows = parse_columns(_call("wg", "show", wanted["interface"], "latest-handshakes"))
        at = int(rows.get(wanted["peer_key"], ["0"])[0])
        if at and (slot != document["current"] or _answers(document)):
            return at
        if time.monotonic() > end:
            return 0
        if at and not asked_anew:
            _call("wg", "set", wanted["interface"], "peer", wanted["peer_key"], "remove")
            _set_peer(document, slot)
            asked_anew = True
        time.sleep(0.1)


def _answers(document: config.Document) -> bool:
    argv = ["ping", "-n", "-q", "-c", "1", "-W", "1", "-I", document["address"], document["peer_address"]]
    return _succeeds(*argv)


def _set_peer(document: config.Document, slot: str) -> None:
    """Set what differs alone: wireguard-go opens its socket anew for a port that it has already."""
    wanted = document["slots"][slot]
    interface, key = wanted["interface"], wanted["peer_key"]
    own = config.key_file(document["name"], slot)
    if _call("wg", "show", interface, "public-key").strip() != config.public_key(own):
        _call("wg", "set", interface, "private-key", str(own))
    if wanted["listen_port"] not in (0, int(_call("wg", "show", interface, "listen-port"))):
        _call("wg", "set", interface, "listen-port", str(wanted["listen_port"]))
    there = peers(interface)
    # A range belongs to one peer: those that are not ours go first.
    for other in sorted(there.keys() - {key}):
        _call("wg", "set", interface, "peer", other, "remove")
    found = there.get(key, {"allowed": [], "keepalive": None, "endpoint": ""})
    peer = []
    if found["allowed"] != document["allowed"]:
        peer += ["allowed-ips", ",".join(document["allowed"])]
    if found["keepalive"] != document["keepalive"]:
        peer += ["persistent-keepalive", str(document["keepalive"] or "off")]
    if wanted["endpoint"] not in ("", found["endpoint"]):
        peer += ["endpoint", wanted["endpoint"]]
    if peer:
        _call("wg", "set", interface, "peer", key, *peer)


def _load_firewall(document: config.Document) -> None:
    script = _script(document["name"])
    if script.is_file() and script.read_text() == document["firewall"] and firewall_stands(document):
        return
    _call("nft", "-f", "-", given=document["firewall"])
    LOADED.mkdir(parents=True, exist_ok=True)
    script.write_text(document["firewall"])
    _loaded(document["name"]).write_text(_firewall_digest(document))


def _firewall_digest(document: config.Document) -> str:
    done = subprocess.run(
        ["nft", "--stateless", "list", "table", *document["table"].split()], capture_output=True, check=False
    )
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else "missing"


def _loaded(name: str) -> Path:
    return LOADED / f"{name}.digest"


def _script(name: str) -> Path:
    return LOADED / f"{name}.nft"


def _addresses(interface: str) -> list[str]:
    listed = json.loads(_call("ip", "-j", "-4", "address", "show", "dev", interface) or "[]")
    rows = (row for entry in listed for row in entry.get("addr_info", []))
    return sorted(f"{row['local']}/{row['prefixlen']}" for row in rows)


def _routes(interface: str) -> list[str]:
    listed = json.loads(_call("ip", "-j", "-4", "route", "show", "dev", interface) or "[]")
    return sorted(entry["dst"] if "/" in entry["dst"] else f"{entry['dst']}/32" for entry in listed)


def _await(interface: str) -> None:
    """Until wireguard-go has made the interface and answers for it."""
    end = time.monotonic() + APPEAR_SECONDS
    while not _succeeds("wg", "show", interface, "listen-port"):
        if time.monotonic() > end:
            raise SystemExit(f"{interface} did not appear within {APPEAR_SECONDS} s")
        time.sleep(0.05)


def _document(name: str) -> config.Document:
    document = config.load(name)
    if document is None:
        raise SystemExit(f"there is no tunnel {name} on this machine")
    return document


def _exists(interface: str) -> bool:
    return Path("/sys/class/net", interface).exists()


def _seconds(text: str) -> int:
    return 0 if text == "off" else int(text)


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _call(*argv: str, given: str | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, input=given)
    if done.returncode:
        raise SystemExit(f"`{' '.join(argv)}`: {(done.stderr or done.stdout).strip()}")
    return done.stdout
