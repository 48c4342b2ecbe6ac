"""GPU-seconds are the integral of what was held: random lives of jobs, and a reckoning of their own."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import msgspec
import pytest

from tests.unit.rig import Rig, ended, job, partner, running, stamp, template, workload
from tests.unit.test_collectors_totals import ACCOUNT

HISTORIES = int(os.environ.get("ANTENNA_TEST_HISTORIES", "24"))
FAMILY = "antenna_gpu_seconds_total"
FIRST = 2
"""The version of the first change."""


@dataclass
class Slice:
    """A Workload: what Kueue keeps of it."""

    uid: str
    count: int
    created: int
    admitted: int | None = None
    given: int = 0
    """The pods that it was admitted with."""
    reclaimed: int = 0
    past: int = 0
    preempted: int = 0
    released: int | None = None
    finished: str = ""
    ended: int | None = None

    @property
    def held(self):
        if self.admitted is None or self.finished:
            return 0
        return max(0, min(self.given, self.count - self.reclaimed))


@dataclass
class Life:
    """One job, by dice: its objects as they change, and beside them the GPUs that it holds."""

    dice: random.Random
    name: str
    at: int
    gpus: int = 1
    pods: int = 1
    done: int = 0
    elastic: bool = False
    changes: list = field(default_factory=list)
    """(time, stream, kind, object)."""
    held: list = field(default_factory=list)
    """(time, GPUs) from then on."""
    slices: list = field(default_factory=list)
    over: bool = False

    def __post_init__(self):
        self.gpus, self.pods = self.dice.randint(1, 8), self.dice.randint(1, 6)
        self.wanted = self.pods
        self.created = self.at
        self.elastic = self.dice.random() < 0.4
        self.partial = not self.elastic and self.dice.random() < 0.3
        self.tell_job("ADDED", suspend=True)
        self.slices.append(Slice(f"{self.name}-0", self.pods, self.at))
        self.tell(self.slices[-1], "ADDED")

    @property
    def now(self):
        return self.slices[-1]

    def run(self):
        while not self.over:
            self.at += self.dice.choice((0, 1, 2, 17, 300))
            self.dice.choice(self.may())()
            self.held.append((self.at, self.gpus * sum(s.held for s in self.slices)))
        return self

    def may(self):
        """What may happen next."""
        if self.now.admitted is None:
            return [self.admit] * 4 + [self.delete]
        steps = [self.preempt, self.deactivate, self.finish, self.delete]
        if self.elastic:
            steps += [self.grow] * 3 + ([self.shrink] * 3 if self.now.count - self.now.reclaimed > 1 else [])
        elif self.now.held > 1:
            steps += [self.succeed] * 4
        return steps

    def admit(self):
        w = self.now
        w.given = w.count - w.reclaimed
        if self.partial and w.given > 1:
            w.given = self.dice.randint(1, w.given)
        w.admitted, w.released = self.at, None
        self.tell(w)
        self.tell_job(suspend=False)

    def release(self, *, forgets=False):
        w = self.now
        w.past = 0 if forgets else w.past + self.at - w.admitted
        w.admitted, w.released = None, self.at

    def preempt(self):
        self.tell_job(suspend=True)
        self.release()
        self.now.preempted += 1
        self.tell(self.now)

    def deactivate(self):
        """Kueue forgets the time of one that it deactivates, and its owner lets it queue again."""
        self.tell_job(suspend=True)
        self.release(forgets=True)
        self.tell(self.now)

    def succeed(self):
        """A pod ends, and Kueue gives its quota to others."""
        self.done += 1
        self.now.reclaimed += 1
        self.tell_job(suspend=False)
        self.tell(self.now)

    def shrink(self):
        self.now.count -= 1
        self.wanted = self.now.count
        self.tell_job(suspend=False)
        self.tell(self.now)

    def grow(self):
        """Another Workload takes the place of this one: first it waits, then it is admitted."""
        old = self.now
        self.wanted = old.count + self.dice.randint(1, 3)
        new = Slice(f"{self.name}-{len(self.slices)}", self.wanted, self.at)
        self.tell_job(suspend=False)
        self.tell(new, "ADDED")
        # Until it is admitted the job goes on with what it has.
        self.at += self.dice.choice((0, 3, 40))
        new.admitted, new.given = self.at, new.count
        self.tell(new)
        old.finished, old.ended = "WorkloadSliceReplaced", self.at
        self.tell(old)
        self.slices.append(new)

    def finish(self):
        self.end("Complete", self.at)
        self.now.finished, self.now.ended = "Succeeded", self.at
        self.tell(self.now)
        if self.dice.random() < 0.5:
            self.go()

    def delete(self):
        kind = "DELETED"
        self.tell_job(kind, suspend=self.now.admitted is None)
        self.now.finished, self.now.ended = "OwnerNotFound", self.at
        self.tell(self.now)
        self.go(job_too=False)
        self.over = True

    def go(self, *, job_too=True):
        if job_too:
            self.end("Complete", self.at, "DELETED")
        for w in self.slices:
            self.tell(w, "DELETED")

    def end(self, outcome, at, kind="MODIFIED"):
        obj = ended(self.name, gpus=self.gpus, at=at, outcome=outcome, created=self.created, **self.spec())
        self.changes.append((self.at, "jobs", kind, obj))
        self.over = True

    def spec(self):
        return {"parallelism": self.wanted, **({} if self.elastic else {"completions": self.pods})}

    def tell_job(self, kind="MODIFIED", *, suspend):
        common = {"gpus": self.gpus, "created": self.created, **self.spec()}
        made = job if suspend else running
        obj = made(self.name, **common)
        obj["status"]["succeeded"] = self.done
        self.changes.append((self.at, "jobs", kind, obj))

    def tell(self, w, kind="MODIFIED"):
        obj = workload(
            self.name,
            gpus=self.gpus,
            admitted=w.admitted,
            pods=w.given if w.admitted is not None else w.count,
            past=w.past,
            evictions={"Preempted": w.preempted} if w.preempted else None,
        )
        metadata, status = obj["metadata"], obj["status"]
        metadata |= {
            "name": w.uid,
            "uid": w.uid,
            "creationTimestamp": stamp(w.created),
            "managedFields": [{"manager": "kueue", "time": stamp(self.at)}],
        }
        (pods,) = obj["spec"]["podSets"]
        pods |= {"count": w.count, "template": template(self.gpus)}
        if self.partial:
            pods["minCount"] = 1
        if w.reclaimed:
            status["reclaimablePods"] = [{"name": "main", "count": w.reclaimed}]
        if w.released is not None:
            status["conditions"].append(
                {"type": "Admitted", "status": "False", "lastTransitionTime": stamp(w.released)}
            )
        if w.finished:
            status["conditions"].append(
                {
                    "type": "Finished",
                    "status": "True",
                    "reason": w.finished,
                    "lastTransitionTime": stamp(w.ended),
                }
            )
        self.changes.append((self.at, "workloads", kind, obj))

    def integral(self, until):
        total, since, gpus = 0, 0, 0
        for at, more in [*self.held, (until, 0)]:
            end = min(at, until)
            total, since, gpus = total + gpus * (end - since), end, more
        return total


class Operators:
    """One after another over the same changes, with a ledger that outlives them."""

    def __init__(self, where, changes, dice):
        self.where, self.changes, self.dice = where, changes, dice
        self.at, self.rig, self.shown = 0, None, 0.0
        self.start(0)

    def start(self, until):
        """One that lists when ``until`` changes have happened, and is told of those that it missed."""
        if self.rig:
            self.rig.ledger.close()
        rig = self.rig = Rig(self.where)
        rig.now = self.changes[until - 1][0] + 0.5 if until else 0
        there = {"jobs": {}, "workloads": {}}
        for _, name, kind, obj in self.changes[:until]:
            there[name][obj["metadata"]["uid"]] = obj
            if kind == "DELETED":
                del there[name][obj["metadata"]["uid"]]
        rig.lists(told=False, **partner("a"), **{n: [*objects.values()] for n, objects in there.items()})
        for name in there:
            stream = rig.streams[name]
            if stream.past.since:
                for number, (_, of, kind, obj) in enumerate(self.changes[:until], start=FIRST):
                    if of == name and number > stream.past.since:
                        stream.past.reach(number)
                        stream.past.missed(kind, msgspec.convert(obj, stream.source.decode))
            stream.past.reach(FIRST + until - 1)
            stream.past.caught_up()
        self.at = until

    def watch(self, until):
        for number, (at, name, kind, obj) in enumerate(self.changes[self.at : until], start=FIRST + self.at):
            self.rig.now = max(self.rig.now, at + 0.9 * self.dice.random())
            self.rig.streams[name].past.reach(number)
            (self.rig.delete if kind == "DELETED" else self.rig.apply)(name, obj)
        self.at = until

    def commit(self):
        self.rig.commit()
        now = self.rig.figure(FAMILY, **ACCOUNT) or 0.0
        assert now >= self.shown, "a counter went back"
        self.shown = now
        return now


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "ledger.sqlite").lists(**partner("a"))


def held(rig, at):
    """What is shown once that moment is far enough behind."""
    rig.now = at
    rig.commit()
    return rig.figure(FAMILY, **ACCOUNT)


def slice_of(name, uid, *, pods, admitted=None, finished="", at=0):
    obj = workload(name, gpus=1, pods=pods, admitted=admitted)
    obj["metadata"] |= {"name": uid, "uid": uid, "creationTimestamp": stamp(at)}
    if finished:
        over = {"type": "Finished", "status": "True", "reason": finished, "lastTransitionTime": stamp(at)}
        obj["status"]["conditions"].append(over)
    return obj


def test_an_elastic_job_that_grows_keeps_what_it_held(rig):
    """In Kueue's order: the larger Workload is admitted, then the smaller one is finished."""
    rig.apply("jobs", running("e", parallelism=2))
    rig.apply("workloads", slice_of("e", "w1", pods=2, admitted=0))
    rig.now = 100
    rig.apply("jobs", running("e", parallelism=4))
    rig.apply("workloads", slice_of("e", "w2", pods=4, at=99))
    rig.apply("workloads", slice_of("e", "w2", pods=4, at=99, admitted=100))
    rig.apply("workloads", slice_of("e", "w1", pods=2, admitted=0, finished="WorkloadSliceReplaced", at=100))
    assert held(rig, 202) == 100 * 2 + 100 * 4


