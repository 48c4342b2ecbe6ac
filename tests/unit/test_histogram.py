"""Durations in both shapes: each in the bucket that Prometheus' definition says, and in one only."""

from __future__ import annotations

import random
from bisect import bisect_left
from decimal import Decimal, localcontext

import pytest

from operators.exposition import metrics_pb2 as pb
from operators.histogram import BUCKETS, CELLS, SCHEMA, Observations, longest, native_index, spans
from tests.unit.messages import native

YEARS = 10 * 366 * 86400


def durations():
    """Every bound of every bucket and its neighbours, and many of every size."""
    source = random.Random(7)  # noqa: S311 (the same each time)
    near = {bound + step for bound in CELLS for step in (-1, 0, 1)}
    far = {int(2 ** source.uniform(0, 33)) for _ in range(20_000)}
    return sorted(value for value in (*range(1, 5000), *near, *far) if value > 0)


def test_a_native_bucket_is_where_the_definition_puts_it():
    # Bucket i holds what is above 2^((i-1) / 2^schema) and not above 2^(i / 2^schema): told with numbers
    # so long that no rounding can move one over a bound.
    with localcontext() as context:
        context.prec = 60
        bounds = [Decimal(2) ** (Decimal(i) / 2**SCHEMA) for i in range(34 * 2**SCHEMA)]
        # An eighth root of a power of two is whole only where the power is of 2^8.
        bounds[:: 2**SCHEMA] = [Decimal(2) ** i for i in range(34)]
        for value in durations():
            index = native_index(value)
            assert value <= bounds[index], value
            assert index == 0 or bounds[index - 1] < value, value


@pytest.mark.parametrize("power", range(33))
def test_a_power_of_two_is_the_last_of_its_bucket(power):
    assert native_index(2**power) == power * 2**SCHEMA
    assert native_index(2**power + 1) > power * 2**SCHEMA
    assert longest(power * 2**SCHEMA) == 2**power


def test_a_cell_never_holds_two_durations_of_different_buckets():
    for value in durations():
        if value > CELLS[-1]:
            continue
        bound = CELLS[bisect_left(CELLS, value)]
        assert native_index(value) == native_index(bound)
        assert bisect_left(BUCKETS, value) == bisect_left(BUCKETS, bound)


def test_durations_are_in_one_bucket_of_each_shape():
    observations = Observations()
    for value in (0, 0, 1, 10, 10, 10, 61, YEARS):
        observations.add(value)
    shown = observations.now()
    assert (shown.sum, shown.count, shown.zero) == (92 + YEARS, 8, 2)
    assert dict(shown.buckets) == {
        **dict.fromkeys((1.0, 5.0), 3),
        **dict.fromkeys((15.0, 60.0), 6),
        **{float(bound): 7 for bound in BUCKETS if bound > 60},
    }
    assert shown.positive == ((0, 1), (27, 3), (48, 1), (native_index(YEARS), 1))


def test_what_was_summed_up_by_cells_is_as_if_each_had_come():
    source = random.Random(3)  # noqa: S311 (the same each time)
    values = [int(2 ** source.uniform(0, 25)) - 1 for _ in range(5000)]
    each, summed, cells = Observations(), Observations(), {}
    for value in values:
        each.add(value)
        bound = CELLS[bisect_left(CELLS, value)]
        cells[bound] = cells.get(bound, 0) + 1
    summed.include(cells.items(), sum(values))
    assert summed.now() == each.now()


@pytest.mark.parametrize(
    "buckets",
    [
        (),
        ((0, 4),),
        ((5, 1), (6, 3), (7, 2)),
        ((0, 2), (2, 1), (5, 7), (9, 1), (200, 3)),
        tuple((index, index % 7 + 1) for index in range(0, 180, 3)),
    ],
)
def test_spans_and_deltas_decode_to_the_buckets_that_they_were_made_of(buckets):
    found, deltas = spans(buckets)
    sent = pb.Histogram(
        positive_span=[pb.BucketSpan(offset=offset, length=length) for offset, length in found],
        positive_delta=deltas,
    )
    assert native(sent) == dict(buckets)
    assert sum(length for _, length in found) == len(deltas)


def test_a_small_gap_is_no_new_span():
    assert spans(((3, 1), (6, 1), (10, 1))) == ([(3, 4), (3, 1)], [1, -1, 0, 1, 0])
