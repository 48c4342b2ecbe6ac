"""Property paths, as in ignoreChanges and in detailed diffs: ``a.b[0]["c.d"]``, ``*`` for any element."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping

from infra.engine.properties import Properties, Value

Path = tuple[str | int, ...]

_MISSING = object()
_TOKEN = re.compile(r"""\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[(\*)\]""")


def parse(text: str) -> Path:
    """Parse a path. Raises ValueError for what is none."""
    keys: list[str | int] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"not a property path: {text!r}")
        name, index, quoted, star = token.groups()
        if index is not None:
            keys.append(int(index))
        else:
            keys.append(name or star or quoted.replace('\\"', '"'))
        position = token.end()
    return tuple(keys)


def contains(outer: Path, inner: Path) -> bool:
    """Tell whether `outer` is `inner` or leads to something around it."""
    return len(outer) <= len(inner) and all(a in ("*", b) for a, b in zip(outer, inner, strict=False))


def get(value: Value, path: Path) -> Value:
    """Return what a path leads to, None for nothing."""
    found = _step_through(value, path)
    return None if found is _MISSING else found


def ignore_changes(inputs: Properties, old: Mapping[str, Value], paths: Iterable[str]) -> Properties:
    """Return inputs in which everything that the paths lead to is as it was."""
    result = copy.deepcopy(inputs)
    for path in paths:
        _reset(result, old, parse(path))
    return result


def _step_through(value: Value, path: Path) -> Value:
    for key in path:
        if isinstance(value, dict) and "value" in value and key not in value:
            value = value["value"]  # a secret is transparent
        if isinstance(value, Mapping):
            value = value.get(str(key), _MISSING)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return _MISSING
    return value


def _reset(new: Value, old: Value, path: Path) -> None:
    key, rest = path[0], path[1:]
    if key == "*":
        for each in _keys(new, old):
            _reset(new, old, (each, *rest))
        return
    was, now = _step_through(old, (key,)), _step_through(new, (key,))
    if rest and was is not _MISSING and now is not _MISSING:
        _reset(now, was, rest)
    elif not rest and isinstance(new, dict):
        if was is _MISSING:
            new.pop(key, None)
        else:
            new[key] = copy.deepcopy(was)
    elif not rest and isinstance(new, list) and was is not _MISSING and now is not _MISSING:
        new[int(key)] = copy.deepcopy(was)


def _keys(new: Value, old: Value) -> Iterable[str | int]:
    if isinstance(new, dict) and isinstance(old, Mapping):
        return sorted(new.keys() | old.keys())
    return range(min(len(new), len(old))) if isinstance(new, list) and isinstance(old, list) else ()
