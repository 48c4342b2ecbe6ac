"""Amounts, durations and lists as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from operators.queues import GPU
from operators.why.facts import Amounts


def amount(resource: str, number: Decimal) -> str:
    """``2 GPUs``, ``1 CPU core``, ``64 GiB of memory``."""
    if resource == "memory":
        return f"{_memory(number)} of memory"
    return f"{plain(resource, number)} {noun(resource, number)}"


def plain(resource: str, number: Decimal) -> str:
    """The number alone, memory with its unit."""
    return _memory(number) if resource == "memory" else _number(number)


def noun(resource: str, number: Decimal = Decimal(2)) -> str:
    """What a resource is called."""
    one = number == 1
    names = {GPU: "GPU" if one else "GPUs", "cpu": "CPU core" if one else "CPU cores"}
    return names.get(resource, resource)


def asked(asks: Amounts) -> str:
    """What work asks for: its GPUs, or else its CPU and memory."""
    if asks.get(GPU):
        return amount(GPU, asks[GPU])
    given = [amount(r, asks[r]) for r in ("cpu", "memory") if asks.get(r)]
    return " and ".join(given) or "its turn"


def duration(seconds: float) -> str:
    """``12 s``, ``4 min``, ``3 h``, ``2 days``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit != "min" else 1) * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def lasted(since: datetime | None, now: datetime) -> str:
    """How long ago that was; empty when it is not known."""
    return duration((now - since).total_seconds()) if since else ""


def count(number: int, one: str, many: str = "") -> str:
    """``1 job``, ``3 jobs``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """``a, b and c``; ``a, b, c and 4 more``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return _joined(names)


def clause(text: str, most: int = 240) -> str:
    """Somebody else's message as the end of a sentence: one line, without its full stop, not endless."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _joined(parts: Iterable[str]) -> str:
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _number(number: Decimal) -> str:
    return f"{number.quantize(Decimal('0.001')).normalize():f}"


def _memory(number: Decimal) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if number >= size:
            return f"{(number / size).quantize(Decimal('0.1')).normalize():f} {unit}"
    return f"{_number(number)} bytes"
