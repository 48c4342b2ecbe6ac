"""The figures of a report: the operator's rows summed up by whom, where, when and who pays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

Document = Mapping[str, Any]

LOCAL = "local"


@dataclass(frozen=True)
class Partner:
    """A partner as the site's file describes it; ``sector`` is the first of its sectors."""

    title: str
    ecosystem: str
    sector: str


@dataclass
class Line:
    """What one partner, ecosystem, sector or site used.

    GPU-hours are those of the GPUs as each scheduler counts them; ``units`` is what the sites bill, by
    "SITE UNIT".
    """

    name: str
    title: str
    jobs: int = 0
    gpu_hours: float = 0.0
    kwh: float = 0.0
    units: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Funder:
    """What a funder carries: its share of everything."""

    name: str
    share: float
    gpu_hours: float
    kwh: float
    units: dict[str, float]


@dataclass(frozen=True)
class Figures:
    """Everything that a report shows."""

    first: date
    last: date
    as_of: str
    total: Line
    sites: list[Line]
    tenants: list[Line]
    ecosystems: list[Line]
    sectors: list[Line]
    funders: list[Funder]
    days: dict[str, dict[str, float]]
    """Site -> day -> GPU-hours; every day of the period, in order."""
    budgets: list[Document]
    rows: list[Document]
    local_energy: bool
    """Whether the energy of local work is known."""

    @property
    def units(self) -> list[str]:
        """Every "SITE UNIT" that something was billed in."""
        return sorted(self.total.units)

    @property
    def without_energy(self) -> list[str]:
        """Sites whose GPUs were used and of which no energy is known."""
        return [site.name for site in self.sites if site.gpu_hours and not site.kwh]

    def document(self) -> dict[str, Any]:
        """The stable keys of report.json."""
        told = asdict(self)
        days = {"first": self.first.isoformat(), "last": self.last.isoformat()}
        return {**told, **days, "without_energy": self.without_energy}


def figures(
    usage: Document,
    budgets: Iterable[Document],
    measured: Mapping[str, float] | None,
    *,
    shares: Mapping[str, float],
    partners: Mapping[str, Partner],
) -> Figures:
    """Sum it all up. ``measured``: kWh of local work by tenant, None where that is not known."""
    rows = list(usage["rows"])
    first = date.fromisoformat(usage["from"][:10])
    last = (datetime.fromisoformat(usage["to"]) - timedelta(seconds=1)).date()
    total = Line("total", "All")
    groups: dict[str, dict[str, Line]] = {by: {} for by in ("site", "tenant", "ecosystem", "sector")}
    for row in rows:
        for line in (total, *(_line(groups[by], row[by], by, partners) for by in groups)):
            _add(line, row)
    for tenant, kwh in (measured or {}).items():
        if kwh:
            whose = partners.get(tenant, Partner(tenant, "", ""))
            at = {"site": LOCAL, "tenant": tenant, "ecosystem": whose.ecosystem, "sector": whose.sector}
            for line in (total, *(_line(groups[by], at[by], by, partners) for by in groups)):
                line.kwh += kwh
    return Figures(
        first=first,
        last=last,
        as_of=usage["as_of"],
        total=total,
        sites=sorted(groups["site"].values(), key=lambda line: (line.name == LOCAL, line.name)),
        tenants=_largest_first(groups["tenant"].values()),
        ecosystems=_largest_first(groups["ecosystem"].values()),
        sectors=_largest_first(groups["sector"].values()),
        funders=[
            Funder(
                name=name,
                share=share,
                gpu_hours=total.gpu_hours * share,
                kwh=total.kwh * share,
                units={unit: units * share for unit, units in total.units.items()},
            )
            for name, share in shares.items()
        ],
        days=_days(rows, first, last),
        budgets=[one for one in budgets if one["allocated"] is not None],
        rows=rows,
        local_energy=measured is not None,
    )


def _line(lines: dict[str, Line], name: str, by: str, partners: Mapping[str, Partner]) -> Line:
    if name not in lines:
        known = partners.get(name) if by == "tenant" else None
        title = known.title if known else name.replace("-", " ").capitalize() if by != "site" else name
        lines[name] = Line(name, title or "Nobody's")
    return lines[name]


def _add(line: Line, row: Document) -> None:
    line.jobs += sum(row["jobs"].values())
    line.gpu_hours += row["gpu_seconds"] / 3600
    line.kwh += row["kwh"]
    if row["unit"]:
        unit = f"{row['site']} {row['unit']}"
        line.units[unit] = line.units.get(unit, 0.0) + row["used"]


def _largest_first(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-line.gpu_hours, -sum(line.units.values()), line.name))


def _days(rows: Sequence[Document], first: date, last: date) -> dict[str, dict[str, float]]:
    every = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    sites = sorted({row["site"] for row in rows}, key=lambda site: (site == LOCAL, site))
    found = {site: dict.fromkeys(every, 0.0) for site in sites}
    for row in rows:
        found[row["site"]][row["day"]] += row["gpu_seconds"] / 3600
    return found
