"""The `antenna` resource provider: a plugin that either engine starts with its own address.

Prints the port it serves on, as the protocol wants, and ends when its engine does.
"""

# ruff: noqa: E402 - the path must be set, and the parent asked, before anything is imported

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ENGINE_PROCESS = os.getppid()
"""Asked first of all: an engine killed while the imports below run must be missed too."""

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from infra.provider.processes import end_descendants
from infra.provider.servicer import ProviderServicer

PARALLEL_CALLS = 64
PARENT_POLL_SECONDS = 0.5


def main(arguments: list[str]) -> None:
    """Serve until told to stop, or until the engine's process is gone."""
    # A Ctrl-C reaches every process of the terminal; only the engine decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    addresses = [a for a in arguments if not a.startswith("-")]
    if not addresses:
        sys.exit("usage: __main__.py ENGINE_ADDRESS   (a Pulumi plugin; the engine starts it)")
    server = grpc.server(ThreadPoolExecutor(PARALLEL_CALLS), options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(ProviderServicer(addresses[0]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Thread(target=_end_with, args=(ENGINE_PROCESS,), daemon=True).start()
    server.wait_for_termination()


def _end_with(parent: int) -> None:
    """End when the parent does, with everything started here that has not been detached.

    A parent-death signal would not do: it fires when the parent's *thread* ends.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    end_descendants(os.getpid())
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
