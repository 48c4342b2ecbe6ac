"""Ports of loopback for servers of tests."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import Final

_RANGE: Final = range(15_000, 30_000)
"""Below those that the kernel gives to outgoing connections: one of those may have a port before its server
has it, or while that is stopped. https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)"""


def free_ports(count: int) -> list[int]:
    """So many at which nobody listens. Chance keeps them apart from those of tests that run beside."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found
