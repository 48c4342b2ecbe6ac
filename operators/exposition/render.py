"""Samples and families as text: the Prometheus text format 0.0.4 and OpenMetrics 1.0.

Sample lines are the same in both; headers differ. https://prometheus.io/docs/instrumenting/exposition_formats/
and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as TEXT
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.utils import floatToGoString

from operators.catalog import Family
from operators.histogram import Histogram
from operators.labels import MAX_LENGTH, clean

float_text: Final[Callable[[float], str]] = floatToGoString
"""A float as Go prints it."""
CONTENT_TYPES: Final = {False: TEXT, True: OPENMETRICS}
END: Final = b"# EOF\n"

_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_VALUE: Final = r'([^"\\]*(?:\\.[^"\\]*)*)'  # of a label, escaped
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
        self.labels = family.labels
        self._name = family.name
        self._pairs = _pairs(family.labels)
        self._bucket = f"{family.name}_bucket{_pairs((*family.labels, 'le'))}%s\n"
        self._reading = re.compile(
            rf"^{self._name}{re.escape(self._pairs).replace('%s', _VALUE)}(\S+)$", re.MULTILINE
        )

    def pairs(self, texts: tuple[str, ...]) -> str:
        """The label part of a line: the same for all families of these label names."""
        return self._pairs % texts

    def sample(self, pairs: str, value: float) -> bytes:
        """One sample."""
        return f"{self._name}{pairs}{number(value)}\n".encode()

    def histogram(self, texts: tuple[str, ...], histogram: Histogram) -> bytes:
        """All lines of one histogram: its classic buckets, as text has no others."""
        pairs = self.pairs(texts)
        lines = [self._bucket % (*texts, float_text(bound), n) for bound, n in histogram.buckets]
        lines.append(self._bucket % (*texts, "+Inf", histogram.count))
        lines.append(
            f"{self._name}_sum{pairs}{number(histogram.sum)}\n{self._name}_count{pairs}{histogram.count}\n"
        )
        return "".join(lines).encode()

    def read(self, lines: bytes) -> Iterator[tuple[Sequence[str], float]]:
        """(label values, value) of each line that ``sample`` made."""
        escaped = b"\\" in lines
        for found in self._reading.finditer(lines.decode()):
            *texts, value = found.groups()
            yield plain(texts) if escaped else texts, float(value)


def shown(labels: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Label values, cleaned and escaped, and how many of them had to be changed."""
    together = "".join(labels)
    if (
        len(together) <= MAX_LENGTH
        and together.isprintable()
        and '"' not in together
        and "\\" not in together
    ):
        return labels, 0
    cleaned = tuple(clean(label) for label in labels)
    changed = sum(text is not label for text, label in zip(cleaned, labels, strict=True))
    return tuple(text.translate(_ESCAPES) for text in cleaned), changed


def plain(texts: Sequence[str]) -> tuple[str, ...]:
    """Label values as they were before they were escaped."""
    return tuple(_ESCAPED.sub(_unescape, text) if "\\" in text else text for text in texts)


@lru_cache(maxsize=4096)
def number(value: float) -> str:
    """A sample's value. Whole numbers are shown without a fraction or an exponent."""
    value = float(value)
    if value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    return float_text(value)


def _pairs(labels: Sequence[str]) -> str:
    """A %-format that takes the label values."""
    pairs = ",".join(f'{label}="%s"' for label in labels)
    return f"{{{pairs}}} " if pairs else " "


def _unescape(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
