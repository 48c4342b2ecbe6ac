"""The ledger away at start and in the middle: its sums are the accounting's after it, and nothing was let go.

A real Slurm with its accounting; the ledger is an SQLite file on a small volume of its own, or is in a
PostgreSQL that is on such a volume. What asks and writes is a process of its own, to be killed.
Slurm itself forgets within seconds what has ended, as a site's does in the 20 minutes of a real outage.
``ANTENNA_TEST_LEDGER=200`` is that many random sequences of outages, ``200:100`` from the 100th on; ``1`` is
each outage once, and shorter; without it there are the usual ones.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from operators.ledger.remote import RemoteLedger
from operators.ledger.remote_tables import REMOTE_JOBS
from operators.usage.billing import HOUR
from operators.usage.budgets import Window
from tests.cluster.patience import eventually
from tests.remote.slurm import PROJECT, SlurmSite
from tests.remote.temporary import temporary_slurm
from tests.remote.volume import Volume, volume
from tests.unit import postgres

_COUNT, _, _SEED = os.environ.get("ANTENNA_TEST_LEDGER", "0").partition(":")
ASKED = int(_COUNT)
SEQUENCES = ASKED if ASKED > 1 else 0
USUAL = ("accounting-away", "away", "full")
SEED = int(_SEED or 0)
LASTS = (13, 15) if SEQUENCES else (5, 6)
"""Seconds that an outage lasts."""
REMEMBERS = 2
"""Seconds that slurmctld remembers what has ended, and up to ten more."""
WAITING = 3
"""Jobs that wait to be let go, at most: a busy machine submits one in some seconds."""
PATIENCE = 240
"""Seconds for what takes one on a machine that does nothing else."""
ALWAYS = Window(0, 2**40)

Row = tuple[int, int, int, int, int]
"""(id, submitted, started, ended, GPUs) of a job that has ended."""


@dataclass
class Accountant:
    """The process, and all that it and those before it said, in order."""

    slurm: SlurmSite
    url: str
    log: Path
    said: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    listener: threading.Thread = field(default_factory=threading.Thread)
    wanted: dict[str, str] = field(default_factory=dict)
    """name -> line, of jobs that were not let go yet."""

    def start(self) -> None:
        self.said.append({"at": time.time(), "what": "starts"})
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.remote.accountant", str(self.slurm.folder)),
                    *(str(self.slurm.port), self.url),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )
        self.listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self.listener.start()
        for line in list(self.wanted.values()):
            self._put(line)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.listener.join()  # its last words come before its successor's first

    def want(self, name: str, gpus: int, seconds: int) -> None:
        self.wanted[name] = f"{name} {gpus} {seconds}\n"
        if self.process is not None:
            self._put(self.wanted[name])

    def since(self, at: float, what: str) -> list[dict[str, Any]]:
        return [one for one in list(self.said) if one["at"] >= at and one["what"] == what]

    def submitted(self) -> list[dict[str, Any]]:
        """What was told of jobs that the site has taken; one of a process that was killed may come later."""
        return [one for one in self.since(0, "result") if "Submitted" in one["of"]]

    def is_done(self) -> bool:
        """Whether all that is wanted was let go, and the site has answered to it."""
        self._lives()
        said = [one["what"] for one in self.said]
        last = len(said) - said[::-1].index("starts")
        return not self.wanted and said[last:].count("lets") == said[last:].count("result")

    def works(self) -> bool:
        """Whether the one that runs has been at the ledger since it began."""
        self._lives()
        said = [one["what"] for one in self.said if one["what"] in ("starts", "wrote")]
        last = said[-1] if said else ""
        return self.process is not None and last == "wrote"

    def holds(self) -> bool:
        """Whether it has told why it holds a job, and has let none go since."""
        said = [one["what"] for one in self.said if one["what"] in ("starts", "holds", "lets")]
        return said[-1] == "holds"

    def _lives(self) -> None:
        """RuntimeError where it has ended by itself."""
        if self.process is not None and (code := self.process.poll()) is not None:
            raise RuntimeError(f"it ended with {code}")

    def _put(self, line: str) -> None:
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            one = json.loads(line)
            if one["what"] == "lets":
                self.wanted.pop(one["name"], None)
            self.said.append(one)


@dataclass(frozen=True)
class Outage:
    """How it begins and ends, and the words of it; "" where there need be none."""

    begin: Callable[[], None]
    end: Callable[[], None]
    words: str = ""


@dataclass
class World:
    slurm: SlurmSite
    accountant: Accountant
    outages: dict[str, Outage]
    jobs: int = 0
    sent: int = 0
    right: int = 0
    """Jobs that the ledger had as the accounting did, when that was looked at last."""

    def send(self, chance: random.Random, count: int) -> None:
        """Jobs that were let go before: some end at once, some later."""
        for _ in range(count):
            self.jobs += 1
            self.sent += 1
            self.slurm.run(
                *("sbatch", f"--account={PROJECT}", "--partition=small-g", f"--job-name=other-{self.jobs}"),
                *(
                    f"--gpus-per-node={chance.choice((1, 2))}",
                    "--cpus-per-task=1",
                    "--mem=1G",
                    "--output=/dev/null",
                ),
                text=f"#!/bin/sh\nsleep {chance.choice((0, 1, 2, 4))}\n",
            )

    def want(self, chance: random.Random) -> None:
        """One more job that is let go once the check lets it; none while enough wait for that."""
        if len(self.accountant.wanted) >= WAITING:
            return
        self.jobs += 1
        self.accountant.want(f"antenna-{self.jobs}", chance.choice((1, 2)), chance.choice((0, 1, 2)))

    def accounted(self) -> dict[tuple[int, int], Row]:
        """The accounting's own jobs; AssertionError while one has not ended."""
        printed = subprocess.run(
            [
                *("sacct", "--allocations", "--duplicates", "--allusers", "--starttime=2020-01-01"),
                *("--parsable2", "--noheader", f"--accounts={PROJECT}"),
                "--format=JobIDRaw,Submit,Start,End,ElapsedRaw,AllocTRES",
            ],
            env={**self.slurm.environment, "SLURM_TIME_FORMAT": "%s"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found = {}
        for line in printed.splitlines():
            id_, submitted, started, ended, elapsed, held = line.split("|")
            assert ended.isdecimal(), f"job {id_} has not ended"
            (gpus,) = (int(one.partition("=")[2]) for one in held.split(",") if one.startswith("gres/gpu="))
            assert int(ended) - int(started) == int(elapsed)
            found[int(id_), int(submitted)] = (int(id_), int(submitted), int(started), int(ended), gpus)
        return found

    def written(self) -> dict[tuple[int, int], Row]:
        """The ledger's; AssertionError while one has not ended."""
        engine, row = create_engine(self.accountant.url, poolclass=NullPool), REMOTE_JOBS.c
        with engine.connect() as connection:
            rows = connection.execute(select(row.id, row.submitted, row.started, row.ended, row.gpus)).all()
        assert all(one.ended for one in rows), f"open: {[one.id for one in rows if not one.ended]}"
        return {(one.id, one.submitted): tuple(one) for one in rows}

    def agree(self) -> bool:
        """Whether every job has ended, and the ledger has it as the accounting does."""
        known = self.sent + len(self.accountant.submitted())
        accounted, written = self.accounted(), self.written()
        assert len(accounted) >= known, "the accounting has yet to be told of jobs"
        assert written.keys() == accounted.keys(), f"missed: {sorted(accounted.keys() - written.keys())}"
        assert written == accounted
        # small-g by LUMI's rule: half a GPU-hour an hour and GPU, where cores and memory are few.
        right = sum((gpus * (end - start) for *_, start, end, gpus in accounted.values()), 0)
        assert self.used() == Fraction(right, 2 * HOUR)
        self.right = len(accounted)
        return True

    def used(self) -> Fraction:
        ledger = RemoteLedger(self.accountant.url)
        try:
            (found,) = ledger.used([ALWAYS])[ALWAYS].values()
            return found
        finally:
            ledger.close()


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmSite]:
    with temporary_slurm(remembers=REMEMBERS) as site:
        yield site


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="antenna-ledger-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, slurm: SlurmSite, folder: Path) -> Iterator[World]:
    slurm.go_right()
    slurm.resume("slurmctld")
    if "slurmdbd" not in slurm.processes:
        slurm.start("slurmdbd")
    with ExitStack() as stack:
        make = {"sqlite": _sqlite, "postgresql": _postgresql}[request.param]
        made = stack.enter_context(volume(folder, 8 if request.param == "sqlite" else 160))
        accountant = Accountant(slurm, "", folder / "log")
        stack.callback(accountant.kill)
        one = World(slurm, accountant, make(stack, made, accountant))
        accountant.start()
        yield one
        if request.node.stash.get(FAILED, False):
            print(*accountant.said[-200:], sep="\n")
            print(slurm.last_words())
            print((folder / "log").read_text(errors="replace")[-3000:])


FAILED = pytest.StashKey[bool]()


def _killed(accountant: Accountant) -> Outage:
    return Outage(accountant.kill, accountant.start)


def _without_accounting(accountant: Accountant) -> Outage:
    """Nobody sees what runs, and once it is back it answers before slurmctld has told it of what ended."""
    slurm = accountant.slurm

    def begin() -> None:
        accountant.kill()
        slurm.stop("slurmdbd")

    def end() -> None:
        slurm.pause("slurmctld")
        slurm.go_wrong("squeue", "always fails")
        slurm.start("slurmdbd")
        if accountant.process is None:
            accountant.start()
        back = time.time()
        eventually(lambda: accountant.since(back, "read"), PATIENCE)
        slurm.go_right()
        slurm.resume("slurmctld")

    return Outage(begin, end)


def _sqlite(_: ExitStack, on: Volume, accountant: Accountant) -> dict[str, Outage]:
    accountant.url = f"sqlite:///{on.at}/ledger.sqlite"

    def fails() -> None:
        on.remount("abort")  # as the kernel does at a fault of the disk, under files that are open

    def mended() -> None:
        accountant.kill()
        on.unmount()
        on.mount()
        on.empty()
        accountant.start()

    def started_read_only() -> None:
        accountant.kill()
        on.remount("ro")
        accountant.start()

    return {
        "accounting-away": _without_accounting(accountant),
        "full": Outage(on.fill, on.empty, "its volume is full"),
        "read-only": Outage(fails, mended, "cannot be written"),
        "read-only-at-start": Outage(started_read_only, lambda: on.remount("rw")),
        "killed": _killed(accountant),
    }


def _postgresql(stack: ExitStack, on: Volume, accountant: Accountant) -> dict[str, Outage]:
    server = stack.enter_context(postgres.cluster(on.at))
    accountant.url = server.url

    def set_read_only(value: str) -> None:
        engine = create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        server.reload()

    def away_at_start() -> None:
        accountant.kill()
        server.stop()
        accountant.start()

    def room() -> None:
        on.empty()
        assert server.process
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(0.5)
            server.stop()
            server.start()

    return {
        "accounting-away": _without_accounting(accountant),
        "full": Outage(on.fill, room),
        "read-only": Outage(lambda: set_read_only("on"), lambda: set_read_only("off"), "it is read-only"),
        "away": Outage(server.stop, server.start, "no connection to its database"),
        "away-at-start": Outage(away_at_start, server.start),
        "killed": _killed(accountant),
    }


def outage(world: World, kind: str, chance: random.Random, *, kill: bool) -> None:
    """One of them, with jobs before, in and after it."""
    one, accountant = world.outages[kind], world.accountant
    world.send(chance, 2)
    world.want(chance)
    time.sleep(chance.uniform(0, 1))
    if not SEQUENCES:
        eventually(accountant.works, PATIENCE)
    # A job that is held since the outage before, for the same reason, is not told of anew.
    told = one.words if accountant.works() and not accountant.holds() and not kill else ""
    begins = time.time()  # what it makes of the ledger may be told, once, before it has begun whole
    one.begin()
    began = time.time()
    lasts = chance.uniform(*LASTS)
    world.send(chance, 3)

    def noticed() -> bool:
        return not told or any(told in said["why"] for said in accountant.since(begins, "holds"))

    while time.time() < began + lasts or not noticed():
        assert time.time() < began + PATIENCE, f"{kind} at {began}: {accountant.said[-20:]}"
        world.want(chance)
        time.sleep(1)
        if kill and kind != "killed" and time.time() > began + lasts / 2:
            accountant.kill()
            accountant.start()
            kill = False
    over = time.time()
    one.end()
    if kind not in ("full", "killed", "accounting-away"):
        assert not [said for said in accountant.since(began + 1, "wrote") if said["at"] < over], kind
    world.send(chance, 1)


def blindly(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Jobs that were let go though the last word of the database was a failure, or before it had any."""
    found, failed_at = [], None
    for one in said:
        match one["what"]:
            case "starts":
                failed_at = one["at"]
            case "wrote":
                failed_at = None
            case "failed":
                failed_at = failed_at or one["at"]
            case "lets" if failed_at is not None and one["judged"] - failed_at > 0.3:
                found.append(one)
    return found


def settled(world: World) -> None:
    """Everything has ended, and the ledger says what the accounting says."""
    eventually(world.accountant.is_done, PATIENCE)
    eventually(world.agree, PATIENCE)
    assert blindly(world.accountant.said) == []


def test_after_every_outage_the_sums_are_the_accountings_and_nothing_was_let_go_blindly(
    world: World, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    eventually(world.accountant.works, PATIENCE)
    kinds, began = sorted(kind for kind in world.outages if ASKED or kind in USUAL), time.monotonic()
    done: dict[str, int] = dict.fromkeys(kinds, 0)
    sequences = range(SEED, SEED + SEQUENCES // 2) if SEQUENCES else range(1)
    request.node.stash[FAILED] = True
    for number in sequences:
        chance = random.Random(number)  # noqa: S311 (no secret)
        for kind in chance.choices(kinds, k=2) if SEQUENCES else kinds:
            outage(world, kind, chance, kill=chance.random() < 0.25)
            done[kind] += 1
        settled(world)
    request.node.stash[FAILED] = False
    assert world.accountant.submitted(), world.accountant.since(0, "result")
    with capsys.disabled():
        jobs, lets = world.right, len(world.accountant.since(0, "lets"))
        print(
            f"\n{len(sequences)} sequences in {time.monotonic() - began:.0f} s, outages {done}: {jobs} jobs, "
            f"all in the ledger as in the accounting; {lets} let go, none on a ledger that was not written"
        )
