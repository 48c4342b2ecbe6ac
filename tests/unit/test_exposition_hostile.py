"""Ten thousand label values meant to break the exposition, read by Prometheus' own parser."""

from __future__ import annotations

import random

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES, Family
from operators.exposition.store import Store

VALUES = 10_000
LIMIT = 6_000
JOBS = Family("antenna_job_state", "gauge", "", ("tenant", "job"), "State.", per_object=True)
REASONS = Family("antenna_evictions_total", "counter", "", ("reason",), "Evictions.")
OWN = tuple(family for family in FAMILIES if family.name.startswith("antenna_operator_"))
PIECES = [
    '"', "\\", "\n", '"} 1\n', "\\n", '\\"', "\r\n", "\x00", "\x1b[2J", "\u2028", "\u202e", "\ud800",
    "\udcff", "{}", ",", "=",
    'x="', "# EOF\n", "# TYPE a counter\n", " ", "\u00e9", "\U0001f4a5", "%s", "%", "a" * 200,
]  # fmt: skip


def hostile() -> list[str]:
    source = random.Random(5)  # noqa: S311 (the same each time)
    values = {"".join(source.choices(PIECES, k=source.randrange(1, 9))) for _ in range(3 * VALUES)}
    invalid = (source.randbytes(20).decode("utf-8", "surrogateescape") for _ in range(1000))
    return ["M" * 2**20, "\n" * 2**20, *invalid, *sorted(values)][:VALUES]


@pytest.mark.parametrize(("openmetrics", "parse"), [(False, read_text), (True, read_openmetrics)])
def test_hostile_labels_parse_and_stay_under_the_limit(openmetrics, parse):
    store = Store((JOBS, REASONS, *OWN), series_limit=LIMIT)
    values = hostile()
    assert len(set(values)) == VALUES
    for number, value in enumerate(values):
        store.put(f"uid{number}", [(JOBS.name, (value, value), 1)])
        store.set(REASONS.name, (value,), number)
    text = b"".join(store.render(openmetrics)).decode()
    families = {family.name: family for family in parse(text)}
    jobs = families["antenna_job_state"].samples
    assert len(jobs) == len(families["antenna_evictions"].samples) == LIMIT
    assert len({sample.labels["job"] for sample in jobs}) == LIMIT, "two values became one"
    assert all(len(v) <= 128 and v.isprintable() for sample in jobs for v in sample.labels.values())
    dropped = {s.labels["family"]: s.value for s in families["antenna_operator_series_dropped"].samples}
    assert dropped == {JOBS.name: VALUES - LIMIT, REASONS.name: VALUES - LIMIT}
    (changed,) = families["antenna_operator_labels_changed"].samples
    assert changed.value > VALUES
    assert len(text) < 4_000_000


def test_harmless_labels_are_read_back_as_they_were():
    store = Store((REASONS,))
    values = ['say "no"', "back\\slash", "\\n", "{}=,", "\u00e9t\u00e9", "%s"]
    for value in values:
        store.set(REASONS.name, (value,), 1)
    for openmetrics, parse in ((False, read_text), (True, read_openmetrics)):
        (family,) = parse(b"".join(store.render(openmetrics)).decode())
        assert sorted(sample.labels["reason"] for sample in family.samples) == sorted(values)
