"""What a check says of the facts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Verdict:
    """A judgement: ``cause`` says what was found, ``fix`` is a command or an edit."""

    level: Level
    cause: str
    fix: str = ""
