"""The store: what is put in is what a scraper reads, in every format, and never more than the limit."""

from __future__ import annotations

import gzip
import random
import threading

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES, Family
from operators.exposition.store import Store
from operators.histogram import Histogram

GPUS = Family("antenna_job_gpus", "gauge", "", ("tenant", "job"), "GPUs of a job.", per_object=True)
INFO = Family("antenna_job_info", "info", "", ("tenant", "job", "owner"), 'A "job".', per_object=True)
START = Family("antenna_job_start_seconds", "gauge", "seconds", ("job",), "Start.", per_object=True)
DONE = Family("antenna_jobs_finished_total", "counter", "", ("outcome",), "Jobs.\nFinished \\ gone.")
WAIT = Family("antenna_job_wait_seconds", "histogram", "seconds", ("tenant",), "Waits.")
USED = Family("antenna_gpu_seconds_total", "counter", "seconds", ("tenant",), "GPU-seconds.")
ROWS = (GPUS, INFO, START, DONE, WAIT, USED)
OWN = tuple(family for family in FAMILIES if family.name.startswith("antenna_operator_"))


def read(store, *, openmetrics=False, packed=False):
    """{(sample name, labels): value}, by Prometheus' own parser."""
    data = b"".join(store.render_gzip(openmetrics) if packed else store.render(openmetrics))
    text = (gzip.decompress(data) if packed else data).decode()
    families = list((read_openmetrics if openmetrics else read_text)(text))
    found = [
        ((s.name, tuple(sorted(s.labels.items()))), s.value) for family in families for s in family.samples
    ]
    assert len(found) == len(dict(found)), "a series twice"
    return dict(found)


def job(store, key, tenant="imec", gpus=1.0, start=1_700_000_000.0):
    store.put(
        key,
        [
            (GPUS.name, (tenant, key), gpus),
            (INFO.name, (tenant, key, "ada"), 1),
            (START.name, (key,), start),
        ],
    )


def gpus(store, **how):
    name = GPUS.name
    return {dict(labels)["job"]: value for (n, labels), value in read(store, **how).items() if n == name}


@pytest.fixture
def filled():
    store = Store(ROWS)
    for number in range(700):
        job(store, f"j{number}", gpus=number)
    store.set(DONE.name, ("succeeded",), 12)
    store.set(USED.name, ("imec",), 0.25)
    store.histogram(WAIT.name, ("imec",), Histogram([(1, 2), (60, 5)], 99.5, 7))
    return store


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_says_the_same(filled, openmetrics, packed):
    found = read(filled, openmetrics=openmetrics, packed=packed)
    assert found == read(filled)
    assert found["antenna_jobs_finished_total", (("outcome", "succeeded"),)] == 12
    assert found["antenna_job_wait_seconds_bucket", (("le", "60.0"), ("tenant", "imec"))] == 5
    assert found["antenna_job_wait_seconds_bucket", (("le", "+Inf"), ("tenant", "imec"))] == 7
    assert found["antenna_job_wait_seconds_count", (("tenant", "imec"),)] == 7
    assert found["antenna_job_start_seconds", (("job", "j3"),)] == 1_700_000_000
    assert len(found) == 3 * 700 + 2 + 5


def test_headers_are_those_of_the_format(filled):
    text = b"".join(filled.render(False)).decode()
    assert "# TYPE antenna_jobs_finished_total counter\n" in text
    assert "# TYPE antenna_job_info gauge\n" in text
    assert "# HELP antenna_jobs_finished_total Jobs.\\nFinished \\\\ gone.\n" in text
    assert "# UNIT" not in text
    openmetrics = b"".join(filled.render(True)).decode()
    assert "# TYPE antenna_jobs_finished counter\n" in openmetrics
    assert "# TYPE antenna_job info\n" in openmetrics
    assert "# UNIT antenna_gpu_seconds seconds\n" in openmetrics
    assert openmetrics.endswith("# EOF\n")


