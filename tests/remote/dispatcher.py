"""The dispatch as a process of its own, to be killed: ``python -m tests.remote.dispatcher``.

It is the operator's, with its own log on stderr, and with bounds that fit a Slurm on the same host: one
clock, and a submission that is accepted at most 45 s after it began.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from operators import logs
from operators.dispatch.access import opener
from operators.dispatch.decide import Bounds
from operators.dispatch.run import Dispatch, Settings
from operators.k8s import connect
from tests.cluster.remote_world import Granted

BOUNDS = Bounds(window=50, sending=45, margin=5, again=1, stale=10)


def main(kubeconfig: Path, credentials: Path, namespace: str) -> None:
    """Run until told to end."""
    logs.configure("text")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings(namespace=namespace, identity="one", bounds=BOUNDS, look_every=1)
    cluster = connect(kubeconfig, long_lived=True)
    Dispatch(cluster, settings, access=opener(credentials), accounts=Granted()).run(stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
