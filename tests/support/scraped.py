"""What a scrape of /metrics says, read with the parser of Prometheus's own client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Family(NamedTuple):
    """One metric as a scrape has it."""

    kind: str
    help: str
    #: The names of labels of each of its series.
    labels: frozenset[frozenset[str]]


def families(text: bytes) -> dict[str, Family]:
    """By the names of the metrics, those of counters with their ``_total``."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): Family(
            family.type,
            family.documentation,
            frozenset(frozenset(sample.labels) - {"le"} for sample in family.samples),
        )
        for family in text_string_to_metric_families(text.decode())
    }


def series(text: bytes) -> Mapping[str, float]:
    """By the name of each series with its labels, as a rule names it."""
    return {
        sample.name + named(sample.labels): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def named(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}" if labels else ""
