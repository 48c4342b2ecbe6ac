"""What happened while no operator ran is made up for, in its order, as if one had looked on."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.unit.rig import Rig, deleted, ended, job, orphaned, partner, running, workload
from tests.unit.test_collectors_totals import ACCOUNT, PLACE, finished, totals

LIFE = (
    ("jobs", "ADDED", job("one", gpus=2)),
    ("workloads", "ADDED", workload("one", gpus=2)),
    ("workloads", "MODIFIED", workload("one", gpus=2, admitted=10)),
    ("jobs", "MODIFIED", running("one", gpus=2, started=10)),
    ("workloads", "MODIFIED", workload("one", gpus=2, waits="x", past=5, evictions={"Preempted": 1})),
    ("jobs", "MODIFIED", job("one", gpus=2, status={"failed": 1})),
    ("workloads", "MODIFIED", workload("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1})),
    ("jobs", "MODIFIED", running("one", gpus=2, started=90)),
)
SUCCESS = (
    *LIFE,
    ("jobs", "MODIFIED", ended("one", gpus=2, started=90, at=100, failed=1)),
    (
        "workloads",
        "MODIFIED",
        workload("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1}, finished=True),
    ),
    ("jobs", "DELETED", ended("one", gpus=2, started=90, at=100, failed=1)),
    (
        "workloads",
        "DELETED",
        workload("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1}, finished=True),
    ),
)
CANCELLED = (
    *LIFE,
    ("jobs", "DELETED", running("one", gpus=2, started=90)),
    (
        "workloads",
        "MODIFIED",
        orphaned("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1}, at=100),
    ),
    (
        "workloads",
        "DELETED",
        orphaned("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1}, at=100),
    ),
)
FOREGROUND = (
    *LIFE,
    ("jobs", "MODIFIED", deleted(running("one", gpus=2, started=90), at=99)),
    (
        "workloads",
        "DELETED",
        deleted(workload("one", gpus=2, admitted=90, past=5, evictions={"Preempted": 1}), at=100),
    ),
    ("jobs", "DELETED", deleted(running("one", gpus=2, started=90), at=99)),
)
LIVES = {"succeeded": SUCCESS, "cancelled": CANCELLED, "cancelled in the foreground": FOREGROUND}

FIRST = 2
"""The version of the first change: a list of nothing has one already."""


class Operators:
    """One after another over one cluster's changes, each with what the server knows when it begins."""

    def __init__(self, where, changes):
        self.where, self.changes = where, changes
        self.at = 0

    def start(self, until):
        """One that lists when ``until`` changes have happened."""
        rig = Rig(self.where)
        there = {"jobs": {}, "workloads": {}}
        for name, kind, obj in self.changes[:until]:
            there[name][obj["metadata"]["uid"]] = obj
            if kind == "DELETED":
                del there[name][obj["metadata"]["uid"]]
        rig.lists(
            told=False, **partner("a"), **{name: [*objects.values()] for name, objects in there.items()}
        )
        for name in there:
            stream = rig.streams[name]
            past = stream.past
            if past.since:
                for number, (of, kind, obj) in enumerate(self.changes[:until], start=FIRST):
                    if of == name and number > past.since:
                        past.reach(number)
                        past.missed(kind, msgspec.convert(obj, stream.source.decode))
            past.reach(FIRST + until - 1)
            past.caught_up()
        self.at = until
        rig.now = 12
        return rig

    def watch(self, rig, until):
        """Tell it of the changes until then."""
        for number, (name, kind, obj) in enumerate(self.changes[self.at : until], start=FIRST + self.at):
            rig.streams[name].past.reach(number)
            (rig.delete if kind == "DELETED" else rig.apply)(name, obj)
        self.at = until


def whole(where, changes):
    """What an operator shows that has seen it all."""
    operators = Operators(where, changes)
    rig = operators.start(0)
    operators.watch(rig, len(changes))
    rig.commit()
    return rig