def test_an_elastic_job_that_grew_twice_while_nobody_looked_is_held_to_its_workloads(rig, tmp_path):
    """The API server has forgotten what happened, and Kueue's Workloads have not."""
    rig.apply("jobs", running("e", parallelism=2))
    rig.apply("workloads", slice_of("e", "w1", pods=2, admitted=0))
    rig.now = 10
    rig.commit()
    rig.ledger.close()
    later = Rig(tmp_path / "ledger.sqlite")
    later.now = 3000
    later.lists(
        **partner("a"),
        jobs=[running("e", parallelism=8)],
        workloads=[
            slice_of("e", "w3", pods=8, at=199, admitted=200),
            slice_of("e", "w1", pods=2, admitted=0, finished="WorkloadSliceReplaced", at=100),
            slice_of("e", "w2", pods=4, admitted=100, finished="WorkloadSliceReplaced", at=200),
        ],
    )
    assert held(later, 3002) == 100 * 2 + 100 * 4 + 2800 * 8
    later.ledger.close()


def test_a_job_that_was_content_with_fewer_gpus_held_no_more(rig):
    rig.apply("jobs", running("p", gpus=1, parallelism=2))
    rig.apply("workloads", workload("p", pods=2, admitted=0))
    rig.now = 100
    rig.apply("jobs", job("p", parallelism=4))
    rig.apply("workloads", workload("p", pods=4, past=100, waits="no quota", evictions={"Preempted": 1}))
    assert held(rig, 300) == 200


