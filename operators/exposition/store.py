"""All series of the operator, kept as rendered text.

A sample is rendered once, when its object changes. Per-object families hold a line of bytes an object,
in a slot that the object keeps; a few hundred slots make a block. A scrape joins the blocks that
changed since the last one, and sends the others as they are, plain or compressed: concatenated gzip
members are one gzip stream (RFC 1952, section 2.2).
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from operators.catalog import Family
from operators.exposition.render import END, Line, header, shown

SERIES_LIMIT: Final = 500_000
"""Series a family may have, unless told otherwise."""
_SLOTS: Final = 256  # a block: about 20 KiB of text
_LEVEL: Final = 1  # of zlib: text this repetitive shrinks twentyfold at the fastest level
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
        self._rendering = threading.Lock()
        self._limit = series_limit
        self._without = without
        self._callbacks: list[Callable[[], None]] = []
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._objects = {f.name: _ObjectSeries(f) for f in families if f.name in per_object - without}
        self._aggregates = {f.name: _Series(f) for f in families if not f.per_object}
        self._order = [f.name for f in families if f.name not in without]
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
        self._keep(series, family, texts, series.line.sample(series.line.pairs(texts), value), changed)

    def histogram(
        self,
        family: str,
        labels: tuple[str, ...],
        buckets: Sequence[tuple[float, int]],
        sum: float,
        count: int,
    ) -> None:
        """Set one histogram: (upper bound, observations at or below it) a bucket; +Inf is ``count``."""
        series = self._aggregates[family]
        texts, changed = shown(labels)
        self._keep(series, family, texts, series.line.histogram(texts, buckets, sum, count), changed)

    def remove(self, family: str, labels: tuple[str, ...]) -> None:
        """Forget one aggregate series or histogram. Nothing happens where there is none."""
        texts, _ = shown(labels)
        with self._lock:
            self._aggregates[family].remove(texts)

    def on_scrape(self, callback: Callable[[], None]) -> None:
        """Call this before each rendering, for values that follow the clock. It must be cheap."""
        self._callbacks.append(callback)

    def render(self, openmetrics: bool) -> list[bytes]:
        """The whole exposition, in blocks to be sent one after the other. Never waits for any API."""
        return self._render(openmetrics, compressed=False)

    def render_gzip(self, openmetrics: bool) -> list[bytes]:
        """The same as one gzip stream, in blocks."""
        return self._render(openmetrics, compressed=True)

    def _render(self, openmetrics: bool, *, compressed: bool) -> list[bytes]:
        self._follow_the_clock()
        blocks: list[bytes] = []
        with self._rendering:
            for name in (_DROPPED, _CHANGED):
                if name in self._aggregates:
                    self._set_own(name)
            for name in self._order:
                family = self._objects.get(name) or self._aggregates[name]
                body = family.packed(self._lock) if compressed else family.plain(self._lock)
                if body:
                    blocks += (family.headers[openmetrics, compressed], *body)
        if openmetrics:
            blocks.append(_gzip(END) if compressed else END)
        return blocks or [_gzip(b"") if compressed else b""]

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

    def _lines(self, samples: Iterable[Sample]) -> tuple[dict[_ObjectSeries, bytes], int]:
        """Samples by family as text, and how many of their label values had to be changed."""
        lines: dict[_ObjectSeries, bytes] = {}
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

    def _fill(self, slot: int, lines: dict[_ObjectSeries, bytes], changed: int) -> None:
        self._changed += changed
        for family, text in lines.items():
            if not family.put(slot, text, self._limit):
                self._dropped[family.name] += text.count(b"\n")

    def _keep(self, series: _Series, name: str, texts: tuple[str, ...], lines: bytes, changed: int) -> None:
        with self._lock:
            self._changed += changed
            if not series.set(texts, lines, self._limit):
                self._dropped[name] += 1

    def _set_own(self, name: str) -> None:
        if name == _CHANGED:
            self.set(name, (), self._changed)
        else:
            for family, count in tuple(self._dropped.items()):
                self.set(name, (family,), count)


class _Blocks:
    """Lines of one family in blocks: joined and compressed when asked for, and kept until they change."""

    def __init__(self, family: Family) -> None:
        self.name = family.name
        self.line = Line(family)
        texts = {om: header(family, openmetrics=om) for om in (False, True)}
        self.headers = {
            (om, packed): _gzip(t) if packed else t for om, t in texts.items() for packed in (False, True)
        }
        """By (OpenMetrics, compressed)."""
        self._kept = bytearray()
        """By block: 1 where something of it is kept, or being made, that its next change spoils."""
        self._changes: list[int] = []
        self._plain: list[bytes | None] = []
        self._packed: list[bytes | None] = []

    def plain(self, lock: threading.Lock) -> list[bytes]:
        """Every block that is not empty. ``lock`` guards the lines."""
        with lock:
            for block, text in enumerate(self._plain):
                if text is None:
                    self._plain[block] = self._join(block)
                    self._kept[block] = 1
            return [text for text in self._plain if text]

    def packed(self, lock: threading.Lock) -> list[bytes]:
        """Every block that is not empty, a gzip member each. Changes go on while it compresses."""
        with lock:
            packed = list(self._packed)
            stale = {
                block: (self._changes[block], self._plain[block] or self._join(block))
                for block, text in enumerate(packed)
                if text is None
            }
            for block in stale:
                self._kept[block] = 1
        for block, (_, text) in stale.items():
            packed[block] = _gzip(text) if text else b""
        with lock:
            for block, (change, _) in stale.items():
                if self._changes[block] == change:
                    self._packed[block] = packed[block]
        return [text for text in packed if text]

    def _changed(self, block: int) -> None:
        if block >= len(self._kept):
            missing = block + 1 - len(self._kept)
            self._plain += [None] * missing
            self._packed += [None] * missing
            self._changes += [0] * missing
            self._kept += bytes(missing)
        elif self._kept[block]:
            self._kept[block] = 0
            self._plain[block] = self._packed[block] = None
            self._changes[block] += 1

    def _join(self, block: int) -> bytes:
        raise NotImplementedError


class _ObjectSeries(_Blocks):
    """A family of one or a few lines an object, by slot."""

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._lines: list[bytes] = []
        self._series = 0

    def put(self, slot: int, lines: bytes, limit: int) -> bool:
        """Whether there was room; where there was none, the object has no series here."""
        if slot >= len(self._lines):
            if not lines:
                return True
            self._lines += [b""] * (slot + 1 - len(self._lines))
        old = self._lines[slot]
        if lines == old:
            return True
        before = old.count(b"\n") if old else 0
        after = lines.count(b"\n")
        fits = self._series - before + after <= limit
        if not fits:
            lines, after = b"", 0
        self._lines[slot] = lines
        self._series += after - before
        self._changed(slot // _SLOTS)
        return fits

    def _join(self, block: int) -> bytes:
        return b"".join(self._lines[block * _SLOTS : (block + 1) * _SLOTS])


class _Series(_Blocks):
    """A family whose series belong to no object, by label values. One block."""

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._lines: dict[tuple[str, ...], bytes] = {}

    def set(self, labels: tuple[str, ...], lines: bytes, limit: int) -> bool:
        """Whether there was room."""
        old = self._lines.get(labels)
        if old is None and len(self._lines) >= limit:
            return False
        if old != lines:
            self._lines[labels] = lines
            self._changed(0)
        return True

    def remove(self, labels: tuple[str, ...]) -> None:
        """Forget them where they are."""
        if self._lines.pop(labels, None) is not None:
            self._changed(0)

    def _join(self, block: int) -> bytes:
        return b"".join(self._lines[labels] for labels in sorted(self._lines))


def _gzip(text: bytes) -> bytes:
    """One gzip member, without a time in it: the same text gives the same bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()