def test_a_family_is_one_group_in_the_order_of_the_catalog(filled):
    lines = b"".join(filled.render(False)).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert types == [family.name for family in ROWS]


def test_the_same_content_gives_the_same_bytes(filled):
    assert filled.render(False) == filled.render(False)
    assert b"".join(filled.render_gzip(True)) == b"".join(filled.render_gzip(True))


def test_an_empty_store_is_a_whole_exposition():
    assert read(Store(ROWS)) == read(Store(ROWS), openmetrics=True) == read(Store(ROWS), packed=True) == {}


def test_a_change_of_some_samples_leaves_the_others_and_takes_what_is_gone():
    store, twin = Store(ROWS), Store(ROWS)
    was = [(GPUS.name, ("imec", "a"), 1), (INFO.name, ("imec", "a", "ada"), 1), (START.name, ("a",), 5)]
    for now in (
        was,
        [(GPUS.name, ("imec", "a"), 2), (INFO.name, ("imec", "a", "ada"), 1)],
        [(GPUS.name, ("imec", "a"), 2), (INFO.name, ("imec", "a", "bob"), 1), (START.name, ("a",), 7)],
    ):
        twin.put("a", now)
        if now is was:
            store.put("a", now)
        else:
            store.change("a", was, now)
        was = now
        assert read(store) == read(twin) != {}


def test_a_change_replaces_all_that_the_object_had(filled):
    before = read(filled)
    filled.put("j5", [(GPUS.name, ("vub", "j5"), 3)])
    after = read(filled)
    gone = {key for key in before if dict(key[1]).get("job") == "j5"}
    assert len(gone) == 3
    assert after.keys() == (before.keys() - gone) | {(GPUS.name, (("job", "j5"), ("tenant", "vub")))}
    assert read(filled, packed=True) == after


def test_an_object_may_have_several_series_of_a_family():
    store = Store(ROWS)
    store.put("a", [(GPUS.name, ("imec", "x"), 1), (GPUS.name, ("imec", "y"), 2)])
    assert gpus(store) == {"x": 1, "y": 2}
    store.drop("a")
    assert gpus(store) == {}


def test_dropped_objects_leave_and_their_slots_serve_others(filled):
    for number in range(0, 700, 2):
        filled.drop(f"j{number}")
    filled.drop("never there")
    assert set(gpus(filled)) == {f"j{n}" for n in range(1, 700, 2)}
    for number in range(1000, 1400):
        job(filled, f"j{number}")
    assert set(gpus(filled, packed=True)) == {f"j{n}" for n in [*range(1, 700, 2), *range(1000, 1400)]}


def test_any_order_of_changes_ends_in_what_is_there():
    source = random.Random(11)  # noqa: S311 (the same each time)
    store, truth = Store(ROWS), {}
    for step in range(4000):
        key = f"j{source.randrange(900)}"
        if source.random() < 0.3:
            store.drop(key)
            truth.pop(key, None)
        else:
            truth[key] = step
            job(store, key, gpus=step)
        if step % 500 == 0:
            assert gpus(store, packed=step % 1000 == 0) == truth
    assert gpus(store) == gpus(store, packed=True) == truth


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_families_are_kept_and_shown_later(packed):
    store = Store(ROWS)
    store.hide([GPUS.name])
    job(store, "j1", gpus=4)
    assert gpus(store, packed=packed) == {}
    assert (START.name, (("job", "j1"),)) in read(store, packed=packed)
    assert GPUS.name.encode() not in b"".join(store.render_protobuf(compressed=False))
    store.reveal([GPUS.name])
    assert gpus(store, packed=packed) == {"j1": 4}
    assert GPUS.name.encode() in b"".join(store.render_protobuf(compressed=False))