@pytest.mark.parametrize("life", LIVES)
def test_whenever_operators_die_and_begin_the_totals_are_those_of_one_that_lived(life, tmp_path):
    changes = LIVES[life]
    one = whole(tmp_path / "whole.sqlite", changes)
    expected = totals(one)
    assert one.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * (5 + 10)
    assert one.figure("antenna_job_wait_seconds_sum", **PLACE) == 10
    assert one.figure("antenna_job_run_seconds_sum", **PLACE) == 10
    assert finished(one, life.split()[0]) == 1
    for died in range(len(changes)):
        for begins in {died, min(died + 3, len(changes))}:
            operators = Operators(tmp_path / f"{died}-{begins}.sqlite", changes)
            first = operators.start(0)
            first.commit()
            operators.watch(first, died)
            first.commit()
            first.ledger.close()
            second = operators.start(begins)
            operators.watch(second, len(changes))
            second.commit()
            assert totals(second) == expected, f"died at {died}, the next began at {begins}"
            second.ledger.close()


def test_changes_that_come_before_all_is_made_up_for_count_in_their_order(tmp_path):
    expected = totals(whole(tmp_path / "whole.sqlite", SUCCESS))
    operators = Operators(tmp_path / "ledger.sqlite", SUCCESS)
    operators.start(1).commit()
    rig = Rig(tmp_path / "ledger.sqlite")
    rig.now = 1000
    rig.lists(told=False, **partner("a"), jobs=[SUCCESS[0][2]], workloads=[SUCCESS[1][2]])
    operators.at = 2
    operators.watch(rig, len(SUCCESS))
    assert rig.figure("antenna_queue_jobs", **PLACE, state="succeeded") == 0
    rig.commit()
    assert rig.shown("antenna_jobs_finished_total") == {}
    for name in ("jobs", "workloads"):
        rig.streams[name].past.caught_up()
    rig.commit()
    assert totals(rig) == expected


def test_a_job_that_came_and_went_unseen_counts_from_what_is_still_told(tmp_path):
    operators = Operators(tmp_path / "ledger.sqlite", SUCCESS)
    operators.start(0).commit()
    rig = operators.start(len(SUCCESS))
    rig.commit()
    assert totals(rig) == totals(whole(tmp_path / "whole.sqlite", SUCCESS))


def test_what_the_server_no_longer_knows_ends_as_it_was_last_seen(tmp_path):
    operators = Operators(tmp_path / "ledger.sqlite", SUCCESS)
    first = operators.start(0)
    operators.watch(first, len(LIFE))
    first.now = 95
    first.commit()
    rig = Rig(tmp_path / "ledger.sqlite").lists(**partner("a"))
    rig.now = 1000
    rig.commit()
    assert [finished(rig, o) for o in ("succeeded", "failed", "cancelled", "unknown")] == [0, 0, 0, 1]
    assert rig.figure("antenna_gpu_seconds_total", **ACCOUNT) == 2 * (5 + 95 - 90)
    assert rig.figure("antenna_job_wait_seconds_sum", **PLACE) == 10
    assert rig.shown("antenna_job_run_seconds_sum") == {}


def test_random_deaths_change_no_total(tmp_path):
    dice = random.Random(11)  # noqa: S311
    lives = [
        [(n, k, renamed(o, name)) for n, k, o in life]
        for name, life in zip("abc", LIVES.values(), strict=True)
    ]
    changes = []
    while any(lives):
        changes.append(dice.choice([life for life in lives if life]).pop(0))
    expected = totals(whole(tmp_path / "whole.sqlite", changes))
    for number in range(12):
        operators = Operators(tmp_path / f"{number}.sqlite", changes)
        rig = operators.start(0)
        rig.commit()
        for moment in sorted(dice.choices(range(len(changes)), k=8)):
            operators.watch(rig, max(operators.at, moment))
            if dice.random() < 0.7:
                rig.commit()
            rig.ledger.close()
            rig = operators.start(min(len(changes), max(operators.at, moment + dice.randrange(5))))
        operators.watch(rig, len(changes))
        rig.commit()
        assert totals(rig) == expected
        rig.ledger.close()


def renamed(obj, name):
    """The same, of another job."""
    text = (
        msgspec.json.encode(obj)
        .decode()
        .replace("uid-one", f"uid-{name}")
        .replace("workload-one", f"workload-{name}")
    )
    return msgspec.json.decode(text)
