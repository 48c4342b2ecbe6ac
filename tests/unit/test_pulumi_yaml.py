"""Scalars of YAML as the official CLI reads them, one by one as go-yaml 3.0.1 resolves them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from infra.pulumi_yaml import Loader, TellingLoader


@pytest.mark.parametrize("loader", [Loader, TellingLoader])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (text, text)
            for text in ("48:00:00", "1:30", "yes", "No", "on", "off", "2026-01-31", "1.2.3", "=", "y")
        ),
        *((text, text) for text in ("2026-01-31T10:00:00Z", "12e", "0x", "08x", "1_a", "null!", "truE")),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b101", 5),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
        (".inf", math.inf),
        ("~", None),
        ("null", None),
        ("", None),
        ("'12'", "12"),
    ],
)
def test_a_scalar_is_what_the_official_cli_takes_it_for(loader: Any, text: str, value: object) -> None:
    found = yaml.load(f"key: {text}", Loader=loader)["key"]  # noqa: S506 (a safe one)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("loader", [Loader, TellingLoader])
def test_merge_keys_are_merged(loader: Any) -> None:
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}"
    assert yaml.load(text, Loader=loader)["b"] == {"x": 1, "y": 2}  # noqa: S506
