"""A way to what listens on a pod's loopback address: kubectl's port-forward, through the API server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from infra import paths
from infra.cli.failure import Failure
from infra.tools.kubectl import kubectl

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextmanager
def forward(
    stack: str, namespace: str, deployment: str, port: int, *, here: int = 0, what: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """kubectl forwarding to the Deployment's port, and the address on this host that it listens on.

    ``here`` 0 takes a port that is free. Raises Failure when it cannot: ``what`` cannot be reached.
    """
    process = subprocess.Popen(
        [
            *(str(kubectl()), "--kubeconfig", str(paths.kubeconfig(stack)), "--namespace", namespace),
            *("port-forward", "--address", "127.0.0.1", f"deployment/{deployment}", f"{here}:{port}"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # It says so once it listens; without that line it has ended, and its errors say why.
        line = process.stdout.readline() if process.stdout else ""
        if not (found := _FORWARDING.match(line)):
            reason = process.communicate()[1].strip() or "kubectl gave no reason"
            another = "another port: --port 0; another cause: " if here else ""
            raise Failure(f"{what} cannot be reached: {reason}", f"{another}`antenna doctor`")
        yield process, f"127.0.0.1:{found.group(1)}"
    finally:
        process.terminate()
        process.wait()
