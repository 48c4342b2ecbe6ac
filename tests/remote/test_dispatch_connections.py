"""How often a site is connected to, with jobs there and while it comes and goes, and what questions cost.

Some jobs and seconds here; ``ANTENNA_TEST_CONNECTIONS=1000:600:0`` is 1,000 jobs and ten minutes of a site
that flaps, with LUMI's floor; the last number is of jobs that wait there besides, of the same project. The
limit is LUMI's in both: one new connection a minute and login, six of all together while it flaps. There are
two logins: the partner's with the jobs, and the one that reads.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from operators.sites.slurm import commands
from operators.sites.slurm.commands import Command
from tests.cluster.patience import eventually
from tests.remote.operating import operating
from tests.remote.slurm import PARTITIONS, PROJECT, SlurmSite
from tests.remote.world import World

pytestmark = pytest.mark.parametrize("world", [1], indirect=True)

WHOLE = "ANTENNA_TEST_CONNECTIONS" in os.environ
JOBS, FLAPS, BESIDES = (int(n) for n in os.environ.get("ANTENNA_TEST_CONNECTIONS", "8:12:0").split(":"))
STEADY = 75 if WHOLE else 0  # seconds, from the start
LASTS = 1.5  # seconds that a connection lives at most while the site flaps
MINUTE = 60.0
LOGINS = 2
LONG = "#!/bin/sh\nsleep 3000\n"
TICKS = os.sysconf("SC_CLK_TCK")


def test_a_site_is_connected_to_once_a_login_and_six_times_a_minute_at_most_while_it_flaps(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm = world.slurm
    world.operator.kill()
    wait_besides(slurm, BESIDES)
    world.declare(floor=60 if WHOLE else 2, per_minute=1)
    began, before = time.monotonic(), slurm.connections()
    with operating(world, tmp_path):
        names = [world.submit(LONG, timeLimit="3h") for _ in range(JOBS)]
        late: list[str] = []
        try:
            eventually(lambda: at_the_site(world, names), 120 + 4 * len(names))
            sent = time.monotonic() - began
            time.sleep(max(0.0, began + STEADY - time.monotonic()))
            minutes, steady = (time.monotonic() - began) / MINUTE, slurm.connections() - before
            asked, calls = list(costs(slurm)), len(slurm.calls())
            made = flap(slurm, FLAPS)
            calls = len(slurm.calls()) - calls
            late = [world.submit(LONG)]
            took = eventually(lambda: at_the_site(world, [*names, *late]), 120)
            uids = [world.uid(name) for name in (*names, *late)]
            eventually(lambda: 0 not in world.accounted(uids), 60)
            counted = world.accounted(uids)
            # Not even what has waited there for longer than Kueue waits for pods was called back.
            stays = {state for name, state in world.states().items() if name in names}
        finally:
            for name in (*names, *late):
                world.delete(name)
            if BESIDES:
                slurm.run("scancel", "--name=besides")
    with capsys.disabled():
        print(
            f"\n{JOBS} jobs beside {BESIDES} sent in {sent:.0f} s; {steady} connections in {minutes:.1f} min"
        )
        print(f"{FLAPS} s of flapping: {len(made)} connections, {most_in_a_minute(made)} a minute at most,")
        print(f"{calls} commands; the next job was at the site {took:.0f} s after; accepted {dict(counted)}")
        print(*asked, sep="\n")
    assert steady <= LOGINS * (1 + minutes)
    assert WHOLE or steady == LOGINS
    assert 1 <= most_in_a_minute(made) <= 6
    assert counted.keys() == {1}
    assert stays <= {"pending", "running"}


def wait_besides(slurm: SlurmSite, count: int) -> None:
    """Jobs of the project that wait until they are cancelled."""
    options = f"--hold --account={PROJECT} --partition=small-g --gres=gpu:1 --job-name=besides"
    line = f"for n in $(seq {count // 4}); do sbatch {options} --wrap=true >/dev/null; done"
    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(subprocess.run, ["sh", "-c", line], env=slurm.environment) for _ in range(4)]
        assert {one.result().returncode for one in begun} == {0}


def at_the_site(world: World, names: Iterable[str]) -> bool:
    """Whether it has all of them."""
    known = world.statuses()
    return all("slurmId" in known.get(name, {}) for name in names)


def flap(slurm: SlurmSite, seconds: float) -> list[float]:
    """Every connection breaks soon after it is made; when one was made.

    It goes on until there was one: the first pause alone may be longer than a short run.
    """
    made: list[float] = []
    seen, ends = slurm.connections(), time.monotonic() + seconds
    slurm.drop_connections()
    while (now := time.monotonic()) < ends or (not made and now < ends + MINUTE):
        there = slurm.connections()
        made += [now] * (there - seen)
        seen = there
        if made and now - made[-1] > LASTS:
            slurm.drop_connections()
        time.sleep(0.2)
    return made


def most_in_a_minute(made: Sequence[float]) -> int:
    return max((sum(at <= other < at + MINUTE for other in made) for at in made), default=0)


def costs(slurm: SlurmSite) -> Iterable[str]:
    """What each question costs: time for who waits, processor time for its commands and both daemons."""
    partitions = tuple(one.name for one in PARTITIONS)
    now = int(time.time())
    questions: dict[str, Command] = {
        "queue": commands.queue(_token(), (PROJECT,), partitions),
        "ended": commands.ended(_token(), (PROJECT,), now - 900),
        "nodes": commands.nodes(_token(), partitions),
        "find": commands.find(_token(), "root", "antenna-nobody", now - 3600),
        "granted": commands.granted(_token(), "sacct", PROJECT),
    }
    yield f"{JOBS + BESIDES} jobs: wall, and CPU of the commands, slurmctld and slurmdbd, in ms"
    for name, command in questions.items():
        wall, *cpu = _cost(slurm, command, 5)
        yield f"{name:8} {wall:6.0f} {' '.join(f'{one:6.0f}' for one in cpu)}"


def _cost(slurm: SlurmSite, command: Command, times: int) -> list[float]:
    """Means of one, in milliseconds."""
    daemons = [slurm.processes[name].pid for name in ("slurmctld", "slurmdbd")]
    before, began = [_cpu(pid) for pid in daemons], time.monotonic()
    children = os.times()
    for _ in range(times):
        subprocess.run(["sh", "-c", command.line], env=slurm.environment, check=True, capture_output=True)
    wall, used = time.monotonic() - began, os.times()
    own = used.children_user + used.children_system - children.children_user - children.children_system
    spent = [_cpu(pid) - at for pid, at in zip(daemons, before, strict=True)]
    return [1000 * one / times for one in (wall, own, *spent)]


def _cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _token() -> str:
    return f"x{secrets.token_hex(12)}"
