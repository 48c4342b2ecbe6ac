"""First lists that are told page by page: nothing shows before its time, and all is as if told at once."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.unit.rig import Rig, ended, job, partner, read, running, workload


def early(rig, name, *objects):
    stream = rig.streams[name]
    (listener,) = stream.listeners
    listener.early([read(stream, obj) for obj in objects])


def known(rig):
    """Whose the queues are; of work nothing was listed."""
    for name, objects in partner("a").items():
        rig.relist(name, *objects)
    return rig


def text(rig):
    return b"".join(rig.store.render(False)).splitlines()


def series_of_work(rig):
    return [line for line in text(rig) if line.startswith((b"antenna_job", b"antenna_queue"))]


@pytest.fixture
def rig(tmp_path):
    return known(Rig(tmp_path / "ledger.sqlite"))


def test_nothing_of_work_shows_before_all_of_it_is_listed(rig):
    early(rig, "jobs", running("train"), job("alone", queue=""))
    early(rig, "workloads", workload("train", admitted=3))
    rig.relist("jobs", running("train"), job("alone", queue=""))
    assert series_of_work(rig) == []
    rig.relist("workloads", workload("train", admitted=3))
    assert rig.figure("antenna_job_state", job_name="train", state="running") == 1
    assert rig.figure("antenna_job_state", job_name="alone", state="pending") == 1
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a") == 1


def test_what_went_before_its_list_was_whole_is_not_there(rig):
    early(rig, "jobs", running("train"), running("other"), job("third"))
    early(rig, "workloads", workload("train", admitted=3), workload("other", admitted=3), workload("third"))
    rig.relist("jobs", running("other"), job("third"))
    rig.relist("workloads", workload("other", admitted=3))
    assert {dict(labels)["job_name"] for labels in rig.shown("antenna_job_info")} == {"other", "third"}
    assert rig.figure("antenna_queue_jobs", queue="cq-a", state="running") == 1
    assert rig.figure("antenna_queue_gpus_reserved", queue="cq-a") == 1


def test_a_queue_that_changes_hands_meanwhile_is_counted_where_it_is_now(rig):
    early(rig, "jobs", running("train"))
    early(rig, "workloads", workload("train", admitted=3))
    for name, objects in partner("b").items():
        rig.apply(name, *objects)
    moved = {"metadata": {"name": "default", "namespace": "tenant-a"}, "spec": {"clusterQueue": "cq-b"}}
    rig.apply("localqueues", moved)
    rig.relist("jobs", running("train"))
    rig.relist("workloads", workload("train", admitted=3))
    assert rig.figure("antenna_job_info", job_name="train", queue="cq-b") == 1
    assert rig.figure("antenna_queue_jobs", queue="cq-b", tenant="a", state="running") == 1


@pytest.mark.parametrize("seed", range(20))
def test_pages_and_changes_in_any_order_end_in_what_is_told_at_once(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 (a repeatable order)
    names = [f"j{number}" for number in range(12)]
    one, other = Rig(tmp_path / "one.sqlite"), Rig(tmp_path / "other.sqlite")
    there = {"jobs": {}, "workloads": {}}
    pages = {name: chance.sample(names, 10) for name in there}

    def make(name, of):
        if name == "workloads":
            return some_workload(chance, of)
        return some_job(chance, of)

    def a_page(name):
        page = {of: make(name, of) for of in pages[name][:3]}
        del pages[name][:3]
        there[name] |= page
        early(one, name, *page.values())

    def the_list(name):
        # It was broken off and begun anew meanwhile: some are not as they were, and one is gone.
        there[name] |= {of: make(name, of) for of in chance.sample(sorted(there[name]), 2)}
        del there[name][chance.choice(sorted(there[name]))]
        one.relist(name, *there[name].values())

    def changes(name):
        for of in chance.sample(sorted(there[name]), 3):
            there[name][of] = make(name, of)
            one.apply(name, there[name][of])
        one.delete(name, there[name].pop(chance.choice(sorted(there[name]))))

    places = partner("a")
    left = [*places, *there]
    while left:
        name = chance.choice(left)
        if pages.get(name):
            a_page(name)
            continue
        left.remove(name)
        if name in places:
            one.relist(name, *places[name])
        else:
            the_list(name)
            changes(name)
    other.lists(told=False, **places, **{name: objects.values() for name, objects in there.items()})
    assert told(one) == told(other)
    assert any(b"antenna_job_info" in line for line in told(one))


def some_job(chance, name):
    make = chance.choice((job, running, partial(ended, at=9)))
    return make(name, gpus=chance.randint(1, 3), queue=chance.choice(("default", "default", "none", "")))


def some_workload(chance, name):
    admitted = chance.choice((None, 2, 4))
    return workload(name, gpus=chance.randint(1, 3), admitted=admitted, waits="" if admitted else "no")


def told(rig):
    """All but the figures of queues that are 0: those that were above it once are still there."""
    return {line for line in text(rig) if not (line.startswith(b"antenna_queue_") and line.endswith(b" 0"))}
