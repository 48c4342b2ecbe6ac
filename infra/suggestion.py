"""What somebody who wrote a word that is not known has probably meant. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def nearest_label(text: str) -> str:
    """The DNS label that someone who wrote ``text`` most likely wants: "KU Leuven" gives "ku-leuven"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "a-name"


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
