"""What this machine was told of its tunnels: a document and a key a slot, in one folder of root's.

A tunnel has two slots, ``a`` and ``b``. One carries it; the other is there while keys are rotated.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path("/etc/antenna/links")
SLOTS = ("a", "b")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")

Document = dict[str, Any]
"""name, side (gateway or endpoint), address, peer_address, allowed, mtu, keepalive, forward, firewall (an
nft script), table, current (a slot) and slots {slot: {interface, peer_key, listen_port, endpoint}}."""


def load(name: str, folder: Path = FOLDER) -> Document | None:
    """The tunnel's document; None when there is no such tunnel here."""
    path = _document(name, folder)
    if not path.is_file():
        return None
    document: Document = json.loads(path.read_text())
    return document


def names(folder: Path = FOLDER) -> list[str]:
    """The tunnels that end here, sorted."""
    return sorted(path.stem for path in folder.glob("*.json"))


def save(document: Document, folder: Path = FOLDER) -> None:
    """Write it beside its place, then rename: a cut leaves the old one or the new one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _document(document["name"], folder)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    fresh.chmod(0o600)
    fresh.replace(path)


def forget(name: str, folder: Path = FOLDER) -> None:
    """Remove the tunnel's document and keys; the folder too when it was the last one."""
    for path in (_document(name, folder), *(key_file(name, slot, folder) for slot in SLOTS)):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def key_file(name: str, slot: str, folder: Path = FOLDER) -> Path:
    """Where a slot's private key is. It is made here, and nothing but WireGuard reads it."""
    return folder / f"{name}-{slot}.key"


def ensure_key(name: str, slot: str, *, fresh: bool = False, folder: Path = FOLDER) -> str:
    """The slot's public key; a key is made when there is none, or when a fresh one is asked for."""
    path = key_file(name, slot, folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh or not path.is_file() or not path.stat().st_size:
        made = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
        partial = path.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        partial.replace(path)
    return public_key(path)


def public_key(path: Path) -> str:
    """The public half of a private key's file."""
    done = subprocess.run(["wg", "pubkey"], input=path.read_bytes(), capture_output=True, check=True)
    return done.stdout.decode().strip()


def _document(name: str, folder: Path) -> Path:
    if not NAME.fullmatch(name):
        raise SystemExit(f"{name!r} is no tunnel's name")
    return folder / f"{name}.json"
