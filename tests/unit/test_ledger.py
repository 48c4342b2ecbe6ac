"""The ledger: a row a job whatever happens to the process, and sums that follow from the rows."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from textwrap import dedent

import pytest
from sqlalchemy.exc import OperationalError

from operators.ledger.entry import Entry
from operators.ledger.ledger import Durations, Ledger

BOUNDS = (10, 100)


@pytest.fixture
def ledger(tmp_path):
    one = Ledger(tmp_path / "ledger.sqlite")
    yield one
    one.close()


def entry(uid, **others):
    who = {"queue": "q", "tenant": "t", "ecosystem": "federal", "sector": "agri-food"}
    return Entry(uid=uid, namespace="n", job=uid, created=100, **{**who, **others})


def over(uid, **others):
    of = {"gpus": 2, "wait": 5, "run": 50, "ran": 50, "outcome": "succeeded", "finished": 155, "gone": True}
    return entry(uid, **{**of, **others})


def test_an_entry_comes_back_as_it_was_written(ledger):
    one = entry("a", gpus=3, wait=7, running_since=107, past=4, restarts=1, evictions=(("Preempted", 2),))
    ledger.commit([one], {}, seen=200.5)
    assert ledger.present() == [one]
    assert ledger.seen() == 200.5


def test_writing_again_changes_nothing(ledger):
    for _ in range(3):
        ledger.commit([over("a", evictions=(("Preempted", 2),))], {("t", "s", "e"): 7.5}, seen=1.0)
    sums = ledger.settled(BOUNDS)
    assert sums.finished == {("q", "t", "succeeded"): 1}
    assert sums.evictions == {("q", "t", "Preempted"): 2}
    assert ledger.marks() == {("t", "s", "e"): 7.5}


def test_a_job_keeps_one_row_that_its_last_entry_tells(ledger):
    ledger.commit([entry("a", running_since=110)], {}, seen=1.0)
    ledger.commit([over("a")], {}, seen=2.0)
    assert ledger.present() == []
    assert ledger.settled(BOUNDS).gpu_seconds == {("t", "agri-food", "federal"): 100}


def test_sums_are_by_whose_the_jobs_were(ledger):
    ledger.commit(
        [
            over("a", wait=5, run=50),
            over("b", wait=50, run=500, outcome="failed", restarts=2),
            over("c", tenant="u", wait=None, run=None, ran=0, outcome="cancelled"),
            entry("d", restarts=9),
        ],
        {},
        seen=1.0,
    )
    sums = ledger.settled(BOUNDS)
    assert sums.finished == {
        ("q", "t", "succeeded"): 1,
        ("q", "t", "failed"): 1,
        ("q", "u", "cancelled"): 1,
    }
    assert sums.restarts[("q", "t")] == 2
    assert sums.waits[("q", "t")] == Durations(((10, 1), (100, 1)), 55)
    assert sums.runs[("q", "t")] == Durations(((100, 1), (101, 1)), 550)
    assert ("q", "u") not in sums.waits


def test_durations_are_told_apart_at_the_very_bounds(ledger):
    bounds = (0, 3, 7, 8, 20)
    waits = range(25)
    ledger.commit([over(str(wait), wait=wait) for wait in waits], {}, seen=1.0)
    cells = dict(ledger.settled(bounds).waits[("q", "t")].cells)
    assert cells == {0: 1, 3: 3, 7: 4, 8: 1, 20: 12, 21: 4}
    assert ledger.settled(bounds).waits[("q", "t")].total == sum(waits)


def test_what_waits_is_taken_once_and_the_last_word_counts(ledger):
    ledger.write(entry("a", gpus=1))
    ledger.write(entry("a", gpus=2))
    taken = ledger.take()
    assert [one.gpus for one in taken] == [2]
    assert ledger.take() == []
    ledger.write(entry("a", gpus=3))
    ledger.give_back([*taken, entry("b")])
    assert {one.uid: one.gpus for one in ledger.take()} == {"a": 3, "b": 0}


def test_a_tick_that_fails_is_tried_again(ledger):
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 1:
            raise OperationalError("commit", {}, Exception("disk is full"))

    ledger.start(tick, seconds=0.01)
    deadline = time.monotonic() + 60
    while len(ticks) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_evictions_of_former_workloads_and_positions_come_back(ledger):
    one = entry("a", evictions=(("NodeFailures", 1), ("Preempted", 3)), evictions_before=(("Preempted", 2),))
    ledger.commit([one], {}, seen=1.0, positions={"jobs": 7, "workloads": 2**40})
    assert ledger.present() == [one]
    assert ledger.positions() == {"jobs": 7, "workloads": 2**40}
    ledger.commit([], {}, seen=2.0, positions={"jobs": 9})
    assert ledger.positions()["jobs"] == 9


def test_a_ledger_of_an_earlier_version_is_taken_on(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript(FIRST_VERSION)
    ledger = Ledger(path)
    assert ledger.present() == [entry("a", gpus=1, running_since=110, evictions=(("Preempted", 2),))]
    assert ledger.positions() == {}
    ledger.commit([over("a", workload="w")], {}, seen=2.0, positions={"jobs": 1})
    assert ledger.settled(BOUNDS).finished == {("q", "t", "succeeded"): 1}
    ledger.close()
    Ledger(path).close()


FIRST_VERSION = """
CREATE TABLE jobs (uid TEXT PRIMARY KEY, namespace TEXT NOT NULL, job TEXT NOT NULL, queue TEXT NOT NULL,
  tenant TEXT NOT NULL, ecosystem TEXT NOT NULL, sector TEXT NOT NULL, created BIGINT NOT NULL,
  gpus INTEGER NOT NULL, wait BIGINT, running_since BIGINT, earlier BIGINT NOT NULL, past BIGINT NOT NULL,
  ran BIGINT NOT NULL, run BIGINT, outcome TEXT, finished BIGINT, restarts INTEGER NOT NULL,
  gone BOOLEAN NOT NULL);
CREATE TABLE evictions (uid TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (uid, reason));
INSERT INTO jobs VALUES ('a', 'n', 'a', 'q', 't', 'federal', 'agri-food', 100, 1, NULL, 110, 0, 0, 0, NULL,
  NULL, NULL, 0, 0);
INSERT INTO evictions VALUES ('a', 'Preempted', 2);
"""


def test_what_was_committed_survives_a_process_that_is_killed(tmp_path):
    program = dedent(
        """
        import sys
        from pathlib import Path
        from operators.ledger.entry import Entry
        from operators.ledger.ledger import Durations, Ledger
        ledger = Ledger(Path(sys.argv[1]))
        whose = dict(queue="q", tenant="t", ecosystem="e", sector="s")
        for number in range(10**6):
            entry = Entry(uid=str(number), namespace="n", job="j", created=0, gone=True,
                          outcome="succeeded", **whose)
            ledger.commit([entry], {("t", "s", "e"): float(number)}, seen=float(number))
            print(number, flush=True)
        """
    )
    path = tmp_path / "ledger.sqlite"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    told = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split("\n")
    told += [int(line) for line in rest[:-1]]
    process.wait()
    again = Ledger(path)
    rows = again.settled(BOUNDS).finished[("q", "t", "succeeded")]
    # What was being written when it was killed is there whole or not at all.
    assert told[-1] + 1 <= rows <= told[-1] + 2
    assert again.seen() == again.marks()[("t", "s", "e")] == float(rows - 1)
    again.close()
