"""The series of one family as bytes: a line each, in blocks that are kept in the forms they were asked for.

A block is joined, compressed or serialized when a scrape needs it, and kept so until a line of it
changes. Concatenated gzip members are one gzip stream (RFC 1952, section 2.2).
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from operator import itemgetter
from typing import Final, TypeVar

from operators.catalog import Family
from operators.exposition.protobuf import Messages
from operators.exposition.render import Line, header, plain
from operators.histogram import Histogram

_SLOTS: Final = 256  # a block: about 20 KiB of text
_LEVEL: Final = 1  # of zlib: text this repetitive shrinks twentyfold at the fastest level

_PIECE: Final = 16
"""Slots that are serialized together. It is a hundred times as slow as to join text: what changes in a
block should not cost the rest of it again."""

Part = tuple[int, bytes]
"""How long a part of a message is, and the part compressed."""
T = TypeVar("T")


class Blocks:
    """Lines of one family in blocks. ``lock`` guards the lines wherever it is a parameter."""

    def __init__(self, family: Family) -> None:
        self.name = family.name
        self.line = Line(family)
        self.messages = Messages(family)
        texts = {om: header(family, openmetrics=om) for om in (False, True)}
        self.headers = {
            (om, packed): pack(t) if packed else t for om, t in texts.items() for packed in (False, True)
        }
        """By (OpenMetrics, compressed)."""
        self._kept = bytearray()
        """By block: 1 where something of it is kept, or being made, that its next change spoils."""
        self._changes: list[int] = []
        self._plain: list[bytes | None] = []
        self._packed: list[bytes | None] = []
        self._parts: list[Part | None] = []

    def plain(self, lock: threading.Lock) -> list[bytes]:
        """Every block that is not empty."""
        with lock:
            for block, text in enumerate(self._plain):
                if text is None:
                    self._plain[block] = self._join(block)
                    self._kept[block] = 1
            return [text for text in self._plain if text]

    def packed(self, lock: threading.Lock) -> list[bytes]:
        """Every block that is not empty, a gzip member each."""

        def begin(block: int) -> Callable[[], bytes]:
            text = self._text(block)
            return lambda: pack(text) if text else b""

        return [text for text in self._made(self._packed, begin, lock) if text]

    def serialized(self, lock: threading.Lock) -> list[bytes]:
        """Every block that is not empty as a part of the family's message. One thread at a time."""
        with lock:
            makes = [self._message(block) for block in range(len(self._kept))]
        return [message for make in makes if (message := make())]

    def serialized_packed(self, lock: threading.Lock) -> tuple[int, list[bytes]]:
        """The same, a gzip member each, and how many bytes they are in all before. One thread at a time."""

        def begin(block: int) -> Callable[[], Part]:
            serialize = self._message(block)

            def make() -> Part:
                message = serialize()
                return len(message), pack(message) if message else b""

            return make

        parts = self._made(self._parts, begin, lock)
        return sum(size for size, _ in parts), [part for _, part in parts if part]

    def _made(
        self, kept: list[T | None], begin: Callable[[int], Callable[[], T]], lock: threading.Lock
    ) -> list[T]:
        """Every block as it is kept, or is made now. ``begin`` takes what it needs of a block, under the
        lock; what it returns makes the block while changes go on.
        """
        with lock:
            made = list(kept)
            stale = {
                block: (self._changes[block], begin(block)) for block, one in enumerate(made) if one is None
            }
            for block in stale:
                self._kept[block] = 1
        fresh = {block: make() for block, (_, make) in stale.items()}
        with lock:
            for block, (change, _) in stale.items():
                if self._changes[block] == change:
                    kept[block] = fresh[block]
        return [fresh[block] if one is None else one for block, one in enumerate(made)]

    def _changed(self, block: int) -> None:
        if block >= len(self._kept):
            missing = block + 1 - len(self._kept)
            self._plain += [None] * missing
            self._packed += [None] * missing
            self._parts += [None] * missing
            self._changes += [0] * missing
            self._kept += bytes(missing)
        elif self._kept[block]:
            self._kept[block] = 0
            self._plain[block] = self._packed[block] = self._parts[block] = None
            self._changes[block] += 1

    def _text(self, block: int) -> bytes:
        return self._plain[block] or self._join(block)

    def _message(self, block: int) -> Callable[[], bytes]:
        """Takes what is needed of a block, under the lock; what it returns serializes that."""
        raise NotImplementedError

    def _join(self, block: int) -> bytes:
        raise NotImplementedError


class ObjectSeries(Blocks):
    """A family of one or a few lines an object, by slot."""

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._lines: list[bytes] = []
        self._series = 0
        self._pieces: dict[int, tuple[list[bytes], bytes]] = {}
        """By first slot: lines as they were serialized last, and that."""

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

    def _message(self, block: int) -> Callable[[], bytes]:
        first = block * _SLOTS
        lines = self._lines[first : first + _SLOTS]
        return lambda: b"".join(
            self._piece(first + at, lines[at : at + _PIECE]) for at in range(0, len(lines), _PIECE)
        )

    def _piece(self, first: int, lines: list[bytes]) -> bytes:
        before, message = self._pieces.get(first, ([], b""))
        if before != lines:
            message = self.messages.samples(self.line.read(b"".join(lines)))
            self._pieces[first] = lines, message
        return message


class AggregateSeries(Blocks):
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

    def _message(self, block: int) -> Callable[[], bytes]:
        text = self._text(block)
        return lambda: self.messages.samples(self.line.read(text))


class HistogramSeries(AggregateSeries):
    """A family of histograms, by label values."""

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._histograms: dict[tuple[str, ...], Histogram] = {}

    def put(self, labels: tuple[str, ...], histogram: Histogram, limit: int) -> bool:
        """Whether there was room."""
        if self._histograms.get(labels) == histogram:
            return True
        if not self.set(labels, self.line.histogram(labels, histogram), limit):
            return False
        self._histograms[labels] = histogram
        self._changed(0)  # also where the text is the same: it does not have all
        return True

    def remove(self, labels: tuple[str, ...]) -> None:
        """Forget it where it is."""
        super().remove(labels)
        self._histograms.pop(labels, None)

    def _message(self, block: int) -> Callable[[], bytes]:
        found = sorted(self._histograms.items(), key=itemgetter(0))
        return lambda: self.messages.histograms((plain(labels), one) for labels, one in found)


def pack(text: bytes) -> bytes:
    """One gzip member, without a time in it: the same text gives the same bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()
