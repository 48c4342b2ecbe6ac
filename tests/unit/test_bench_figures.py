"""Medians, percentiles and aims of the bench."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from bench.aims import KUBE_STATE_METRICS, Aim, aims, published
from bench.commands import BEFORE, OURS
from bench.figures import Reading, percentile, summarise
from bench.report import document, print_report, save, shown


def reading(measure="scrape", program="operator", jobs=20_000, **figures):
    return Reading(measure, program, jobs, figures)


OPERATOR = {
    "scrape": {"seconds": 0.03, "bytes": 18.5e6, "series": 220_000, "peak_bytes": 100e6},
    "events": {"events_per_cpu_second": 9_000},
    "cold start": {"seconds": 2.0, "peak_bytes": 120e6},
    "cold start, Jobs alone": {"seconds": 1.5, "peak_bytes": 90e6},
    "freshness": {"p99_seconds": 0.4},
    "poll": {"cpu_seconds": 1.3, "peak_bytes": 360e6, "answer_bytes": 61e6},
    "poll, live": {"seconds": 4.0, "cpu_seconds": 2.0, "site_cpu_seconds": 3.0},
}
COMMANDS = {
    "antenna --help": {"cpu_seconds": 0.1, "peak_bytes": 17e6},
    "antenna status": {"cpu_seconds": 0.8, "peak_bytes": 70e6},
    "antenna why": {"cpu_seconds": 0.7, "peak_bytes": 60e6},
}
PEERS = (
    reading(program="prometheus_client collector", seconds=4.0, series=220_000, bytes=20e6, peak_bytes=1e9),
    reading("events", "kopf on.event", events_per_cpu_second=600),
    reading("poll", "squeue --json by json", cpu_seconds=3.3, peak_bytes=1.39e9, answer_bytes=372e6),
    reading("poll, live", "squeue --json by json", seconds=38.0, cpu_seconds=8.0, site_cpu_seconds=40.0),
    reading("cold start", "official client's list", seconds=30.0),
    reading("cold start, Jobs alone", "official client's list", seconds=20.0),
)


def summaries(**changed):
    figures = {measure: {**own, **changed.get(measure, {})} for measure, own in OPERATOR.items()}
    commands = {measure: {**own, **changed.get(measure, {})} for measure, own in COMMANDS.items()}
    return summarise(
        [
            *(reading(measure, **own) for measure, own in figures.items()),
            *PEERS,
            *(reading(measure, OURS, **own) for measure, own in commands.items()),
            *(reading(measure, BEFORE, cpu_seconds=2.0, peak_bytes=100e6) for measure in COMMANDS),
        ]
    )


def verdicts(found):
    return {aim.name: aim.verdict for aim in found}


def test_a_summary_is_the_median_of_each_figure_over_the_runs():
    (summary,) = summarise([reading(seconds=s, cpu_seconds=1) for s in (9.0, 1.0, 2.0, 3.0, 8.0)])
    assert summary.runs == 5
    assert summary.figures == {"seconds": 3.0, "cpu_seconds": 1}


def test_programs_measurements_and_sizes_are_kept_apart_in_the_order_of_measuring():
    readings = [
        reading("scrape", "b", seconds=1),
        reading("scrape", "a", seconds=2),
        reading("scrape", "a", jobs=1, seconds=3),
        reading("events", "b", seconds=4),
    ]
    assert [(s.measure, s.program, s.jobs) for s in summarise(readings)] == [
        ("scrape", "b", 20_000),
        ("scrape", "a", 20_000),
        ("scrape", "a", 1),
        ("events", "b", 20_000),
    ]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share, expected):
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_nothing_has_no_percentile():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_all_aims_are_met_by_figures_that_meet_them():
    assert set(verdicts(aims(summaries())).values()) == {"met"}


@pytest.mark.parametrize(
    ("measure", "figure", "value", "missed"),
    [
        ("scrape", "seconds", 0.5, "scrape, a series: of the naive collector's"),
        ("scrape", "seconds", 0.04, "scrape: a third of kube-state-metrics'"),
        ("events", "events_per_cpu_second", 5_999, "events a CPU-second: of kopf's on.event"),
        ("cold start", "seconds", 9.1, "cold start: of the official client's list"),
        ("cold start", "seconds", 9.1, "ready after start: kube-state-metrics'"),
        ("cold start, Jobs alone", "seconds", 6.1, "cold start, Jobs alone: of the official client's list"),
        ("cold start, Jobs alone", "seconds", 2.3, "ready after start, Jobs alone: kube-state-metrics'"),
        ("cold start", "peak_bytes", 156e6, "peak memory: half of kube-state-metrics'"),
        ("scrape", "peak_bytes", 156e6, "peak memory: half of kube-state-metrics'"),
        ("freshness", "p99_seconds", 1.01, "freshness, p99"),
        ("poll", "cpu_seconds", 1.7, "poll, CPU: of squeue --json"),
        ("poll", "cpu_seconds", 6.1, "poll, CPU: a tenth of a core"),
        ("poll", "peak_bytes", 0.7e9, "poll, peak memory"),
        ("poll", "answer_bytes", 187e6, "poll, bytes over the connection"),
        ("poll, live", "seconds", 19.1, "poll, live, time"),
        ("poll, live", "cpu_seconds", 4.1, "poll, live, CPU"),
        ("poll, live", "site_cpu_seconds", 21, "poll, live, the site's CPU"),
        ("antenna --help", "cpu_seconds", 0.51, "antenna --help, CPU"),
        ("antenna status", "cpu_seconds", 0.81, "antenna status, CPU"),
        ("antenna why", "peak_bytes", 101e6, "antenna why, peak memory"),
    ],
)
def test_each_aim_is_missed_by_a_figure_beyond_it(measure, figure, value, missed):
    found = verdicts(aims(summaries(**{measure: {figure: value}})))
    assert [name for name, verdict in found.items() if verdict == "missed" and name.startswith(missed)]


def test_kube_state_metrics_is_held_to_as_many_series_and_bytes():
    twice = {"series": 440_000, "bytes": 37e6, "seconds": 0.07}
    assert "missed" not in verdicts(aims(summaries(scrape=twice))).values()
    more_bytes_alone = {**twice, "series": 220_000}
    assert "missed" in verdicts(aims(summaries(scrape=more_bytes_alone))).values()


def test_kube_state_metrics_is_judged_between_the_sizes_that_were_measured():
    assert published(20_000) == KUBE_STATE_METRICS[0]
    assert published(100_000).scrape_seconds == pytest.approx(KUBE_STATE_METRICS[1].scrape_seconds)
    assert published(60_000).scrape_seconds == pytest.approx(0.555)
    assert published(2_000) is None


def test_an_aim_without_its_peer_is_not_measured():
    found = verdicts(aims(summarise([reading(**OPERATOR["scrape"])])))
    assert found["scrape, a series: of the naive collector's"] == "not measured"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("seconds", 0.1234, "0.123 s"),
        ("p99_seconds", 12.34, "12.3 s"),
        ("peak_bytes", 1.258e9, "1,258.0 MB"),
        ("events_per_cpu_second", 12345.6, "12,346"),
        ("events_per_second", 99.6, "100/s"),
        ("series", 1_100_000, "1,100,000"),
    ],
)
def test_a_figure_is_shown_with_its_unit(name, value, text):
    assert shown(name, value) == text


def test_the_report_names_what_was_missed():
    console = Console(file=io.StringIO(), width=200)
    print_report(console, summaries(), [Aim("freshness, p99", 2.0, 1.0, "s"), Aim("other", None, 1.0)])
    text = console.file.getvalue()
    assert "1 missed: freshness, p99" in text
    assert "not measured" in text


def test_a_saved_report_holds_the_machine_and_every_run(tmp_path):
    readings = [reading(seconds=1.0), reading(seconds=2.0)]
    found = summarise(readings)
    saved = json.loads(save(document(readings, found, aims(found)), tmp_path / "x.json").read_text())
    assert len(saved["readings"]) == 2
    assert saved["machine"]["cores"] >= 1
    assert {aim["verdict"] for aim in saved["aims"]} <= {"met", "missed", "not measured"}
