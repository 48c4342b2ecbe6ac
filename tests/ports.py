"""Ports of loopback for servers of tests."""

from __future__ import annotations

import random
import socket
import sys
from contextlib import suppress
from typing import Final

_RANGE: Final = range(15_000, 30_000)
"""Below those that the kernel gives to outgoing connections: one of those may have a port before its server
has it, or while that is stopped. https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)"""

_held: Final[list[socket.socket]] = []
"""Names of the ports that were given out, taken until this process ends: a server may be started, or started
again, much later."""


def free_ports(count: int) -> list[int]:
    """So many at which nobody listens, and which no other process of tests is given meanwhile."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _hold(port)
            found.append(port)
    return found


def _hold(port: int) -> None:
    """Raises OSError where this or another process holds it. Elsewhere than on Linux nobody holds any."""
    if sys.platform != "linux":
        return
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0antenna-test-port-{port}")  # in no folder, and gone with its process
    except OSError:
        name.close()
        raise
    _held.append(name)
