"""The words that partners are described with. Labels of metrics and reports use the same ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from infra.site.values import describe, nearest_label, refuse
from operators.tenancy import ECOSYSTEMS, SECTORS


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that ``word`` was probably meant to be; None when nothing is near."""
    label, candidates = nearest_label(word), {nearest_label(candidate): candidate for candidate in words}
    if found := difflib.get_close_matches(label, candidates, n=1, cutoff=0.6):
        return candidates[found[0]]
    # "health" is far from "health-biotech-life-sciences" by edit distance, yet clearly meant.
    parts = [candidate for known, candidate in candidates.items() if label in known.split("-")]
    return parts[0] if len(parts) == 1 else None


def suggestion(word: str, words: Iterable[str]) -> str:
    """The fix for a word that is not one of ``words``: the nearest one first, then the list."""
    candidates = list(words)
    listed = ", ".join(candidates) or "none"
    near = nearest(word, candidates)
    if len(candidates) == 1:
        return f"there is only {listed}"
    return f"did you mean {near}? There are: {listed}" if near else f"choose one of: {listed}"


def _one_of(noun: str, words: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise refuse(f"must be {noun}, not {describe(value)}; choose one of: {', '.join(words)}")
        if value not in words:
            raise refuse(f"{value!r} is not {noun}; {suggestion(value, words)}")
        return value

    return BeforeValidator(check)


Ecosystem = Annotated[str, _one_of("an ecosystem", ECOSYSTEMS), Field(examples=["flanders"])]
Sector = Annotated[str, _one_of("a sector", SECTORS), Field(examples=["science-research"])]
