"""Asks VictoriaMetrics, and through it the judge of the rules, and Alertmanager."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from monitoring import firing
from monitoring.board import answers
from monitoring.board.answers import Answers
from monitoring.board.asks import (
    ASKS,
    DAY_SECONDS,
    SOURCES,
    TREND_SECONDS,
    TRENDS,
    Ask,
    SourceName,
    of_jobs,
)

KEPT_SECONDS: Final = 10.0
"""Answers are good for that long: however many look on, the store is asked as often as for one."""
TENANT: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A partner's name."""

_TIMEOUT: Final = 10.0  # seconds
_AT_A_TIME: Final = 4
_VISIBLE: Final = "1s"  # VictoriaMetrics holds samples back for 30 s unless it is told otherwise
_PARTNERS: Final = 64  # whose jobs are remembered


@dataclass
class Store:
    """What the store and Alertmanager say, asked when somebody looks. For one event loop."""

    client: httpx.AsyncClient
    address: str
    """Of VictoriaMetrics: a URL without a path."""
    alertmanagers: Sequence[str] = ()
    """URLs; the first that answers is believed."""
    kept_seconds: float = KEPT_SECONDS
    clock: Callable[[], float] = time.time
    """Unix time."""
    _known: Answers | None = None
    _asked: float = float("-inf")
    _jobs: dict[str, tuple[float, Mapping[str, Sequence[answers.Row]]]] = field(default_factory=dict)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    async def look(self) -> Answers:
        """Of all partners. Where the store does not answer: what it said last, as old as that is."""
        async with self._asking:
            if self._known is None or time.monotonic() - self._asked > self.kept_seconds:
                self._known = await self._look()
                self._asked = time.monotonic()
            return self._known

    async def look_at(self, tenant: str) -> Answers:
        """What is one partner's own, with its jobs. Raises ValueError for what is no partner's name."""
        if not TENANT.fullmatch(tenant):
            raise ValueError(f"{tenant!r} is no partner's name")
        known = await self.look()
        async with self._asking:
            when, jobs = self._jobs.get(tenant, (float("-inf"), {}))
            if time.monotonic() - when > self.kept_seconds:
                try:
                    jobs = await self._rows(of_jobs(tenant), known.heard, known.asked.timestamp())
                except (httpx.HTTPError, ValueError, KeyError):
                    # With the jobs of before: `known` says that the store does not answer.
                    known = replace(known, unknown=[*known.unknown, "jobs could not be asked"])
                else:
                    self._jobs.pop(tenant, None)
                    self._jobs[tenant] = (time.monotonic(), jobs)
                    while len(self._jobs) > _PARTNERS:
                        del self._jobs[next(iter(self._jobs))]
        return answers.of_partner(replace(known, rows={**known.rows, **jobs}), tenant)

    async def _look(self) -> Answers:
        now = datetime.fromtimestamp(self.clock(), UTC)
        alerts, unknown = await self._alerts()
        try:
            heard = await self._heard(now.timestamp())
            rows = await self._rows(ASKS, heard, now.timestamp())
            trends = await self._trends(now.timestamp())
        except (httpx.HTTPError, ValueError, KeyError) as error:
            unknown.append(f"the store of figures does not answer: {_cause(error)}")
            return replace(self._known or Answers(now), asked=now, alerts=alerts, unknown=unknown)
        return Answers(now, heard, rows, trends, alerts, unknown)

    async def _heard(self, now: float) -> dict[SourceName, float]:
        results = await asyncio.gather(*(self._query(source.heard, now) for source in SOURCES.values()))
        return {
            name: float(result[0]["value"][1])
            for name, result in zip(SOURCES, results, strict=True)
            if result
        }

    async def _rows(
        self, asks: Mapping[str, Ask], heard: Mapping[SourceName, float], now: float
    ) -> dict[str, Sequence[answers.Row]]:
        """Of a source that is silent, as of when it was not: the figures of its last word."""

        def moment(ask: Ask) -> float:
            last = heard.get(ask.source, now)
            return last if now - last > SOURCES[ask.source].limit_seconds else now

        results = await asyncio.gather(*(self._query(ask.expression, moment(ask)) for ask in asks.values()))
        return {name: answers.rows(result) for name, result in zip(asks, results, strict=True)}

    async def _trends(self, now: float) -> dict[str, Sequence[answers.Series]]:
        # The same points at each look, so that the curve does not tremble.
        end = now - now % TREND_SECONDS
        results = await asyncio.gather(
            *(
                self._get(
                    "query_range",
                    query=ask.expression,
                    start=f"{end - DAY_SECONDS:.0f}",
                    end=f"{end:.0f}",
                    step=f"{TREND_SECONDS}s",
                )
                for ask in TRENDS.values()
            )
        )
        return {name: answers.series(result["result"]) for name, result in zip(TRENDS, results, strict=True)}

    async def _alerts(self) -> tuple[list[firing.Row], list[str]]:
        unknown: list[str] = []
        judged: list[firing.Row] = []
        sent: list[firing.Row] = []
        try:
            judged = firing.judged((await self._get("alerts"))["alerts"] or ())
        except (httpx.HTTPError, ValueError, KeyError) as error:
            unknown.append(
                f"who judges the rules does not answer, what is pending is not known: {_cause(error)}"
            )
        try:
            sent = await self._sent()
        except (httpx.HTTPError, ValueError, KeyError) as error:
            unknown.append(f"Alertmanager does not answer, who has been told is not known: {_cause(error)}")
        return firing.merged(judged, sent), unknown

    async def _sent(self) -> list[firing.Row]:
        for number, address in enumerate(self.alertmanagers):
            try:
                alerts, silences = [
                    (await self._fetch(f"{address}/api/v2/{what}")).json() for what in ("alerts", "silences")
                ]
            except httpx.HTTPError:
                if number == len(self.alertmanagers) - 1:
                    raise
            else:
                return firing.sent(alerts, silences)
        return []

    async def _query(self, expression: str, moment: float) -> list[dict[str, Any]]:
        found = await self._get("query", query=expression, time=f"{moment:.3f}", latency_offset=_VISIBLE)
        result: list[dict[str, Any]] = found["result"]
        return result

    async def _get(self, path: str, **asked: str) -> dict[str, Any]:
        answer = (await self._fetch(f"{self.address}/api/v1/{path}", asked)).json()
        data: dict[str, Any] = answer["data"]
        return data

    async def _fetch(self, url: str, asked: Mapping[str, str] | None = None) -> httpx.Response:
        async with self._slots:
            answer = await self.client.get(url, params=asked, timeout=_TIMEOUT)
        return answer.raise_for_status()


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__