def test_what_was_given_back_is_not_billed(rig):
    rig.apply("jobs", running("s", parallelism=4, completions=4))
    rig.apply("workloads", workload("s", pods=4, admitted=0))
    rig.now = 100
    rig.apply("workloads", workload("s", pods=4, admitted=0, reclaimablePods=[{"name": "main", "count": 3}]))
    assert held(rig, 1102) == 4 * 100 + 1000


def test_a_job_beside_the_queues_holds_nothing_while_it_is_suspended(rig):
    rig.apply("jobs", running("u", gpus=2, queue=""))
    rig.now = 50
    paused = {"type": "Suspended", "status": "True", "lastTransitionTime": stamp(49)}
    rig.apply("jobs", job("u", gpus=2, queue="", status={"conditions": [paused]}))
    assert held(rig, 200) == 2 * 49
    rig.apply("jobs", running("u", gpus=2, queue="", started=200))
    assert held(rig, 212) == 2 * (49 + 10)


def test_of_pods_that_have_succeeded_a_job_beside_the_queues_holds_nothing(rig):
    rig.apply("jobs", running("u", gpus=2, queue="", parallelism=3, completions=3))
    rig.now = 50
    status = {"startTime": stamp(0), "active": 1, "ready": 1, "succeeded": 2}
    rig.apply("jobs", job("u", gpus=2, queue="", suspend=False, parallelism=3, completions=3, status=status))
    assert held(rig, 102) == 6 * 50 + 2 * 50


def lives(dice):
    found = [Life(dice, f"j{n}", dice.randrange(50)).run() for n in range(dice.randint(1, 3))]
    changes = [change for life in found for change in life.changes]
    return found, sorted(changes, key=lambda change: change[0])


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_gpu_seconds_are_the_integral_of_what_was_held_whatever_happens(seed, tmp_path):
    dice = random.Random(seed)  # noqa: S311
    found, changes = lives(dice)
    operators = Operators(tmp_path / "ledger.sqlite", changes, dice)
    operators.commit()
    while operators.at < len(changes):
        operators.watch(min(len(changes), operators.at + dice.randint(1, 4)))
        if dice.random() < 0.5:
            operators.commit()
        if dice.random() < 0.4:
            operators.start(min(len(changes), operators.at + dice.randrange(4)))
            operators.commit()
    operators.rig.now += 1000
    assert operators.commit() == sum(life.integral(operators.rig.now) for life in found)
    operators.rig.ledger.close()
