"""Label values that anybody may have written."""

from __future__ import annotations

import random

import pytest

from operators.labels import MAX_LENGTH, clean


@pytest.mark.parametrize(
    "value", ["", "imec", "train resnet-50", "Universit\u00e9 libre", "\u7814\u7a76", 'a "b" \\ c']
)
def test_what_can_be_shown_is_shown_as_it_is(value):
    assert clean(value) is value


@pytest.mark.parametrize(
    "value", ["a\nb", "a\x00b", "a\x7fb", "a\u2028b", "\ud800", "a\u202eb", "x" * 129, "y" * 2**20]
)
def test_what_cannot_be_shown_is_changed_into_something_short_and_printable(value):
    shown = clean(value)
    assert len(shown) <= MAX_LENGTH
    assert shown.isprintable()
    assert shown.encode()


def test_values_that_were_different_stay_different():
    long = "x" * 500
    values = [long, long + "1", long + "2", "a\x00b", "a\x01b", "a\ufffdb"]
    assert len({clean(value) for value in values}) == len(values)


def test_the_same_value_is_always_shown_the_same():
    source = random.Random(7)  # noqa: S311 (the same each time)
    for _ in range(1000):
        value = "".join(chr(source.randrange(0x10FFFF)) for _ in range(source.randrange(300)))
        assert clean(value) == clean(value)
        assert clean(clean(value)) == clean(value)
