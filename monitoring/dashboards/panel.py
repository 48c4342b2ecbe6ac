"""What a dashboard is made of, whichever program shows it.

Expressions are PromQL, which VictoriaMetrics and Prometheus both take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

COLUMNS = 12
"""A row is this wide."""


@dataclass(frozen=True)
class Unit:
    """How values are written: ``suffix`` is behind them in vmui, ``grafana`` the name of a format there."""

    suffix: str
    grafana: str


def counted(things: str) -> Unit:
    """Whole things, by their name."""
    return Unit(things, f"suffix: {things}")


ALERTS: Final = counted("alerts")
BYTES: Final = Unit("bytes", "bytes")
BYTES_A_SECOND: Final = Unit("bytes/s", "Bps")
CELSIUS: Final = Unit("°C", "celsius")
DAYS: Final = counted("days")
EVENTS_A_SECOND: Final = Unit("1/s", "cps")
GPUS: Final = counted("GPUs")
GPU_HOURS: Final = counted("GPU-h")
JOBS: Final = counted("jobs")
KWH: Final = Unit("kWh", "kwatth")
NODES: Final = counted("nodes")
OF_ONE: Final = Unit("of 1", "percentunit")
"""A part: 1 is all."""
SECONDS: Final = Unit("s", "s")
SERIES: Final = counted("series")
TIMES: Final = counted("times")
TRUE: Final = Unit("(1 is yes)", "bool_yes_no")
UNITS: Final = counted("units")
"""What a site bills in; series say which."""
WATTS: Final = Unit("W", "watt")
XID: Final = Unit("(XID)", "none")


@dataclass(frozen=True)
class Query:
    """One expression and what its series are called: ``{{label}}`` stands for a label's value.

    ``label=~"$label"`` in the expression is what the reader chose of a variable of the dashboard.
    """

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One graph, or the last value of each series. ``width`` in columns."""

    title: str
    about: str
    """What a reader should know to read it right; shown on the panel."""
    queries: tuple[Query, ...]
    unit: Unit
    kind: Literal["graph", "number"] = "graph"
    width: int = 4
    empty: str = ""
    """What an empty panel means where that is well while jobs run; "" where there is always something."""
    alerts: tuple[str, ...] = ()
    """Alerts on what it shows: an alert is of one panel."""


@dataclass(frozen=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice of values of the label ``name``, taken from the series of ``family``."""

    name: str
    title: str
    family: str

    @property
    def placeholder(self) -> str:
        """What stands for it in expressions."""
        return f"${self.name}"


SITE: Final = Variable("site", "Site", "antenna_queue_jobs")
QUEUE: Final = Variable("queue", "Queue", "antenna_queue_jobs")
TENANT: Final = Variable("tenant", "Partner", "antenna_queue_jobs")

EVERYTHING: Final = ".*"
"""A variable's value where nothing was chosen, as a regular expression."""


@dataclass(frozen=True)
class Dashboard:
    """One page. ``name`` is its file's."""

    name: str
    title: str
    answers: str
    """The question that it is opened for."""
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Of all rows."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def chosen(self, expression: str, values: str = EVERYTHING) -> str:
        """The expression with ``values`` for each variable."""
        for variable in self.variables:
            expression = expression.replace(variable.placeholder, values)
        return expression
