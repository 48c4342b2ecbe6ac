"""Samples and families as text: the Prometheus text format 0.0.4 and OpenMetrics 1.0.

Sample lines are the same in both; headers differ. https://prometheus.io/docs/instrumenting/exposition_formats/
and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as TEXT
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.utils import floatToGoString

from operators.catalog import Family
from operators.labels import MAX_LENGTH, clean

float_text: Final[Callable[[float], str]] = floatToGoString
"""A float as Go prints it."""
CONTENT_TYPES: Final = {False: TEXT, True: OPENMETRICS}
END: Final = b"# EOF\n"

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
# Whole numbers up to here are shown without an exponent: every one of them is exact in a float64.
_EXACT: Final = float(2**53)


def header(family: Family, *, openmetrics: bool) -> bytes:
    """HELP, TYPE and, in OpenMetrics, UNIT of a family."""
    name, kind = family.name, str(family.type)
    if openmetrics:
        name = name.removesuffix({"counter": "_total", "info": "_info"}.get(kind, ""))
    elif kind == "info":
        kind = "gauge"
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    unit = f"# UNIT {name} {family.unit}\n" if openmetrics and family.unit else ""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{unit}".encode()


class Line:
    """The sample lines of one family."""

    def __init__(self, family: Family) -> None:
        self._sample = _template(family.name, family.labels)
        self._bucket = _template(f"{family.name}_bucket", (*family.labels, "le"))
        self._sum = _template(f"{family.name}_sum", family.labels)
        self._count = _template(f"{family.name}_count", family.labels)

    def sample(self, shown: tuple[str, ...], value: float) -> bytes:
        """One sample; ``shown`` are label values as ``shown()`` gives them, in the family's order."""
        return (self._sample % (*shown, number(value))).encode()

    def histogram(
        self, shown: tuple[str, ...], buckets: Sequence[tuple[float, int]], total: float, count: int
    ) -> bytes:
        """All lines of one histogram. ``buckets``: (upper bound, observations at or below it)."""
        lines = [self._bucket % (*shown, float_text(bound), n) for bound, n in buckets]
        lines.append(self._bucket % (*shown, "+Inf", count))
        lines.append(self._sum % (*shown, number(total)))
        lines.append(self._count % (*shown, count))
        return "".join(lines).encode()


def shown(labels: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Label values, cleaned and escaped, and how many of them had to be changed."""
    changed = 0
    values = []
    for label in labels:
        # What is too long is not remembered: somebody else chooses how long.
        text, differs = _shown(label) if len(label) <= MAX_LENGTH else _show(label)
        changed += differs
        values.append(text)
    return tuple(values), changed


@lru_cache(maxsize=4096)
def number(value: float) -> str:
    """A sample's value. Whole numbers are shown without a fraction or an exponent."""
    value = float(value)
    if value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    return float_text(value)


def _show(label: str) -> tuple[str, bool]:
    text = clean(label)
    return text.translate(_ESCAPES), text is not label


_shown = lru_cache(maxsize=16384)(_show)


def _template(name: str, labels: Sequence[str]) -> str:
    """A %-format that takes the label values and the value."""
    pairs = ",".join(f'{label}="%s"' for label in labels)
    return f"{name}{{{pairs}}} %s\n" if pairs else f"{name} %s\n"
