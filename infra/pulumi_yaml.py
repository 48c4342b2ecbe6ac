"""YAML as the official CLI reads it, for PyYAML.

The CLI's go-yaml 3 knows YAML 1.2's scalars: `48:00:00`, `yes` and `2026-01-31` are text. PyYAML knows
YAML 1.1's, where they are the number 172800, a truth value and a date: a file would say one thing to one
engine and another to the other. https://github.com/go-yaml/yaml/blob/v3.0.1/resolve.go
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

import yaml

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9_]*|[0-9][0-9_]*(?=[eE])|0[0-9]*[89][0-9]*)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)
"""Tag, what a plain scalar of it looks like, its first characters (NUL: none)."""


class _Scalars:
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _name, _pattern, _first in _SCALARS:
    for _character in _first:
        _Scalars.yaml_implicit_resolvers.setdefault(_character.strip("\0"), []).append(
            (_TAG + _name, re.compile(rf"^(?:{_pattern})$"))
        )


class Loader(_Scalars, yaml.CSafeLoader):
    """Makes plain data; no tag makes a Python object."""


class TellingLoader(_Scalars, yaml.SafeLoader):
    """The same, ten times slower: its words of what is wrong are those that fixes are known for."""
