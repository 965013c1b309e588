"""What is known of one metric: enough to export it, and to explain it to whoever is woken by it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How values are to be read, in the words of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Label(NamedTuple):
    """What tells the series of one metric apart."""

    name: str
    meaning: str
    #: All values that it can have; none where they are names or numbers of the data.
    values: Sequence[str] = ()


class Metric(NamedTuple):
    """One metric. The name of a counter ends in ``_total``, and one that is measured ends in its unit."""

    kind: Kind
    name: str
    #: What its values count, or are measured in.
    unit: str
    #: The help text of the exporter.
    help: str
    #: What a high value says, and what to do then.
    high: str
    labels: Sequence[Label] = ()
    #: Of a histogram: the upper bounds of its buckets, ascending, in its unit; one without a bound comes on top.
    bounds: Sequence[float] = ()

    @property
    def label_names(self) -> list[str]:
        return [label.name for label in self.labels]


def counter(name: str, unit: str, help: str, high: str, labels: Sequence[Label] = ()) -> Metric:
    return Metric(Kind.COUNTER, name, unit, help, high, labels)


def gauge(name: str, unit: str, help: str, high: str, labels: Sequence[Label] = ()) -> Metric:
    return Metric(Kind.GAUGE, name, unit, help, high, labels)


def histogram(
    name: str, unit: str, help: str, high: str, bounds: Sequence[float], labels: Sequence[Label] = ()
) -> Metric:
    return Metric(Kind.HISTOGRAM, name, unit, help, high, labels, bounds)
