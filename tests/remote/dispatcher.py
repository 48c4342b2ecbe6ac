"""The dispatch as a process of its own, to be killed: ``python -m tests.remote.dispatcher``.

It is the operator's, with its own log on stderr. Its bounds fit a Slurm on the same host: one clock, and
submissions that are accepted within 20 s or never. ``start`` on stdin makes one, a fork of this process, and
answers with its pid; ``kill`` ends it with kill -9, and answers with the signal that it died of.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from operators import logs
from operators.dispatch.access import Credentials
from operators.dispatch.decide import Bounds
from operators.dispatch.run import Dispatch, Settings
from operators.kube.client import connect
from operators.sites.slurm.access import Deadlines
from tests.cluster.remote_world import Granted

DEADLINES = Deadlines(whole=20, start=5, sbatch=6)
BOUNDS = Bounds(window=30, sending=20, margin=5, again=2, stale=10, behind=60)


def dispatch(kubeconfig: Path, credentials: Path, namespace: str) -> None:
    """Run until told to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings(namespace=namespace, identity="one", bounds=BOUNDS, look_every=1)
    cluster = connect(kubeconfig, long_lived=True)
    Dispatch(cluster, settings, access=Credentials(credentials, DEADLINES), accounts=Granted()).run(stop)


def main(kubeconfig: Path, credentials: Path, namespace: str) -> None:
    """Until stdin ends. No thread is begun here: a fork has none but its own."""
    logs.configure("text")
    running = 0
    for word in sys.stdin:
        if word.strip() == "start":
            running = os.fork()
            if running == 0:
                os.close(0)
                os.close(1)
                dispatch(kubeconfig, credentials, namespace)
                os._exit(0)
            print(running, flush=True)
        elif running:
            os.kill(running, signal.SIGKILL)
            print(os.WTERMSIG(os.waitpid(running, 0)[1]), flush=True)
            running = 0
    if running:
        os.kill(running, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
