"""The families that an expression reads."""

from __future__ import annotations

import re

_STRINGS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_SELECTORS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_GROUPINGS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAMES = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])")
_WORDS = {"and", "or", "unless", "bool", "offset", "default", "group_left", "group_right"}
_AGGREGATIONS = {"sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile"}


def metric_names(expression: str) -> set[str]:
    """Names of metrics in PromQL: what is left without strings, selectors, groupings and functions."""
    for part in (_STRINGS, _SELECTORS, _GROUPINGS):
        expression = part.sub(" ", expression)
    return set(_NAMES.findall(expression)) - _WORDS - _AGGREGATIONS
