"""The board made of what was answered. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from monitoring.board.answers import Answers, Row
from monitoring.board.asks import DAY_SECONDS, SOURCES, SourceName
from monitoring.board.model import (
    Age,
    Board,
    Budget,
    Energy,
    Gpus,
    Job,
    Link,
    Queue,
    Site,
    State,
    Trend,
    duration,
)
from monitoring.board.words import why

LOCAL: Final = "local"
"""The site that is here; every other is remote."""
JOBS_SHOWN: Final = 100

_LIVE: Final = ("pending", "running")


def board(answers: Answers, stack: str, tenant: str = "") -> Board:
    """The page of all partners, or of one whose own answers (``of_partner``) these are."""
    tables = _Tables(answers)
    ages = _ages(answers)
    links = _links(tables, answers)
    sites = _sites(tables, links, is_stale=ages["operator"].is_stale)
    jobs = _jobs(tables, answers.asked)
    return Board(
        stack=stack,
        tenant=tenant,
        title=tables.title(tenant) if tenant else "",
        asked=answers.asked,
        ages=ages,
        alerts=tuple(answers.alerts),
        alerts_known=answers.judged and not ages["rules"].is_stale,
        unknown=tuple(answers.unknown),
        sites=sites,
        links=tuple(links[name] for name in sorted(links)),
        queues=_queues(tables),
        gpus=_gpus(tables),
        gpus_offered=round(sum(tables.by("gpus", "site").values())),
        gpus_held=None if tenant else round(sum(tables.by("held", "site").values())),
        budgets=_budgets(tables),
        energy=_energy(tables),
        watts=next((row.value for row in tables.rows("site_watts")), None),
        finished=_finished(tables),
        jobs=jobs[:JOBS_SHOWN],
        jobs_left_out=max(0, len(jobs) - JOBS_SHOWN),
        trends=_trends(answers, tenant),
    )


class _Tables:
    """Rows by the labels that tell them apart."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._titles = {
            row.labels.get("tenant", ""): row.labels.get("title", "") for row in self.rows("titles")
        }

    def rows(self, name: str) -> Sequence[Row]:
        return self._answers.rows.get(name, ())

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        return {row.of(*labels): row.value for row in self.rows(name)}

    def title(self, tenant: str) -> str:
        return self._titles.get(tenant) or tenant


def _ages(answers: Answers) -> dict[SourceName, Age]:
    now = answers.asked.timestamp()
    return {
        name: Age(
            source.title,
            max(0.0, now - answers.heard[name]) if name in answers.heard else None,
            source.limit_seconds,
        )
        for name, source in SOURCES.items()
    }


def _links(tables: _Tables, answers: Answers) -> dict[str, Link]:
    begin = answers.asked.timestamp() - DAY_SECONDS
    days = {
        one.labels.get("link", ""): tuple(((at - begin) / DAY_SECONDS, bool(up)) for at, up in one.points)
        for one in answers.trends.get("up", ())
    }
    round_trips = tables.by("round_trip", "link")
    found = {}
    for key, up in tables.by("up", "link").items():
        (name,) = key
        state: State = "good" if up else "bad"
        says = "up" if up else "down: no probe comes back"
        found[name] = Link(name, state, says, round_trips.get(key), days.get(name, ()))
    return found


def _sites(tables: _Tables, links: Mapping[str, Link], *, is_stale: bool) -> tuple[Site, ...]:
    """The local one first. A link leads to the site of its name."""
    ages, limits = (tables.by(name, "site", "source") for name in ("silent", "limits"))
    remote = sorted({site for site, _ in ages} - {LOCAL})
    sites = [_local(tables, is_stale=is_stale)]
    for name in remote:
        silent = {
            source: (age, limits.get((site, source)))
            for (site, source), age in sorted(ages.items())
            if site == name
        }
        stale = {source: age for source, (age, limit) in silent.items() if limit is not None and age > limit}
        if stale:
            told = ", ".join(f"{source} for {duration(age)}" for source, age in stale.items())
            site = Site(name, "bad", f"silent: {told}; what it told last is not shown", links.get(name))
        else:
            oldest = max(age for age, _ in silent.values())
            site = Site(
                name, "good", f"answers; its oldest figure is {duration(oldest)} old", links.get(name)
            )
        sites.append(site)
    return tuple(sites)


def _local(tables: _Tables, *, is_stale: bool) -> Site:
    nodes, ready, closed = (
        round(tables.by(name, "site").get((LOCAL,), 0)) for name in ("nodes", "ready", "closed")
    )
    if not nodes:
        return Site(LOCAL, "unknown", "no node is known")
    says = [f"{ready} of {nodes} nodes ready"]
    if closed:
        says.append(f"{closed} closed to pods")
    state: State = "bad" if ready < nodes else "warning" if closed else "good"
    if is_stale:
        state, says = "unknown", [*says, "as last told"]
    return Site(LOCAL, state, ", ".join(says))


