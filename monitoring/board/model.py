"""The board as plain data: what one page shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitoring import firing
from monitoring.board.asks import SourceName

State = Literal["good", "warning", "bad", "unknown"]


@dataclass(frozen=True)
class Age:
    """How old what a source told is. ``seconds`` None: it has told nothing within a day."""

    title: str
    seconds: float | None
    limit_seconds: float

    @property
    def is_stale(self) -> bool:
        """Whether it has been silent for longer than it may."""
        return self.seconds is None or self.seconds > self.limit_seconds


@dataclass(frozen=True)
class Link:
    """A tunnel. ``round_trip_seconds`` None where nothing came back."""

    name: str
    state: State
    says: str
    round_trip_seconds: float | None = None
    day: tuple[tuple[float, bool], ...] = ()
    """Of the last day (part of it, 0 being a day ago), whether it was up all of the half hour until then."""


@dataclass(frozen=True)
class Site:
    """A place where work runs. ``link`` None where there is none to it, or it is here."""

    name: str
    state: State
    says: str
    link: Link | None = None


@dataclass(frozen=True)
class Queue:
    """A queue with what waits in it.

    ``usual_seconds``: 19 of 20 jobs of the last day waited less; None: no job did.
    """

    site: str
    name: str
    tenant: str
    title: str
    pending: int
    running: int
    oldest_seconds: float
    reasons: tuple[tuple[str, int], ...]
    """Why jobs wait, in words, and how many do so; the most frequent first."""
    usual_seconds: float | None


@dataclass(frozen=True)
class Gpus:
    """GPUs of a partner at the local site. ``busy``: part of 1; None where it holds none."""

    tenant: str
    title: str
    quota: float
    reserved: float
    borrowed: float
    running: float
    busy: float | None


@dataclass(frozen=True)
class Budget:
    """A partner's budget at a site. ``ends`` None: at the present rate it lasts its period."""

    tenant: str
    title: str
    site: str
    unit: str
    allocated: float
    used: float
    reserved: float
    remaining: float
    per_day: float
    ends: datetime | None

    @property
    def state(self) -> State:
        """Bad when nothing remains, a warning when it ends before its period does."""
        if self.remaining <= 0:
            return "bad"
        return "warning" if self.ends else "good"


@dataclass(frozen=True)
class Energy:
    """Of a partner: watts now, and kWh of the last day, here and by the sites' published averages."""

    tenant: str
    title: str
    watts: float
    kwh: float
    remote_kwh: float


@dataclass(frozen=True)
class Job:
    """A partner's job. ``age_seconds`` is since it was made; None: unknown."""

    site: str
    name: str
    state: str
    gpus: int
    age_seconds: float | None


@dataclass(frozen=True)
class Trend:
    """A figure over the last day: (part of the day, value), 0 being a day ago and 1 now."""

    title: str
    unit: str
    points: tuple[tuple[float, float], ...]
    source: SourceName


@dataclass(frozen=True)
class Board:
    """Everything that one page shows. ``tenant`` "": of all partners."""

    stack: str
    tenant: str
    title: str
    asked: datetime
    ages: Mapping[SourceName, Age]
    alerts: tuple[firing.Row, ...]
    alerts_known: bool
    """Whether those are all: not where nobody judges the rules now."""
    unknown: tuple[str, ...]
    sites: tuple[Site, ...]
    links: tuple[Link, ...]
    queues: tuple[Queue, ...]
    gpus: tuple[Gpus, ...]
    gpus_offered: int
    gpus_held: int | None
    """By everybody; None for a partner."""
    budgets: tuple[Budget, ...]
    energy: tuple[Energy, ...]
    watts: float | None
    """Of all GPUs, held or idle; None where it is not known, and for a partner."""
    finished: Mapping[str, int]
    """Jobs of the last day by outcome."""
    jobs: tuple[Job, ...]
    jobs_left_out: int
    trends: tuple[Trend, ...]

    @property
    def firing(self) -> tuple[firing.Row, ...]:
        """Alerts of which somebody is told."""
        return tuple(alert for alert in self.alerts if alert.state == "firing")

    @property
    def led_nowhere(self) -> tuple[Link, ...]:
        """Links to no site that is known."""
        led_to = {site.link.name for site in self.sites if site.link}
        return tuple(link for link in self.links if link.name not in led_to)

    @property
    def stale(self) -> tuple[Age, ...]:
        """Sources that have been silent for too long."""
        return tuple(age for age in self.ages.values() if age.is_stale)


def duration(seconds: float) -> str:
    """For people: the two largest units of days, hours, minutes, seconds."""
    whole = max(0, round(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"
