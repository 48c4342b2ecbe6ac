"""Whether a live object is as it was last applied, told without asking the API server. Pure.

Mappings are compared by what is wanted of them: the rest is the server's or another manager's. Lists are
compared whole, as server-side apply sets lists that are atomic; so are all that the operator sets. An empty
mapping is a selector of everything, atomic too: one that says more selects less.
"""

from __future__ import annotations

from typing import Any

from operators.queues import quantity
from operators.tenancy import Object


def differs(live: Object | None, wanted: Object) -> bool:
    """Whether applying ``wanted`` would change anything."""
    return live is None or not _holds(live, wanted)


def _holds(live: Any, wanted: Any) -> bool:
    if wanted == {}:
        return bool(live == {})
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and _holds(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(_same, live, wanted))
    return _equal(live, wanted)


def _same(live: Any, wanted: Any) -> bool:
    """Equal all the way down: inside a list, a field that is not wanted is a difference."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        return live.keys() == wanted.keys() and all(_same(live[key], wanted[key]) for key in wanted)
    if isinstance(live, list) and isinstance(wanted, list):
        return len(live) == len(wanted) and all(map(_same, live, wanted))
    return _equal(live, wanted)


def _equal(live: Any, wanted: Any) -> bool:
    """Equal; quantities by value, for the server prints ``1024Mi`` as ``1Gi``."""
    if live == wanted:
        return True
    if not all(isinstance(value, str | int) for value in (live, wanted)):
        return False
    try:
        return quantity(live) == quantity(wanted)
    except ValueError:
        return False
