"""The figures of the README are medians of `benchmarks/results/drain.json`, as far as they are rounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

BULK, HUNDREDS, SINGLES = (
    "100 B, batches of 500, 4 clients", "100 B, batches of 100, 4 clients", "100 B, batches of 1, 32 clients"
)  # fmt: skip
#: What stands in the first column, and which systems of which case it is about.
ROWS = {
    "**fanout**, 500 a pull, 4 clients": (BULK, ["fanout"]),
    "NATS JetStream, Python clients, 500 a fetch": (BULK, ["nats"]),
    "Kafka share groups, Java / Python clients": (BULK, ["share-groups-java", "share-groups-python"]),
    "bare aiokafka consumer, one commit at the end": (BULK, ["aiokafka"]),
    "**fanout**, 100 a pull, 4 clients": (HUNDREDS, ["fanout"]),
    "NATS JetStream, acks confirmed, 100 a fetch": (HUNDREDS, ["nats-confirmed"]),
    "**fanout**, one a pull, 32 connections": (SINGLES, ["fanout"]),
    "kafka-pixy, one a request, acks committed twice a second": (SINGLES, ["kafka-pixy"]),
    "NATS JetStream, one a fetch, acks not confirmed": (SINGLES, ["nats"]),
    "an aiohttp handler that does nothing": (SINGLES, ["empty-aiohttp"]),
}


def table() -> dict[str, tuple[str, str]]:
    lines = (ROOT / "README.md").read_text().splitlines()
    first = lines.index("| | msg/s | CPU a message, us |") + 2
    rows = {}
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        label, rate, cpu = (cell.strip() for cell in line.strip("|").split("|"))
        rows[label] = (rate, cpu)
    return rows


def results() -> dict[tuple[str, str], dict[str, Any]]:
    read = json.loads((ROOT / "benchmarks" / "results" / "drain.json").read_text())
    assert read["repeats"] == 5
    return {(row["system"], row["case"]): row["figures"] for row in read["medians"]}


def test_every_row_is_known() -> None:
    assert table().keys() == ROWS.keys()


@pytest.mark.parametrize("label", ROWS)
def test_each_figure_is_a_median_as_it_was_measured(label: str) -> None:
    case, systems = ROWS[label]
    measured = results()
    rate, cpu = table()[label]
    for shown, system in zip(rate.split(" / "), systems, strict=True):
        exact = measured[system, case]["msg/s"]["median"]
        assert int(shown.replace(",", "")) == pytest.approx(exact, rel=0.015)
    if cpu:
        assert float(cpu) == pytest.approx(measured[systems[0], case]["server us/msg"]["median"], rel=0.015)
