"""Protobuf says what text says, of every family, and has each histogram in both shapes."""

from __future__ import annotations

import gzip
import math
import random
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES, family
from operators.exposition import metrics_pb2 as pb
from operators.exposition.store import Store
from operators.histogram import SCHEMA, Histogram, Observations
from tests.unit.messages import figures, native, read_messages
from tests.unit.rig import Rig, ended, job, partner, running, workload
from tests.unit.test_exposition_hostile import JOBS, REASONS, hostile
from tests.unit.test_exposition_store import DONE, GPUS, ROWS, USED, WAIT
from tests.unit.test_exposition_store import job as put

WAITS, RUNS = "antenna_job_wait_seconds", "antenna_job_run_seconds"


def read(store, *, packed=False):
    data = b"".join(store.render_protobuf(compressed=packed))
    return read_messages(gzip.decompress(data) if packed else data)


def text(store):
    """{(sample name, labels): value} of the text format, by Prometheus' own parser."""
    families = read_text(b"".join(store.render(False)).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for one in families for s in one.samples}


@pytest.fixture
def busy(tmp_path):
    """An operator that has seen something of everything."""
    jobs = [job("one"), ended("two", at=75, started=5, failed=2), running("three", gpus=2, started=40)]
    rig = Rig(tmp_path / "ledger.sqlite").lists(**partner("a"), jobs=jobs)
    rig.apply("workloads", workload("one", waits="insufficient unused quota"))
    rig.apply("workloads", workload("two", admitted=5, finished=True, evictions={"Preempted": 1}))
    rig.apply("workloads", workload("three", gpus=2, admitted=40))
    rig.now = 100
    rig.commit()
    return rig


@pytest.mark.parametrize("packed", [False, True])
def test_every_family_is_as_in_the_text(busy, packed):
    # The scrapes themselves are not counted: no server is asked.
    found = read(busy.store, packed=packed)
    assert figures(found) == text(busy.store)
    assert len(found) > 25
    types = {"counter": pb.COUNTER, "gauge": pb.GAUGE, "info": pb.GAUGE, "histogram": pb.HISTOGRAM}
    for name, one in found.items():
        row = family(name)
        assert (one.type, one.help, one.unit) == (types[row.type], row.help, row.unit)
        for metric in one.metric:
            assert tuple(pair.name for pair in metric.label) == row.labels


def test_families_come_in_the_order_of_the_catalog(busy):
    order = [row.name for row in FAMILIES]
    names = list(read(busy.store))
    assert names == sorted(names, key=order.index)


def test_a_histogram_is_there_in_both_shapes(busy):
    found = read(busy.store)
    (waits,) = (metric.histogram for metric in found[WAITS].metric)
    assert (waits.schema, waits.sample_count, waits.sample_sum) == (SCHEMA, 2, 45)
    assert 0 < waits.zero_threshold < 1
    assert waits.zero_count == 0
    assert [bucket.cumulative_count for bucket in waits.bucket if bucket.upper_bound in (5, 15, 60)] == [
        1,
        1,
        2,
    ]
    # 5 s and 40 s: the native buckets that end at the first eighth of a power of two from there.
    assert native(waits) == {math.ceil(math.log2(5) * 8): 1, math.ceil(math.log2(40) * 8): 1}
    (runs,) = (metric.histogram for metric in found[RUNS].metric)
    assert native(runs) == {math.ceil(math.log2(70) * 8): 1}


def test_a_histogram_that_has_nothing_yet_is_native_too():
    store = Store(ROWS)
    store.histogram(WAIT.name, ("imec",), Observations().now())
    (metric,) = read(store)[WAIT.name].metric
    # That it has a zero bucket is how Prometheus tells it from a classic one.
    assert metric.histogram.zero_threshold > 0
    assert (native(metric.histogram), metric.histogram.sample_count) == ({}, 0)


@pytest.mark.parametrize("gone", [False, True], ids=["jobs are there", "jobs are gone"])
def test_a_restart_changes_no_native_bucket(tmp_path, gone):
    source = random.Random(13)  # noqa: S311 (the same each time)
    jobs, workloads = [], []
    for number in range(60):
        admitted = int(2 ** source.uniform(0, 14)) - 1
        at = admitted + int(2 ** source.uniform(0, 20)) - 1
        jobs.append(ended(f"j{number}", started=admitted, at=at))
        workloads.append(workload(f"j{number}", admitted=admitted, finished=True))
    rig = Rig(tmp_path / "ledger.sqlite").lists(**partner("a"))
    rig.apply("workloads", *workloads)
    rig.apply("jobs", *jobs)
    if gone:
        rig.delete("jobs", *jobs)
        rig.delete("workloads", *workloads)
    rig.now = 2**21
    rig.commit()
    before = histograms(rig)
    assert all(sum(native(one).values()) + one.zero_count == 60 for one in before.values())
    left = {} if gone else {"jobs": jobs, "workloads": workloads}
    for _ in range(2):
        again = Rig(tmp_path / "ledger.sqlite").lists(**partner("a"), **left)
        again.now = 2**21
        again.commit()
        assert histograms(again) == before


def test_a_change_is_in_the_next_scrape():
    store = Store(ROWS)
    for number in range(700):
        put(store, f"j{number}", gpus=number)
    store.set(DONE.name, ("succeeded",), 1)
    store.set(USED.name, ("imec",), 0.25)
    store.histogram(WAIT.name, ("imec",), Histogram([(1, 1)], 1, 1, 0, ((0, 1),)))
    assert figures(read(store)) == figures(read(store, packed=True)) == text(store)
    put(store, "j5", gpus=99)
    store.drop("j6")
    put(store, "new", gpus=7)
    store.set(DONE.name, ("succeeded",), 2)
    # Only what text cannot show has changed.
    store.histogram(WAIT.name, ("imec",), Histogram([(1, 1)], 1, 1, 1, ()))
    for packed in (False, True):
        found = read(store, packed=packed)
        assert figures(found) == text(store)
        assert found[WAIT.name].metric[0].histogram.zero_count == 1
    store.remove(WAIT.name, ("imec",))
    assert WAIT.name not in read(store)


def test_values_are_exact():
    store = Store(ROWS)
    values = [0, -1, 0.1, 1e-9, 2**53, 1e300, float("inf"), float("-inf"), 1_700_000_000.5, 123456789]
    for number, value in enumerate(values):
        put(store, f"j{number}", gpus=value)
    assert [metric.gauge.value for metric in read(store)[GPUS.name].metric] == values


def test_hostile_labels_are_as_in_the_text():
    store = Store((JOBS, REASONS))
    for number, value in enumerate(hostile()):
        store.put(f"uid{number}", [(JOBS.name, (value, value), 1)])
        store.set(REASONS.name, (value,), number)
    assert figures(read(store)) == text(store)


@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_store_is_an_empty_stream(packed):
    assert read(Store(ROWS), packed=packed) == {}


def test_scrapes_beside_changes_are_whole():
    store, stop = Store(ROWS), threading.Event()
    for number in range(600):
        put(store, f"j{number}", gpus=0)

    def change():
        step = 0
        while not stop.is_set():
            step += 1
            put(store, f"j{step % 600}", gpus=step)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for turn in range(20):
            assert len(read(store, packed=turn % 2 == 1)[GPUS.name].metric) == 600
    finally:
        stop.set()
        thread.join()
    assert figures(read(store)) == text(store)


def histograms(rig):
    found = read(rig.store)
    return {name: found[name].metric[0].histogram for name in (WAITS, RUNS)}
