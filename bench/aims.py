"""What the operator is held to, and how far it got. Pure.

kube-state-metrics was not run here: its figures were measured elsewhere on a like machine (2 cores), with
its Job families on: 11 series and 920 bytes a Job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from bench.commands import BEFORE, OURS
from bench.figures import Summary

Verdict = Literal["met", "missed", "not measured"]


@dataclass(frozen=True)
class Published:
    """kube-state-metrics with so many Jobs."""

    jobs: int
    ready_seconds: float
    peak_bytes: float
    scrape_seconds: float
    scrape_bytes: float

    @property
    def series(self) -> float:
        """Of its scrape: 11 a Job."""
        return 11 * self.jobs


COMMANDS: Final = {"--help": 0.25, "status": 0.4, "why": 0.4}
"""What each command may take of the CPU seconds of the build before."""

FLOOR: Final = 60
"""Seconds between two polls of LUMI."""

KUBE_STATE_METRICS: Final = (
    Published(20_000, 2.2, 311e6, 0.11, 18.5e6),
    Published(100_000, 14.4, 1258e6, 1.0, 90.7e6),
)


@dataclass(frozen=True)
class Aim:
    """One of them. ``measured`` is to be at most ``limit``, or at least that where ``least``."""

    name: str
    measured: float | None
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def verdict(self) -> Verdict:
        """Whether it was met."""
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.limit if self.least else self.measured <= self.limit
        return "met" if met else "missed"


def aims(summaries: Iterable[Summary]) -> list[Aim]:
    """All aims, in the order of the measurements; without its figures an aim is not measured."""
    by = {(s.measure, s.program): s for s in summaries}

    def figure(measure: str, program: str, name: str) -> float | None:
        found = by.get((measure, program))
        return found.figures.get(name) if found else None

    operator, naive, kopf = "operator", "prometheus_client collector", "kopf on.event"
    official, alone = "official client's list", "cold start, Jobs alone"
    a_series = [
        _ratio(figure("scrape", program, "seconds"), figure("scrape", program, "series"))
        for program in (operator, naive)
    ]
    result = [
        Aim("scrape, a series: of the naive collector's", _ratio(*a_series), 0.1, "x"),
        Aim(
            "events a CPU-second: of kopf's on.event",
            _ratio(
                figure("events", operator, "events_per_cpu_second"),
                figure("events", kopf, "events_per_cpu_second"),
            ),
            10,
            "x",
            least=True,
        ),
        Aim(
            "cold start: of the official client's list",
            _ratio(figure("cold start", operator, "seconds"), figure("cold start", official, "seconds")),
            0.3,
            "x",
        ),
        Aim(
            "cold start, Jobs alone: of the official client's list",
            _ratio(figure(alone, operator, "seconds"), figure(alone, official, "seconds")),
            0.3,
            "x",
        ),
        Aim("freshness, p99", figure("freshness", operator, "p99_seconds"), 1.0, "s"),
    ]
    dump = "squeue --json by json"
    result += _polls(by.get(("poll", operator)), by.get(("poll", dump)))
    result += [
        Aim(
            f"poll, live, {title}: of squeue --json's",
            _ratio(figure("poll, live", operator, name), figure("poll, live", dump, name)),
            0.5,
            "x",
        )
        for title, name in (
            ("time", "seconds"),
            ("CPU", "cpu_seconds"),
            ("the site's CPU", "site_cpu_seconds"),
        )
    ]
    result += [
        Aim(
            f"antenna {verb}, {title}: of {BEFORE}'s",
            _ratio(figure(f"antenna {verb}", OURS, name), figure(f"antenna {verb}", BEFORE, name)),
            limit,
            "x",
        )
        for verb, limit_of_cpu in COMMANDS.items()
        for title, name, limit in (("CPU", "cpu_seconds", limit_of_cpu), ("peak memory", "peak_bytes", 1.0))
    ]
    scrape, start = by.get(("scrape", operator)), by.get(("cold start", operator))
    if scrape and start and (bar := published(scrape.jobs)):
        result += _kube_state_metrics(scrape, start, bar)
    if (started := by.get((alone, operator))) and (bar := published(started.jobs)):
        result.append(
            Aim(
                "ready after start, Jobs alone: kube-state-metrics'",
                started.figures["seconds"],
                bar.ready_seconds,
                "s",
            )
        )
    return result


def _polls(own: Summary | None, peer: Summary | None) -> list[Aim]:
    """Half of what the usual way costs, and a tenth of a core where LUMI is polled as often as it may be."""
    cpu, peak, length = (
        _ratio(own.figures[name] if own else None, peer.figures[name] if peer else None)
        for name in ("cpu_seconds", "peak_bytes", "answer_bytes")
    )
    alone = own.figures["cpu_seconds"] if own else None
    return [
        Aim("poll, CPU: of squeue --json read by json", cpu, 0.5, "x"),
        Aim("poll, peak memory: of the same", peak, 0.5, "x"),
        Aim("poll, bytes over the connection: of the same", length, 0.5, "x"),
        Aim(f"poll, CPU: a tenth of a core at a floor of {FLOOR} s", alone, FLOOR / 10, "s"),
    ]


def published(jobs: int) -> Published | None:
    """kube-state-metrics' figures for so many Jobs, between those published; None beyond them."""
    low, high = KUBE_STATE_METRICS
    if not low.jobs <= jobs <= high.jobs:
        return None
    share = (jobs - low.jobs) / (high.jobs - low.jobs)

    def between(a: float, b: float) -> float:
        return a + share * (b - a)

    return Published(
        jobs,
        between(low.ready_seconds, high.ready_seconds),
        between(low.peak_bytes, high.peak_bytes),
        between(low.scrape_seconds, high.scrape_seconds),
        between(low.scrape_bytes, high.scrape_bytes),
    )


def _kube_state_metrics(scrape: Summary, start: Summary, bar: Published) -> list[Aim]:
    """A third of its scrape's time, half of its memory, and no slower to start.

    It would take longer for more series, or for more bytes: the scale is the smaller of the two ratios.
    """
    scale = min(scrape.figures["series"] / bar.series, scrape.figures["bytes"] / bar.scrape_bytes)
    memory = max(scrape.figures["peak_bytes"], start.figures["peak_bytes"])
    note = f"kube-state-metrics', scaled {scale:.2f}x for series and bytes"
    return [
        Aim(f"scrape: a third of {note}", scrape.figures["seconds"], bar.scrape_seconds * scale / 3, "s"),
        Aim(f"peak memory: half of {note}", memory / 1e6, bar.peak_bytes * scale / 2e6, "MB"),
        Aim("ready after start: kube-state-metrics'", start.figures["seconds"], bar.ready_seconds, "s"),
    ]


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
