"""Expressions of the Common Expression Language, made from plain data. Pure.

What an admission policy compares an object with is what this project's own functions make: the objects of a
sample, with placeholders such as ``<tenant>`` where a request has its own values.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final


class Expression(str):
    """Text that is an expression already, where ``literal`` would make one of text."""


_PLACEHOLDER: Final = re.compile(r"(<[a-z]+>)")


def literal(value: Any, filled: Mapping[str, str]) -> str:
    """``value`` as an expression; ``filled`` has the expression of each placeholder in its strings."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        parts = [part for part in _PLACEHOLDER.split(value) if part]
        return " + ".join(filled.get(part) or json.dumps(part) for part in parts) or "''"
    if isinstance(value, Mapping):
        # The values of one map are of one type, unless it is not known: Kubernetes has CEL hold to that.
        pairs = (f"{json.dumps(key)}: dyn({literal(one, filled)})" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(one, filled) for one in value)}]"
    return json.dumps(value)


def kept(
    path: tuple[str, ...],
    wanted: Mapping[str, Any],
    filled: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
) -> str:
    """Whether the map at ``path`` of the object holds what is wanted, and else what it held before.

    Lists are compared whole, as in ``controllers.comparison``. ``defaults`` is what the server may add.
    """
    now, was = _now(path), _was(path)
    others = f"(k in {was} && {was}[k] == {now}[k])"
    for key, value in (defaults or {}).items():
        others += f" || (k == {json.dumps(key)} && {now}[k] == {literal(value, filled)})"
    expressions = [f"{now}.all(k, k in {literal(list(wanted), filled)} || {others})"]
    for key, value in wanted.items():
        expressions.append(f"{json.dumps(key)} in {now}")
        if isinstance(value, Mapping):
            expressions.append(kept((*path, key), value, filled))
        else:
            expressions.append(f"{now}[{json.dumps(key)}] == {literal(value, filled)}")
    return " && ".join(expressions)


def same_metadata(*keys: str) -> str:
    """Whether these keys of the metadata are as they were."""
    return " && ".join(f"object.metadata[?'{key}'] == oldObject.metadata[?'{key}']" for key in keys)


def finalizers_but(*own: str) -> str:
    """Whether the finalizers are those that were, but for our own."""
    now, was = (f"{obj}[?'metadata'][?'finalizers'].orValue([])" for obj in ("object", "variables.was"))
    names = literal(list(own), {})
    return f"{now}.all(one, one in {names} || one in {was}) && {was}.all(one, one in {names} || one in {now})"


def _now(path: tuple[str, ...]) -> str:
    return _at("object", path)


def _was(path: tuple[str, ...]) -> str:
    """Of the object before; an empty map where there was none."""
    return _at("variables.was", path)


def _at(root: str, path: tuple[str, ...]) -> str:
    first, *rest = path
    steps = "".join(f"[?{json.dumps(step)}]" for step in rest)
    return f"{root}[?{json.dumps(first)}]{steps}.orValue(dyn({{}}))"
