"""What is wrong with a site file, said so that it can be mended: file, key, fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.site.values import describe
from infra.suggestion import suggestion


@dataclass(frozen=True)
class Problem:
    """One thing to mend. ``key`` is where, without the namespace: "machines[2].address"; "" is the file."""

    key: str
    message: str

    def line(self, source: str) -> str:
        """The problem as it is shown."""
        return f"{source}: site:{self.key}: {self.message}" if self.key else f"{source}: {self.message}"


class SiteError(ValueError):
    """The site does not hold together. Its text has one line a problem."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.line(source) for problem in self.problems))


def explain(model: type[BaseModel], errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """What pydantic found, in the site's words."""
    where = [error["loc"] for error in errors]
    for error in errors:
        deep = len(error["loc"])
        if error["type"] == "too_short" and any(w[:deep] == error["loc"] and len(w) > deep for w in where):
            continue  # the entry is there, and wrong: that is said by itself
        key, owner, field = _locate(model, error["loc"])
        if error["type"] == "extra_forbidden" and owner is not None:
            name = str(error["loc"][-1])
            not_kept = getattr(owner, "NOT_KEPT", {})
            yield Problem(
                key, not_kept.get(name, f"there is no such key; {suggestion(name, owner.model_fields)}")
            )
        elif error["type"] == "missing":
            yield Problem(key, f"is missing; add it{_example(error['loc'][-1], field)}")
        else:
            say = _MESSAGES.get(error["type"])
            fix = say(error) if say else f"{error['msg'][0].lower()}{error['msg'][1:]}; correct it"
            yield Problem(key, fix)


def _example(name: str | int, field: FieldInfo | None) -> str:
    if field is None:
        return ""
    for holder in (field, *(m for m in field.metadata if isinstance(m, FieldInfo))):
        if holder.examples:
            return f", such as `{name}: {_yaml(holder.examples[0])}`"
    return ""


def _yaml(value: object) -> str:
    """A value in YAML's flow style, as it would be typed."""
    match value:
        case dict():
            return "{" + ", ".join(f"{k}: {_yaml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(_yaml(v) for v in value) + "]"
        case _:
            return str(value)


def _locate(
    model: type[BaseModel], loc: tuple[str | int, ...]
) -> tuple[str, type[BaseModel] | None, FieldInfo | None]:
    """The key as it is written in the file, the model that holds it, and its field where there is one."""
    key = ""
    annotation: Any = model
    owner: type[BaseModel] | None = None
    field: FieldInfo | None = None
    for part in loc:
        members = _members(annotation)
        tagged = [m for m in members if isinstance(m, type) and part in _tags(m)]
        if len(members) > 1 and tagged:
            annotation = tagged[0]  # a discriminated union puts its tag into the path; the file has none
            continue
        inner = members[0] if members else None
        owner, field = None, None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            owner, field = inner, inner.model_fields.get(str(part))
            annotation = field.annotation if field else None
        else:
            values = [arg for arg in get_args(inner) if arg is not Ellipsis]
            annotation = values[-1] if values else None
        if part == "[key]":
            continue
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key, owner, field


def _members(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [m for arg in get_args(annotation) if arg is not type(None) for m in _members(arg)]
    return [annotation]


def _tags(model: type) -> tuple[Any, ...]:
    fields = model.model_fields.values() if issubclass(model, BaseModel) else ()
    return tuple(tag for field in fields for tag in get_args(field.annotation))


def _kind(noun: str, example: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"must be {noun}, not {describe(error['input'])}; write {example}"


def _choice(error: ErrorDetails) -> str:
    expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    return f"{error['input']!r} is not a choice; {suggestion(str(error['input']), expected)}"


def _tag(error: ErrorDetails) -> str:
    expected = error["ctx"]["expected_tags"].replace("'", "").split(", ")
    return f"there is no rule {error['ctx']['tag']!r}; {suggestion(str(error['ctx']['tag']), expected)}"


def _too_small(error: ErrorDetails) -> str:
    context = error["ctx"]
    least = context["ge"] if "ge" in context else f"more than {context['gt']}"
    return f"{error['input']} is too small; write {least}" + (" or more" if "ge" in context else "")


# pydantic's error type to what is said of it; everything that the models can meet is a row.
_MESSAGES: dict[str, Callable[[ErrorDetails], str]] = {
    "site": lambda error: error["msg"],
    "int_type": _kind("a whole number", "one such as 4, without quotes"),
    "float_type": _kind("a number", "one such as 0.5, without quotes"),
    "bool_type": _kind("true or false", "true or false without quotes"),
    "string_type": _kind("text", "it in quotes"),
    "tuple_type": _kind("a list", "one entry a line, each after '- '"),
    "dict_type": _kind("a mapping", "`key: value` pairs"),
    "model_type": _kind("a mapping", "`key: value` pairs"),
    "model_attributes_type": _kind("a mapping", "`key: value` pairs"),
    "date_type": _kind("a date", 'one such as "2026-01-31"'),
    "date_parsing": lambda error: f'{error["input"]!r} is not a date; write one such as "2026-01-31"',
    "date_from_datetime_parsing": lambda error: (
        f'{error["input"]!r} is not a date; write one such as "2026-01-31"'
    ),
    "literal_error": _choice,
    "union_tag_invalid": _tag,
    "union_tag_not_found": lambda error: "`rule` is missing; add it, such as `rule: whole-nodes`",
    "greater_than": _too_small,
    "greater_than_equal": _too_small,
    "less_than_equal": lambda error: f"{error['input']} is too large; write at most {error['ctx']['le']}",
    "too_short": lambda error: "is empty; add at least one entry",
    "string_too_short": lambda error: "is empty; write some text",
    "string_too_long": lambda error: f"is too long; use at most {error['ctx']['max_length']} characters",
    "string_pattern_mismatch": lambda error: (
        f"{error['input']!r} is malformed; it must match {error['ctx']['pattern']}"
    ),
}
