"""Samples as Prometheus' protobuf messages: the one exposition that carries native histograms.

The messages are those of ``metrics.proto``, as prometheus/client_model v0.6.2 publishes it, with its
NOTICE; ``metrics_pb2`` is generated from it. A family is one MetricFamily, after its length in bytes.
https://prometheus.io/docs/instrumenting/exposition_formats/#protobuf-format
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from operators.catalog import Family
from operators.exposition import metrics_pb2 as pb
from operators.histogram import SCHEMA, ZERO_THRESHOLD, Histogram, spans

_MEDIA: Final = "application/vnd.google.protobuf"
_SORT: Final = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}
CONTENT_TYPE: Final = "; ".join((_MEDIA, *(f"{key}={value}" for key, value in _SORT.items())))

_TYPES: Final = {
    "counter": pb.COUNTER,
    "gauge": pb.GAUGE,
    "info": pb.GAUGE,  # as in the text format
    "histogram": pb.HISTOGRAM,
}


def preferred(accept: str) -> bool:
    """Whether an Accept header asks for this rather than for text: Prometheus does where it is told to
    scrape native histograms.
    """
    asked = [_weighed(one) for one in accept.split(",")]
    ours = max((weight for weight, protobuf in asked if protobuf), default=0.0)
    others = max((weight for weight, protobuf in asked if not protobuf), default=0.0)
    # Of what is liked as well, the first.
    return ours > others or (ours == others > 0 and next(proto for weight, proto in asked if weight == ours))


class Messages:
    """The metrics of one family, serialized.

    Serialized parts of a message, one after the other, are the message that has all that they have:
    ``head`` and any number of parts make a MetricFamily.
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    def __init__(self, family: Family) -> None:
        self._labels = family.labels
        self._counter = family.type == "counter"
        self.head: Final = pb.MetricFamily(
            name=family.name, help=family.help, type=_TYPES[family.type], unit=family.unit or None
        ).SerializeToString()

    def samples(self, rows: Iterable[tuple[Sequence[str], float]]) -> bytes:
        """(label values in the family's order, value) of each series."""
        family = pb.MetricFamily()
        for texts, value in rows:
            metric = self._metric(family, texts)
            if self._counter:
                metric.counter.value = value
            else:
                metric.gauge.value = value
        return family.SerializeToString()

    def histograms(self, rows: Iterable[tuple[Sequence[str], Histogram]]) -> bytes:
        """(label values, histogram) of each: classic buckets and native ones."""
        family = pb.MetricFamily()
        for texts, histogram in rows:
            self._metric(family, texts).histogram.MergeFrom(_histogram(histogram))
        return family.SerializeToString()

    def _metric(self, family: pb.MetricFamily, texts: Sequence[str]) -> pb.Metric:
        metric = family.metric.add()
        add = metric.label.add
        for name, value in zip(self._labels, texts, strict=True):
            add(name=name, value=value)
        return metric


def length(size: int) -> bytes:
    """A length in bytes as it stands before a message: a varint, as that of any field after its tag."""
    return pb.Histogram(sample_count=size).SerializeToString()[1:]


def _histogram(histogram: Histogram) -> pb.Histogram:
    positive, deltas = spans(histogram.positive)
    return pb.Histogram(
        sample_count=histogram.count,
        sample_sum=histogram.sum,
        bucket=[pb.Bucket(cumulative_count=n, upper_bound=bound) for bound, n in histogram.buckets],
        schema=SCHEMA,
        zero_threshold=ZERO_THRESHOLD,
        zero_count=histogram.zero,
        positive_span=[pb.BucketSpan(offset=offset, length=buckets) for offset, buckets in positive],
        positive_delta=deltas,
    )


def _weighed(accepted: str) -> tuple[float, bool]:
    """How much a media range of an Accept header is liked (RFC 9110, 12.4.2), and whether it is ours."""
    media, *rest = (part.strip() for part in accepted.split(";"))
    parameters = {key.strip(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
    try:
        weight = float(parameters.get("q", 1))
    except ValueError:
        weight = 0.0
    return weight, media == _MEDIA and _SORT.items() <= parameters.items()
