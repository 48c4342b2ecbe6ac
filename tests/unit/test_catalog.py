"""The metric catalog agrees with itself, with its page, with what is shown, and with the tests."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly

from operators.catalog import FAMILIES, family
from operators.catalog_page import COMMAND, page
from operators.exposition.protobuf import CONTENT_TYPE
from tests.unit.rig import Rig, ended, job, partner, workload

ROOT = Path(__file__).parents[2]
TESTS = "\n".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
names = pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)


@names
def test_every_family_has_a_unit_test(row):
    # Prometheus' own parser calls a counter's family by its name without _total.
    parsed = rf"families\[\"{row.name.removesuffix('_total')}\"\]"
    named = re.search(rf"\b{row.name}(_bucket|_sum|_count)?\b|{parsed}", TESTS)
    assert named, f"no unit test names {row.name}"


@names
def test_names_and_units_are_as_prometheus_and_openmetrics_want_them(row):
    assert re.fullmatch(r"antenna_[a-z_]+", row.name)
    assert row.name.endswith("_total") == (row.type == "counter")
    assert row.name.endswith("_info") == (row.type == "info")
    bare = row.name.removesuffix("_total")
    assert bare.endswith(f"_{row.unit}") or not row.unit, "a unit ends the name"
    assert not bare.endswith(("_count", "_sum", "_bucket"))
    assert all(re.fullmatch(r"[a-z_]+", label) for label in row.labels)
    # What a histogram has for itself, and what a scraper puts on every sample.
    assert not {"le", "quantile", "job", "instance"} & set(row.labels)
    assert not [label for label in row.labels if label.startswith(("exported_", "__"))]
    assert row.help.endswith(".")


def in_openmetrics(row):
    """All names that a family takes under OpenMetrics: its own, bare, and its samples'."""
    bare = row.name.removesuffix("_total").removesuffix("_info")
    ends = {
        "counter": ("_total", "_created"),
        "info": ("_info",),
        "histogram": ("_bucket", "_sum", "_count", "_created"),
    }
    return [bare, *(bare + end for end in ends.get(row.type, ()))]


def test_no_name_is_there_twice():
    taken = Counter(name for row in FAMILIES for name in in_openmetrics(row))
    assert [name for name, times in taken.items() if times > 1] == []
    assert family("antenna_queue_jobs").labels == ("site", "queue", "tenant", "state")


def test_the_page_is_what_the_catalog_says():
    assert (ROOT / "docs/metrics.md").read_text() == page(), f"run: {COMMAND}"


def test_the_page_says_how_protobuf_is_asked_for():
    assert f"| `{CONTENT_TYPE}` |" in page()


def test_the_page_names_every_family_once():
    for row in FAMILIES:
        assert page().count(f"| `{row.name}` |") == 1


def test_what_is_shown_is_in_the_catalog_with_its_type_help_and_labels(tmp_path):
    rig = Rig(tmp_path / "ledger.sqlite").lists(**partner("a"), jobs=[job("one"), ended("two", at=5)])
    rig.apply("workloads", workload("two", admitted=1, finished=True))
    rig.commit()
    assert list(strictly(b"".join(rig.store.render(True)).decode())), "refused as a whole, or nothing"
    text = b"".join(rig.store.render(False)).decode()
    shown = dict(re.findall(r"# HELP (\w+) (.*)", text))
    assert len(shown) > 20
    for name, words in shown.items():
        assert family(name).help == words
    for name, labels in re.findall(r"^(antenna_\w+)\{([^}]*)\}", text, re.MULTILINE):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        row = family(name if name in shown else base)
        given = tuple(label for label in re.findall(r'(\w+)="', labels) if label != "le")
        assert given == row.labels
