"""Asks VictoriaMetrics, and through it the judge of the rules, and Alertmanager."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
_TROUBLE: Final = (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError)
"""No answer, or none that can be read."""


@dataclass
class Store:
    """What the store and Alertmanager say, asked when somebody looks. For one event loop."""

    client: httpx.AsyncClient
    address: str
    """Of VictoriaMetrics: a URL without a path."""
    alertmanagers: Sequence[str] = ()
    """URLs; the first that answers is believed."""
    kept_seconds: float = KEPT_SECONDS
    deadline_seconds: float = 8.0
    """For all questions of one look together: past it, what was known before is shown."""
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
                    async with asyncio.timeout(self.deadline_seconds):
                        jobs = await self._rows(of_jobs(tenant), known.heard, known.asked.timestamp())
                except _TROUBLE:
                    # With the jobs of before: `known` says that the store does not answer.
                    known = replace(known, unknown=[*known.unknown, "jobs could not be asked"])
                else:
                    self._jobs.pop(tenant, None)
                    self._jobs[tenant] = (time.monotonic(), jobs)
                    while len(self._jobs) > _PARTNERS:
                        del self._jobs[next(iter(self._jobs))]
        return answers.of_partner(replace(known, rows={**known.rows, **jobs}), tenant)

    async def _look(self) -> Answers:
        now = self.clock()
        asked = datetime.fromtimestamp(now, UTC)
        (judged, sent), figures = await asyncio.gather(self._alerts(), self._figures(asked))
        return replace(
            (self._known or Answers(asked)) if isinstance(figures, str) else figures,
            asked=asked,
            alerts=firing.merged(_or_none(judged), _or_none(sent)),
            judged=not isinstance(judged, str),
            unknown=[one for one in (judged, sent, figures) if isinstance(one, str)],
        )

    async def _figures(self, asked: datetime) -> Answers | str:
        """All but the alerts; a sentence where they cannot be had."""
        now = asked.timestamp()
        try:
            async with asyncio.timeout(self.deadline_seconds):
                heard = await self._heard(now)
                return Answers(asked, heard, await self._rows(ASKS, heard, now), await self._trends(now))
        except _TROUBLE as error:
            return f"the store of figures does not answer: {_cause(error)}"

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

    async def _alerts(self) -> tuple[list[firing.Row] | str, list[firing.Row] | str]:
        """What fires or is pending, and who is told; a sentence for each that does not answer."""
        return await asyncio.gather(
            self._or_why(
                "who judges the rules does not answer, what is pending is not known", self._judged()
            ),
            self._or_why("Alertmanager does not answer, who has been told is not known", self._sent()),
        )

    async def _or_why(self, why: str, asking: Awaitable[list[firing.Row]]) -> list[firing.Row] | str:
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await asking
        except _TROUBLE as error:
            return f"{why}: {_cause(error)}"

    async def _judged(self) -> list[firing.Row]:
        return firing.judged((await self._get("alerts"))["alerts"] or ())

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


def _or_none(rows: list[firing.Row] | str) -> list[firing.Row]:
    return [] if isinstance(rows, str) else rows


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__
