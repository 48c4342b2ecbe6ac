"""The protobuf exposition as a scraper reads it, by the real messages."""

from __future__ import annotations

import io

from google.protobuf.proto import parse_length_prefixed

from operators.exposition import metrics_pb2 as pb


def read_messages(data):
    """{name: MetricFamily} of a delimited stream."""
    stream = io.BytesIO(data)
    families = list(iter(lambda: parse_length_prefixed(pb.MetricFamily, stream), None))
    assert len({family.name for family in families}) == len(families), "a family twice"
    return {family.name: family for family in families}


def figures(families):
    """{(sample name, labels): value}, as the text formats have it."""
    found = [
        pair for family in families.values() for metric in family.metric for pair in _samples(family, metric)
    ]
    assert len(found) == len(dict(found)), "a series twice"
    return dict(found)


def native(histogram):
    """{bucket's index: observations} of a native histogram, as its spans and deltas tell it."""
    deltas, found, times, index = iter(histogram.positive_delta), {}, 0, 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            times += next(deltas)
            found[index] = times
            index += 1
    assert next(deltas, None) is None, "deltas without a span"
    return {index: times for index, times in found.items() if times}


def _samples(family, metric):
    labels = tuple(sorted((pair.name, pair.value) for pair in metric.label))
    if family.type != pb.HISTOGRAM:
        kind = "counter" if family.type == pb.COUNTER else "gauge"
        assert metric.HasField(kind), "a value of another type than its family's"
        yield (family.name, labels), getattr(metric, kind).value
        return
    histogram = metric.histogram
    bounds = [(str(bucket.upper_bound), bucket.cumulative_count) for bucket in histogram.bucket]
    for bound, times in (*bounds, ("+Inf", histogram.sample_count)):
        yield (f"{family.name}_bucket", tuple(sorted((*labels, ("le", bound))))), times
    yield (f"{family.name}_sum", labels), histogram.sample_sum
    yield (f"{family.name}_count", labels), histogram.sample_count
