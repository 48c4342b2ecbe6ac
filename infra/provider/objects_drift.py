"""How a live object differs from what applying it again would make of it. Pure.

Compared are two answers of the API server, the live object and the dry run of its application, so
that defaults are in both and what other managers own never counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from operators.queues import quantity

Object = dict[str, Any]

_MISSING: Final = object()
_SERVERS_OWN: Final = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
# Lists of such items are told apart by these fields, not by place.
_KEYS: Final = ("name", "type", "key", "containerPort", "port")
_RESOURCE: Final = r"(\.[^.\[\]]+|\[[^\[\]]+\])"
_QUANTITY: Final = re.compile(
    "|".join(
        (
            # Of containers, quotas, volumes, RuntimeClasses; of Kueue's queues and Cohorts; of LimitRanges.
            rf"^spec\b.*\b(limits|requests|hard|capacity|podFixed){_RESOURCE}$",
            r"^spec\b.*\.(nominalQuota|borrowingLimit|lendingLimit|sizeLimit|divisor)$",
            rf"^spec\.limits\[.*\]\.(default|defaultRequest|max|min|maxLimitRequestRatio){_RESOURCE}$",
        )
    )
)
"""Where an amount stands. Elsewhere text is text: a version 1.10 is not 1.1."""


def differences(live: Object, wanted: Object) -> list[str]:
    """One line a difference: ``spec.replicas is 1, declared 2``. Empty: as declared."""
    return list(_walk(_comparable(live), _comparable(wanted), ""))


def _comparable(obj: Object) -> Object:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _SERVERS_OWN}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}


def _walk(live: Any, wanted: Any, path: str) -> Iterator[str]:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(k for k in live if k not in wanted)]:
            below = f"{path}[{key}]" if "." in key or "/" in key else f"{path}.{key}".lstrip(".")
            yield from _walk(live.get(key, _MISSING), wanted.get(key, _MISSING), below)
    elif isinstance(live, list) and isinstance(wanted, list) and (key := _key_of(live, wanted)):
        found = {str(item[key]): item for item in live}
        declared = {str(item[key]): item for item in wanted}
        for name in [*declared, *(n for n in found if n not in declared)]:
            yield from _walk(found.get(name, _MISSING), declared.get(name, _MISSING), f"{path}[{name}]")
    elif isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted) and _deep(wanted):
        for index, (found_item, declared_item) in enumerate(zip(live, wanted, strict=True)):
            yield from _walk(found_item, declared_item, f"{path}[{index}]")
    elif not _same(live, wanted, path):
        yield _line(live, wanted, path)


def _key_of(*lists: list[Any]) -> str | None:
    """The field that tells the items of each list apart, if there is one."""
    if not any(lists) or not all(isinstance(item, dict) for items in lists for item in items):
        return None
    return next((key for key in _KEYS if all(_tells_apart(key, items) for items in lists)), None)


def _tells_apart(key: str, items: list[Object]) -> bool:
    return all(key in item for item in items) and len({str(item[key]) for item in items}) == len(items)


def _deep(items: list[Any]) -> bool:
    return any(isinstance(item, dict | list) for item in items)


def _same(live: Any, wanted: Any, path: str) -> bool:
    """Equal; quantities by value: controllers write ``1024Mi`` back as ``1Gi``."""
    if live == wanted:
        return True
    if not _QUANTITY.search(path) or not all(isinstance(v, str | int) for v in (live, wanted)):
        return False
    try:
        return quantity(live) == quantity(wanted)
    except ValueError:
        return False


def _line(live: Any, wanted: Any, path: str) -> str:
    if live is _MISSING:
        return f"{path} is missing, declared {_shown(wanted)}"
    if wanted is _MISSING:
        return f"{path} is {_shown(live)}, no longer declared"
    return f"{path} is {_shown(live)}, declared {_shown(wanted)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else text[:77] + "..."
