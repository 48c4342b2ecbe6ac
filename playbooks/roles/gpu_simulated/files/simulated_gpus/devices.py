"""A machine's simulated GPUs: their ids, and the faults that are played on them.

Ids look like those of real devices and stay the same for a machine: GPU-<uuid5 of machine and index>.
A file FAULTS/<index>/xid that holds an XID number makes the device of that index fail; removing it heals it.
"""

from __future__ import annotations

import uuid
from pathlib import Path

ID_SPACE = uuid.UUID("6a1f7d0c-4c57-5a55-9f0e-0d6f3c1b7a11")


def device_ids(machine: str, count: int) -> list[str]:
    """Ids of a machine's devices, in the order of their indices."""
    return [f"GPU-{uuid.uuid5(ID_SPACE, f'{machine}/{index}')}" for index in range(count)]


def read_xid(faults: Path, index: int) -> int:
    """XID of the fault that is played on a device; 0 when there is none, or when the file holds no number."""
    try:
        text = (faults / str(index) / "xid").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return 0
    return int(text) if text.isascii() and text.isdecimal() else 0