def _queues(tables: _Tables) -> tuple[Queue, ...]:
    """Those with work, the longest wait first."""
    key = ("site", "queue", "tenant")
    counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for row in tables.rows("jobs"):
        counts[row.of(*key)][row.labels.get("state", "")] = round(row.value)
    reasons: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for row in tables.rows("reasons"):
        if row.value > 0:
            reasons[row.of(*key)].append((why(row.labels.get("reason", "")), round(row.value)))
    oldest, usual = tables.by("oldest", *key), tables.by("waits", *key)
    queues = [
        Queue(
            site=one[0],
            name=one[1],
            tenant=one[2],
            title=tables.title(one[2]),
            pending=states.get("pending", 0),
            running=states.get("running", 0),
            oldest_seconds=oldest.get(one, 0.0),
            reasons=tuple(sorted(reasons[one], key=lambda reason: (-reason[1], reason[0]))),
            usual_seconds=usual.get(one),
        )
        for one, states in counts.items()
        if any(states.get(state) for state in _LIVE)
    ]
    return tuple(sorted(queues, key=lambda queue: (-queue.oldest_seconds, queue.site, queue.name)))


def _gpus(tables: _Tables) -> tuple[Gpus, ...]:
    key = ("site", "tenant")
    quota, reserved, borrowed, running = (
        tables.by(name, *key) for name in ("quota", "reserved", "borrowed", "running")
    )
    busy = tables.by("busy", "tenant")
    found = [
        Gpus(
            tenant,
            tables.title(tenant),
            quota.get((site, tenant), 0.0),
            reserved.get((site, tenant), 0.0),
            borrowed.get((site, tenant), 0.0),
            running.get((site, tenant), 0.0),
            busy.get((tenant,)),
        )
        for site, tenant in sorted(quota.keys() | reserved.keys() | running.keys())
        if site == LOCAL
    ]
    return tuple(sorted(found, key=lambda one: (-one.reserved, one.title)))


def _budgets(tables: _Tables) -> tuple[Budget, ...]:
    """Those that end first, first; then by what part of them remains."""
    key = ("site", "tenant", "unit")
    used, reserved, remaining, burn, exhaustion = (
        tables.by(name, *key) for name in ("used", "kept", "remaining", "burn", "exhaustion")
    )
    found = [
        Budget(
            tenant=one[1],
            title=tables.title(one[1]),
            site=one[0],
            unit=one[2],
            allocated=allocated,
            used=used.get(one, 0.0),
            reserved=reserved.get(one, 0.0),
            remaining=remaining.get(one, allocated - used.get(one, 0.0)),
            per_day=burn.get(one, 0.0),
            ends=datetime.fromtimestamp(exhaustion[one], UTC) if one in exhaustion else None,
        )
        for one, allocated in tables.by("allocated", *key).items()
    ]
    never = datetime.max.replace(tzinfo=UTC)
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.ends or never,
                one.remaining / one.allocated if one.allocated else 0.0,
                one.title,
                one.site,
            ),
        )
    )


def _energy(tables: _Tables) -> tuple[Energy, ...]:
    watts, kwh = tables.by("watts", "tenant"), tables.by("kwh", "tenant")
    remote: dict[tuple[str, ...], float] = defaultdict(float)
    for row in tables.rows("remote_kwh"):
        remote[row.of("tenant")] += row.value
    found = [
        Energy(one[0], tables.title(one[0]), watts.get(one, 0.0), kwh.get(one, 0.0), remote.get(one, 0.0))
        for one in watts.keys() | kwh.keys() | remote.keys()
    ]
    used = (one for one in found if one.watts or one.kwh or one.remote_kwh)
    return tuple(sorted(used, key=lambda one: (-(one.kwh + one.remote_kwh), one.title)))


def _finished(tables: _Tables) -> dict[str, int]:
    found: dict[str, float] = defaultdict(float)
    for row in tables.rows("finished"):
        found[row.labels.get("outcome", "")] += row.value
    return {outcome: round(count) for outcome, count in sorted(found.items()) if round(count)}


def _jobs(tables: _Tables, now: datetime) -> tuple[Job, ...]:
    """What is pending first, then what runs, then what ended; the oldest of each first."""
    key = ("site", "namespace", "job_name")
    gpus, created = tables.by("job_gpus", *key), tables.by("job_created", *key)
    found = []
    for row in tables.rows("job_state"):
        one = row.of(*key)
        age = now.timestamp() - created[one] if one in created else None
        found.append(Job(one[0], one[2], row.labels.get("state", ""), round(gpus.get(one, 0)), age))

    def rank(job: Job) -> tuple[int, float]:
        return (_LIVE.index(job.state) if job.state in _LIVE else len(_LIVE), -(job.age_seconds or 0.0))

    return tuple(sorted(found, key=rank))


_TREND_TITLES: Final[Mapping[str, tuple[str, str, SourceName]]] = {
    "waiting": ("Jobs that wait", "jobs", "operator"),
    "reserved": ("GPUs that are held", "GPUs", "operator"),
    "watts": ("Power of held GPUs", "W", "rules"),
    "fired": ("Alerts that fire", "alerts", "rules"),
}


def _trends(answers: Answers, tenant: str) -> tuple[Trend, ...]:
    begin = answers.asked.timestamp() - DAY_SECONDS
    found = []
    for name, (title, unit, source) in _TREND_TITLES.items():
        if name == "fired" and tenant:
            continue
        sums: dict[float, float] = defaultdict(float)
        for one in answers.trends.get(name, ()):
            for at, value in one.points:
                sums[at] += value
        points = tuple(((at - begin) / DAY_SECONDS, value) for at, value in sorted(sums.items()))
        found.append(Trend(title, unit, points, source))
    return tuple(found)