def test_a_family_of_objects_can_be_left_out_and_no_other():
    store = Store(ROWS, without=frozenset({INFO.name}))
    job(store, "a")
    assert {name for name, _ in read(store)} == {GPUS.name, START.name}
    with pytest.raises(ValueError, match=DONE.name):
        Store(ROWS, without=frozenset({DONE.name}))
    with pytest.raises(KeyError):
        store.put("a", [(DONE.name, ("x",), 1)])


def test_a_full_family_refuses_and_counts_and_has_room_again():
    store = Store((*ROWS, *OWN), series_limit=10)
    for number in range(15):
        job(store, f"j{number}")
        store.set(DONE.name, (f"o{number}",), 1)
    found = read(store)
    assert sum(name == GPUS.name for name, _ in found) == 10
    assert sum(name == DONE.name for name, _ in found) == 10
    dropped = "antenna_operator_series_dropped_total"
    assert found[dropped, (("family", GPUS.name),)] == found[dropped, (("family", DONE.name),)] == 5
    job(store, "j3", gpus=8)
    assert gpus(store)["j3"] == 8
    store.drop("j3")
    job(store, "j14")
    assert "j14" in gpus(store)


def test_values_are_numbers_as_prometheus_reads_them():
    store = Store(ROWS)
    values = [0, -1, 0.1, 1e-9, 2**53, 1e300, float("inf"), float("-inf"), 1_700_000_000.5, 123456789]
    for number, value in enumerate(values):
        job(store, f"j{number}", gpus=value)
    assert list(gpus(store).values()) == values
    assert list(gpus(store, openmetrics=True).values()) == values


def test_series_without_an_object_can_be_changed_and_removed():
    store = Store(ROWS)
    store.set(DONE.name, ("failed",), 1)
    store.set(DONE.name, ("failed",), 2)
    store.histogram(WAIT.name, ("imec",), Histogram([(1, 1)], 1, 1))
    assert read(store)[DONE.name, (("outcome", "failed"),)] == 2
    store.remove(DONE.name, ("failed",))
    store.remove(DONE.name, ("failed",))
    store.remove(WAIT.name, ("imec",))
    assert read(store) == read(store, packed=True) == {}


def test_values_that_follow_the_clock_are_asked_for_at_each_scrape():
    store, ticks = Store(ROWS), iter(range(10))
    store.on_scrape(lambda: store.set(DONE.name, ("ticks",), next(ticks)))
    key = DONE.name, (("outcome", "ticks"),)
    assert [read(store)[key] for _ in range(3)] == [0, 1, 2]


def test_figures_that_cannot_be_made_leave_the_others():
    store = Store(ROWS)
    job(store, "a")
    store.on_scrape(lambda: 1 / 0)
    store.on_scrape(lambda: store.set(DONE.name, ("clock",), 1))
    assert gpus(store) == {"a": 1}
    assert (DONE.name, (("outcome", "clock"),)) in read(store)


def test_a_long_change_does_not_hold_up_a_scrape():
    store, entered, leave = Store(ROWS), threading.Event(), threading.Event()
    store.on_scrape(lambda: store.set(DONE.name, ("clock",), 1))
    job(store, "a")

    def relist():
        with store.writing:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=relist)
    thread.start()
    entered.wait(10)
    try:
        assert gpus(store) == {"a": 1}
    finally:
        leave.set()
        thread.join()
    assert (DONE.name, (("outcome", "clock"),)) in read(store)


def test_scrapes_beside_changes_are_whole():
    store, stop = Store(ROWS), threading.Event()
    for number in range(600):
        job(store, f"j{number}", gpus=0)

    def change():
        source = random.Random(3)  # noqa: S311 (the same each time)
        while not stop.wait(0.0001):
            job(store, f"j{source.randrange(600)}", gpus=source.randrange(9))

    threads = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for packed in (True, False) * 5:
            assert len(gpus(store, packed=packed)) == 600
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert gpus(store) == gpus(store, packed=True)
