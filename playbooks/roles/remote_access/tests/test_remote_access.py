"""Role remote_access, on live machines."""

from __future__ import annotations

from typing import Any

GROUP = "gateway"


def test_keys_are_roots_alone(machine: Any) -> None:
    folder = "/etc/antenna/remote"
    if not machine.file(folder).exists:
        return
    modes = machine.check_output(f"stat -c %a {folder}/*.key").split()
    assert set(modes) == {"600"}
