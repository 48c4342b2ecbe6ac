"""All series of the operator, kept as rendered text.

A sample is rendered once, when its object changes. Per-object families hold a line of bytes an object,
in a slot that the object keeps; a few hundred slots make a block. A scrape joins the blocks that
changed since the last one, and sends the others as they are. Protobuf is made from the text, of the
blocks that changed, and only where a scraper asks for it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from operators.catalog import Family
from operators.exposition import protobuf
from operators.exposition.blocks import AggregateSeries, Blocks, HistogramSeries, ObjectSeries, pack
from operators.exposition.render import END, shown
from operators.histogram import Histogram

SERIES_LIMIT: Final = 500_000
"""Series a family may have, unless told otherwise."""
_CLOCK_PATIENCE: Final = 0.5  # seconds

_DROPPED: Final = "antenna_operator_series_dropped_total"
_CHANGED: Final = "antenna_operator_labels_changed_total"

_log = logging.getLogger(__name__)

Sample = tuple[str, tuple[str, ...], float]
"""Family name, label values in the family's order, value."""


class Store:
    """Rendered series. Safe to use from several threads.

    ``without`` names per-object families that are not kept; ValueError for any other. A family holds
    at most ``series_limit`` series: what is beyond is refused, and counted.
    """

    def __init__(
        self,
        families: Sequence[Family],
        *,
        without: frozenset[str] = frozenset(),
        series_limit: int = SERIES_LIMIT,
    ) -> None:
        per_object = {family.name for family in families if family.per_object}
        if wrong := sorted(without - per_object):
            raise ValueError(f"not families of one series an object: {', '.join(wrong)}")
        self.writing = threading.RLock()
        """Held while collectors are called: by whoever feeds them, and for the ``on_scrape`` callbacks."""
        self._lock = threading.Lock()
        self._rendering = {protobuf: threading.Lock() for protobuf in (False, True)}
        """What two scrapes need is made by one of them. Text waits for no protobuf."""
        self._limit = series_limit
        self._without = without
        self._callbacks: list[Callable[[], None]] = []
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._objects = {f.name: ObjectSeries(f) for f in families if f.name in per_object - without}
        self._histograms = {f.name: HistogramSeries(f) for f in families if f.type == "histogram"}
        self._aggregates = {
            f.name: AggregateSeries(f) for f in families if not (f.per_object or f.name in self._histograms)
        }
        kept: dict[str, Blocks] = {**self._objects, **self._aggregates, **self._histograms}
        self._families = [kept[f.name] for f in families if f.name in kept]
        self._hidden: set[Blocks] = set()
        self._dropped: Counter[str] = Counter()
        self._changed = 0

    def put(self, key: str, samples: Iterable[Sample]) -> None:
        """All samples of one object in per-object families; they replace what ``key`` had."""
        lines, changed = self._lines(samples)
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = self._free.pop() if self._free else len(self._slots)
            else:
                for family in self._objects.values():
                    if family not in lines:
                        family.put(slot, b"", self._limit)
            self._fill(slot, lines, changed)

    def change(self, key: str, before: Iterable[Sample], samples: Iterable[Sample]) -> None:
        """``put`` for an object that is there, and has a sample a family at most.

        ``before`` was put last: only what differs from it is rendered.
        """
        had = {name: (labels, value) for name, labels, value in before}
        news = [sample for sample in samples if had.pop(sample[0], None) != sample[1:]]
        if not (news or had):
            return
        lines, changed = self._lines(news)
        with self._lock:
            slot = self._slots[key]
            for name in had:
                if name in self._objects:
                    self._objects[name].put(slot, b"", self._limit)
            self._fill(slot, lines, changed)

    def drop(self, key: str) -> None:
        """Forget an object. Nothing happens where there is none of that key."""
        with self._lock:
            slot = self._slots.pop(key, None)
            if slot is None:
                return
            self._free.append(slot)
            for family in self._objects.values():
                family.put(slot, b"", self._limit)

    def set(self, family: str, labels: tuple[str, ...], value: float) -> None:
        """Set one aggregate series."""
        series = self._aggregates[family]
        texts, changed = shown(labels)
        line = series.line.sample(series.line.pairs(texts), value)
        with self._lock:
            self._changed += changed
            if not series.set(texts, line, self._limit):
                self._dropped[family] += 1

    def histogram(self, family: str, labels: tuple[str, ...], histogram: Histogram) -> None:
        """Set one histogram."""
        series = self._histograms[family]
        texts, changed = shown(labels)
        with self._lock:
            self._changed += changed
            if not series.put(texts, histogram, self._limit):
                self._dropped[family] += 1

    def remove(self, family: str, labels: tuple[str, ...]) -> None:
        """Forget one aggregate series or histogram. Nothing happens where there is none."""
        texts, _ = shown(labels)
        series = self._histograms.get(family) or self._aggregates[family]
        with self._lock:
            series.remove(texts)

    def hide(self, families: Iterable[str]) -> None:
        """Keep series of these families of one series an object, and show none until ``reveal``."""
        self._hidden.update(self._objects[name] for name in families if name in self._objects)

    def reveal(self, families: Iterable[str]) -> None:
        """Show them from here on."""
        self._hidden.difference_update(self._objects[name] for name in families if name in self._objects)

    def on_scrape(self, callback: Callable[[], None]) -> None:
        """Call this before each rendering, for values that follow the clock. It must be cheap."""
        self._callbacks.append(callback)

    def render(self, openmetrics: bool) -> list[bytes]:
        """The whole exposition, in blocks to be sent one after the other. Never waits for any API."""
        return self._render(openmetrics, compressed=False)

    def render_gzip(self, openmetrics: bool) -> list[bytes]:
        """The same as one gzip stream, in blocks."""
        return self._render(openmetrics, compressed=True)

    def render_protobuf(self, *, compressed: bool) -> list[bytes]:
        """The same in protobuf, histograms in both their shapes; as one gzip stream where ``compressed``."""
        self._follow_the_clock()
        blocks: list[bytes] = []
        with self._rendering[True]:
            self._set_own()
            for family in self._shown():
                if compressed:
                    size, parts = family.serialized_packed(self._lock)
                else:
                    parts = family.serialized(self._lock)
                    size = sum(map(len, parts))
                if parts:
                    head = family.messages.head
                    start = protobuf.length(len(head) + size) + head
                    blocks += (pack(start) if compressed else start, *parts)
        return blocks or [pack(b"") if compressed else b""]

    def _render(self, openmetrics: bool, *, compressed: bool) -> list[bytes]:
        self._follow_the_clock()
        blocks: list[bytes] = []
        with self._rendering[False]:
            self._set_own()
            for family in self._shown():
                body = family.packed(self._lock) if compressed else family.plain(self._lock)
                if body:
                    blocks += (family.headers[openmetrics, compressed], *body)
        if openmetrics:
            blocks.append(pack(END) if compressed else END)
        return blocks or [pack(b"") if compressed else b""]

    def _shown(self) -> list[Blocks]:
        return [family for family in self._families if family not in self._hidden]

    def _follow_the_clock(self) -> None:
        """A long change (a relist of everything) does not hold up a scrape: it then shows the values
        of the last one.
        """
        if self.writing.acquire(timeout=_CLOCK_PATIENCE):
            try:
                for callback in self._callbacks:
                    try:
                        callback()
                    except Exception:
                        # The other figures are still right, and a scrape without them all helps nobody.
                        _log.exception("figures that follow the clock stay as they were")
            finally:
                self.writing.release()

    def _lines(self, samples: Iterable[Sample]) -> tuple[dict[ObjectSeries, bytes], int]:
        """Samples by family as text, and how many of their label values had to be changed."""
        lines: dict[ObjectSeries, bytes] = {}
        last: tuple[str, ...] | None = None
        names: tuple[str, ...] = ()
        texts: tuple[str, ...] = ()
        pairs = ""
        changed = 0
        for name, labels, value in samples:
            family = self._objects.get(name)
            if family is None:
                if name in self._without:
                    continue
                raise KeyError(f"no family of one series an object: {name}")
            # Most families of an object share their labels: what is the same is rendered once.
            if labels is not last:
                texts, differ = shown(labels)
                last, names, changed = labels, (), changed + differ
            if names != family.line.labels or not names:
                names, pairs = family.line.labels, family.line.pairs(texts)
            line = family.line.sample(pairs, value)
            lines[family] = lines[family] + line if family in lines else line
        return lines, changed

    def _fill(self, slot: int, lines: dict[ObjectSeries, bytes], changed: int) -> None:
        self._changed += changed
        for family, text in lines.items():
            if not family.put(slot, text, self._limit):
                self._dropped[family.name] += text.count(b"\n")

    def _set_own(self) -> None:
        if _CHANGED in self._aggregates:
            self.set(_CHANGED, (), self._changed)
        if _DROPPED in self._aggregates:
            for family, count in tuple(self._dropped.items()):
                self.set(_DROPPED, (family,), count)
