"""A site of partners whose every text is a canary, as the store and Alertmanager tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring import firing
from monitoring.board.answers import Answers, Row, Series
from monitoring.board.asks import ASKS, SOURCES, TRENDS, of_jobs

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
PARTNERS = tuple(f"canary-{number:02}x" for number in range(23))


def row(value: float, **labels: str) -> Row:
    return Row(labels, value)


def answers(rows: Mapping[str, Sequence[Row]], **others: Any) -> Answers:
    """Fresh, but for what is said."""
    heard = {name: NOW.timestamp() - 5 for name in SOURCES}
    return Answers(NOW, **{"heard": heard, "rows": rows, **others})


def alert(state: str = "firing", quiet: str = "", **labels: str) -> firing.Row:
    return firing.Row(
        name=labels.pop("name", "AntennaLinkDown"),
        severity=labels.pop("severity", "critical"),
        state=state,
        labels=frozenset(labels.items()),
        since=NOW - timedelta(minutes=4),
        summary=labels.pop("summary", "Link lumi is down"),
        contact="",
        quiet=quiet,
    )


def of_everybody() -> Answers:
    """All tables filled for all partners, each with texts, amounts and moments of its own."""
    rows: dict[str, list[Row]] = {name: [] for name in [*ASKS, *of_jobs("x")]}
    rows["silent"] = [row(20, site="lumi", source="queue")]
    rows["limits"] = [row(300, site="lumi", source="queue")]
    rows["up"] = [row(1, link="lumi")]
    rows["gpus"] = [row(8, site="local")]
    rows["held"] = [row(987654, site="local")]
    rows["site_watts"] = [row(876543)]
    for number, name in enumerate(PARTNERS):
        for table, found in _of(number, name):
            rows[table].append(found)
    trends = {
        name: [
            Series({"tenant": partner}, ((NOW.timestamp() - 60, 5_000_000.0 + number),))
            for number, partner in enumerate(PARTNERS)
        ]
        for name in TRENDS
    }
    trends["fired"] = [Series({}, ((NOW.timestamp() - 60, 7_654_321.0),))]
    trends["up"] = [Series({"link": "lumi"}, ((NOW.timestamp() - 60, 1.0),))]
    alerts = [
        alert("silenced", f"reason-{name}", tenant=name, summary=f"summary-{name}") for name in PARTNERS
    ]
    unknown = [f"{name} could not be asked" for name in PARTNERS]
    return answers(rows, trends=trends, alerts=alerts, unknown=unknown)


def _of(number: int, name: str) -> Iterator[tuple[str, Row]]:
    queue = {"site": "local", "queue": f"queue-{name}", "tenant": name}
    amount = 1_000_000.0 + 10_000 * number
    yield "titles", row(1, tenant=name, title=f"title-{name}")
    yield "jobs", row(amount, **queue, state="pending")
    yield "oldest", row(amount, **queue)
    yield "reasons", row(amount + 1, **queue, reason=f"reason-of-{name}")
    yield "waits", row(amount, **queue)
    yield "finished", row(amount + 2, tenant=name, outcome=f"outcome-{name}")
    for table in ("quota", "reserved", "borrowed", "running"):
        yield table, row(amount + 3, site="local", tenant=name)
    for table in ("allocated", "used", "kept", "remaining", "burn", "exhaustion"):
        yield table, row(amount + 4, site=f"site-{name}", tenant=name, unit=f"unit-{name}")
    for table in ("watts", "kwh", "remote_kwh", "busy"):
        yield table, row(amount + 5, tenant=name, site="lumi")
    # A shared table that names a partner all the same is that partner's.
    yield "up", row(1, link=f"link-{name}", tenant=name)
    for table in of_jobs(name):
        yield (
            table,
            row(
                amount + 6, site="local", namespace=f"tenant-{name}", job_name=f"job-{name}", state="running"
            ),
        )
