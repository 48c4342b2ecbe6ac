"""What an engine tells while it works, the same for both engines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Change:
    """One property that differs: ``kind`` is add, delete or update.

    ``replaces`` says that the resource must be made anew for it.
    """

    path: str
    kind: str
    old: Any = None
    new: Any = None
    replaces: bool = False


class Addressed:
    """What is told from a URN alone."""

    urn: str

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """The last part of its type: Machine of antenna:index:Machine."""
        return resource_type(self.urn).rpartition(":")[2]


@dataclass(frozen=True)
class Step(Addressed):
    """An operation on one resource begins, ends or fails. ``op`` is Pulumi's word for it."""

    stage: Literal["begun", "done", "failed"]
    op: str
    urn: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Note:
    """A line about a resource (or about the run, when ``urn`` is empty).

    ``severity`` is debug, info, warning or error.
    """

    urn: str
    severity: str
    text: str
    ephemeral: bool = False


Event = Step | Note


@dataclass(frozen=True)
class Outcome:
    """How an operation of an engine ended. ``changes`` counts resources by op, unchanged ones included."""

    ok: bool
    changes: Mapping[str, int]
    steps: tuple[Step, ...]
    errors: tuple[str, ...]
    cancelled: bool = False


@dataclass(frozen=True)
class Resource(Addressed):
    """A resource as the state has it."""

    urn: str
    id: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class Drift:
    """How one resource differs from what was made, a line each."""

    kind: str
    name: str
    lines: tuple[str, ...]


def drift(before: Iterable[Resource], after: Iterable[Resource]) -> list[Drift]:
    """What a refresh found: what is gone, and what differs."""
    now = list(after)
    there = {r.urn for r in now}
    gone = [Drift(r.kind, r.name, ("gone",)) for r in before if is_ours(r.urn) and r.urn not in there]
    differs = [(r, tuple(r.outputs.get("drift") or ())) for r in now if is_ours(r.urn)]
    return gone + [Drift(r.kind, r.name, lines) for r, lines in differs if lines]


PAST = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "created anew",
    "delete-replaced": "deleted old",
    "discard": "forgotten",
    "discard-replaced": "forgotten",
    "read": "read",
    "refresh": "refreshed",
    "import": "imported",
    "same": "unchanged",
}

# What takes time. `replace` does not: it stands for a creation and a deletion, which are told.
PRESENT = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "create-replacement": "creating anew",
    "delete-replaced": "deleting old",
    "read": "reading",
    "refresh": "refreshing",
    "import": "importing",
}

# Ops that stand for a change to the site, in the order in which a summary names them. A replacement
# is three steps and one change: `replace`.
COUNTED = ("create", "update", "replace", "delete", "import", "discard")


def resource_type(urn: str) -> str:
    """The type that a URN ends its chain of types with."""
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""


def is_ours(urn: str) -> bool:
    """Whether it is a thing of the site, not a component, a stack or a provider."""
    return resource_type(urn).startswith("antenna:index:")


def summary(counts: Mapping[str, int], *, planned: bool = False) -> str:
    """'3 created, 1 updated, 40 unchanged', or '0 changes, 44 unchanged'."""
    words = [f"{counts[op]} {'to ' + op if planned else PAST[op]}" for op in COUNTED if counts.get(op)]
    words = words or ["0 changes"]
    if counts.get("same"):
        words.append(f"{counts['same']} unchanged")
    return ", ".join(words)


def tally(steps: Iterable[Step]) -> dict[str, int]:
    """How many things of the site ended with each op; the halves of a replacement count as one."""
    ended = {
        s.urn: s.op for s in steps if s.stage == "done" and is_ours(s.urn) and s.op in (*COUNTED, "same")
    }
    return dict(Counter(ended.values()))


def changed(counts: Mapping[str, int]) -> int:
    """How many resources change."""
    return sum(counts.get(op, 0) for op in COUNTED)


def difference(old: Any, new: Any, path: str = "") -> list[Change]:
    """Property by property, as deep as both sides are maps or lists."""
    if old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(k for k in new if k not in old)]
        pairs = [(f"{path}.{k}" if path else str(k), old.get(k), new.get(k)) for k in keys]
        return [change for sub, a, b in pairs for change in difference(a, b, sub)]
    if isinstance(old, list) and isinstance(new, list):
        found = []
        for i in range(max(len(old), len(new))):
            a, b = (side[i] if i < len(side) else None for side in (old, new))
            found += difference(a, b, f"{path}[{i}]")
        return found
    kind = "add" if old is None else "delete" if new is None else "update"
    return [Change(path, kind, old, new)]


def value(found: Any, limit: int = 60) -> str:
    """A property's value on one line."""
    text = repr(found) if isinstance(found, str) else str(found)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def describe(change: Change) -> str:
    """'~ quota: 1 -> 2', with what makes the resource be replaced said so."""
    sides = {
        "add": f"+ {change.path}: {value(change.new)}",
        "delete": f"- {change.path}: {value(change.old)}",
        "update": f"~ {change.path}: {value(change.old)} -> {value(change.new)}",
    }
    return sides[change.kind] + (" (replaces)" if change.replaces else "")
