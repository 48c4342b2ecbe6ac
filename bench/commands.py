"""What `antenna` itself costs: each command as typed, a process of its own, beside an earlier build's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.before import COMMIT, earlier_build
from bench.figures import Reading
from infra import paths
from infra.cli.work import burst
from infra.paths import REPOSITORY
from operators import queues
from operators.kube.client import connect

OURS: Final = "this build"
BEFORE: Final = COMMIT
COMPILED: Final = f"{COMMIT}, its packages compiled"
"""The same, had Python written its bytecode: where it may not, all of it is compiled anew at each start."""

STACK: Final = os.environ.get("ANTENNA_STACK") or "embedded"
JOB: Final = "bench-why"
MORE_THAN_THERE_ARE: Final = 64  # GPUs that it asks for

# A small process of its own: a child's peak memory begins with that of the process that it was forked from.
_LAUNCH: Final = """
import json, os, sys, time
began = time.monotonic()
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
_, status, used = os.wait4(pid, 0)
told = {
    "seconds": time.monotonic() - began,
    "cpu_seconds": used.ru_utime + used.ru_stime,
    "peak_bytes": used.ru_maxrss * 1024.0,
}
print(json.dumps([os.waitstatus_to_exitcode(status), told]))
"""

Say = Callable[[str], None]


def commands(runs: int, earlier: bool, say: Say) -> Iterator[Reading]:
    """--help; and of a site that is up, status and why."""
    before = earlier_build(say) if earlier else None
    with waiting_job(say) as namespace:
        typed = {"--help": ["--help"]}
        if namespace:
            typed |= {"status": ["status"], "why": ["why", JOB, "--namespace", namespace]}
        else:
            say(f"stack {STACK} is not up: only --help is measured (`antenna up` raises it)")
        yield from _each(OURS, REPOSITORY, typed, runs)
        if before:
            # Without bytecode, as its own set-up leaves it.
            _forget_bytecode(before)
            yield from _each(BEFORE, before, typed, runs)
            subprocess.run(
                [before / ".venv/bin/python", "-m", "compileall", "-q", ".venv/lib", "infra", "operators"],
                cwd=before,
                stdout=subprocess.DEVNULL,
                check=False,  # a few files of packages are of another Python
            )
            yield from _each(COMPILED, before, typed, runs)


def _each(program: str, folder: Path, typed: dict[str, list[str]], runs: int) -> Iterator[Reading]:
    for name, arguments in typed.items():
        for _ in range(runs):
            yield Reading(
                f"antenna {name}", program, 0, run([folder / ".venv/bin/antenna", *arguments], folder)
            )


def run(argv: list[str | Path], folder: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of a command and all that it waits for."""
    environment = {**os.environ, "ANTENNA_STACK": STACK, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCH, *argv],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, figures = json.loads(done.stdout)
    # A site that is not well is told with 1; the time is the same.
    if status not in (0, 1):
        raise RuntimeError(f"{' '.join(map(str, argv))} ended with {status}: {done.stderr}")
    told: dict[str, float] = figures
    return told


@contextmanager
def waiting_job(say: Say) -> Iterator[str]:
    """The namespace of a Job that waits for more GPUs than there are; "" without a site. Gone when left."""
    kubeconfig = paths.kubeconfig(STACK)
    if not kubeconfig.is_file():
        yield ""
        return

    cluster = connect(kubeconfig)
    lists = (cluster.list_objects(queues.API_VERSION, k) for k in ("ClusterQueue", "LocalQueue", "Cohort"))
    queue = burst.queues(*lists)[0]
    cluster.create(burst.job(burst.Work(JOB, queue, MORE_THAN_THERE_ARE, 1), run=JOB))
    try:
        say(f"Job {JOB} waits in {queue.namespace} of stack {STACK}")
        time.sleep(2)
        yield queue.namespace
    finally:
        cluster.delete("batch/v1", "Job", JOB, queue.namespace)
        cluster.close()


def _forget_bytecode(folder: Path) -> None:
    for cached in folder.rglob("*.pyc"):
        cached.unlink()
