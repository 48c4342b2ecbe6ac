"""What the playbooks would do, as one number: an input of whoever runs them."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONTENT = ("*.yml", "library/*.py", "module_utils/*.py", "roles/*/*/*", "roles/*/*/*/*")
"""Playbooks, modules and roles. How a run is started and watched changes nothing on a machine."""


def content_digest(folder: Path = FOLDER) -> str:
    """SHA-256 (hex) over names and bytes of playbooks, modules and roles, without their tests.

    The version of the one Python package that a role copies to machines is part of it.
    """
    files = {path for pattern in CONTENT for path in folder.glob(pattern) if path.is_file()}
    digest = hashlib.sha256(f"prometheus-client {version('prometheus-client')}\0".encode())
    for path in sorted(files):
        name = path.relative_to(folder)
        if "tests" in name.parts or "__pycache__" in name.parts:
            continue
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
