"""What one simulated GPU reads, from who holds it and the time. Pure.

The model. A GPU that nobody holds, or that has failed, draws its idle power and does nothing. One that a pod
holds carries a load between 0.8 and 1 that swings with two periods (five minutes, 37 seconds). Their phases
follow from the pod and the device's index: the same at any moment, however often the program was started.
From the load: power = idle + load x (TDP - idle); utilisation = load; memory traffic = 0.55 load; temperature
= 30 C + 50 C x power / TDP. The memory that a pod uses, half of the device's or more, stays the same.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

SWINGS = ((300.0, 0.07), (37.0, 0.03))
"""Period in seconds and amplitude of each part of the load's variation around 0.9."""


@dataclass(frozen=True)
class Card:
    """A product: power in W, memory in MiB, clock of the streaming multiprocessors in MHz."""

    idle_watts: float
    tdp_watts: float
    memory_mib: int
    idle_clock_mhz: int
    clock_mhz: int


H100 = Card(70, 700, 81559, 345, 1980)

# By a part of the product's name, first match; from NVIDIA's data sheets.
CARDS = (
    ("H200", Card(70, 700, 143771, 345, 1980)),
    ("H100-PCIe", Card(50, 350, 81559, 345, 1755)),
    ("H100", H100),
    ("A100-PCI", Card(45, 300, 81920, 210, 1410)),
    ("A100", Card(60, 400, 81920, 210, 1410)),
    ("L40S", Card(35, 350, 46068, 210, 2520)),
)


@dataclass(frozen=True)
class Holder:
    """The container that a device is allocated to."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True)
class Reading:
    """What a GPU shows: percent, MiB, W, C and MHz."""

    utilisation: int
    memory_traffic: int
    memory_used: int
    memory_free: int
    power: float
    temperature: int
    clock: int


def find_card(model: str) -> Card:
    """The product of that name; an unknown one is like an H100."""
    return next((card for part, card in CARDS if part.lower() in model.lower()), H100)


def read(card: Card, seed: str | None, seconds: float) -> Reading:
    """What a GPU shows at a moment (seconds since 1970). ``seed`` names its work; None: it has none."""
    load = 0.0 if seed is None else load_of(seed, seconds)
    used = 0 if seed is None else round(card.memory_mib * (0.5 + 0.45 * fraction(f"{seed} memory")))
    power = card.idle_watts + load * (card.tdp_watts - card.idle_watts)
    return Reading(
        utilisation=round(100 * load),
        memory_traffic=round(55 * load),
        memory_used=used,
        memory_free=card.memory_mib - used,
        power=power,
        temperature=round(30 + 50 * power / card.tdp_watts),
        clock=card.idle_clock_mhz if seed is None else card.clock_mhz,
    )


def load_of(seed: str, seconds: float) -> float:
    """Load at a moment, between 0.8 and 1."""
    return 0.9 + sum(
        size * math.sin(2 * math.pi * (seconds / period + fraction(f"{seed} {period}")))
        for period, size in SWINGS
    )


def fraction(text: str) -> float:
    """A number from 0 to 1 that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
