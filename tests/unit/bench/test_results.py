"""The file of results, and the same as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.run.plot import panels
from benchmarks.run.results import Circumstances, Results, read, results_of, write
from benchmarks.run.rounds import About, Asked, Course, Failure, Measured
from benchmarks.run.summary import Spread
from benchmarks.run.table import figure, spread, table, text_of
from benchmarks.workloads.workload import CannotBeRun, Ratio, Row
from unit.bench.fakes import FakeWorkload

CIRCUMSTANCES = Circumstances("2026-11-28T12:00:00+00:00", "0123456789ab" + "0" * 28 + "+", {"cpu": "one"}, 0.5)


@pytest.fixture
def results() -> Results:
    """Of a workload in which everything happens once."""
    rate = ("us", "bulk", "msg/s")
    ratios = [
        Ratio("rate", rate, ("them", "bulk", "msg/s"), at_least=2.0),
        Ratio("rate, of one hundred", rate, 100.0, at_most=1.0),
        Ratio("rate of nobody", ("nobody", "bulk", "msg/s"), rate, at_least=1.0),
    ]
    course = Course(
        rows=[
            Measured(1, Row("us", "bulk", {"msg/s": 1000.0, "us/msg": 2.5}, {"CPU": "of all"})),
            Measured(1, Row("them", "bulk", {"msg/s": 400.0})),
            Measured(2, Row("us", "bulk", {"msg/s": 3000.0, "us/msg": 3.5})),
            Measured(2, Row("them", "bulk", {"msg/s": 600.0})),
            Measured(2, Row("us", "single", {"msg/s": 10.0})),
        ],
        cannot_be_run={("lame", ""): CannotBeRun("lame", "", "no such program")},
        failures=[Failure(2, "weak", "RuntimeError: 1 of 2 messages came")],
        systems={"us": About({"us": "1.0"}, "on disk", "all at once")},
    )
    return results_of(Asked(FakeWorkload(ratios=ratios), {}, 2, quick=True), course, CIRCUMSTANCES)


def test_what_is_written_can_be_read(results: Results, tmp_path: Path) -> None:
    file = write(results, tmp_path / "new")

    assert file == tmp_path / "new" / "fake.json"
    assert list(file.parent.iterdir()) == [file]
    again = read(file)
    assert again.medians == results.medians
    assert again.rows == results.rows
    assert write(again, tmp_path / "again").read_bytes() == file.read_bytes()


def test_medians_ratios_and_everything_that_went_wrong_are_in_the_text(results: Results) -> None:
    lines = [" ".join(line.split()) for line in text_of(results).splitlines()]

    for line in (
        "us 2,000 (1,000..3,000) 3 ±17%",
        "them 500 (400..600) -",
        "(us: CPU of all)",
        "rate 3.75 (2.50..5) at least 2 kept",
        "rate, of one hundred 20 (10..30) at most 1 MISSED",
        "rate of nobody - at least 1 not measured",
        "lame: no such program",
        "round 2, weak: RuntimeError: 1 of 2 messages came",
        "us: us 1.0",
        "QUICK: these figures show that everything works, and not how fast.",
    ):
        assert line in lines
    assert "fanout 0123456789ab+" in text_of(results)


def test_columns_are_as_wide_as_they_have_to_be() -> None:
    assert table([["", "msg/s"], ["a long name", "1"], ["b", "1,000,000"]]) == (
        "                   msg/s\n  a long name          1\n  b            1,000,000"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.8, "1,234,568"), (100.4, "100"), (12.34, "12.3"), (3.456, "3.46"), (0.012, "0.012"), (0.0, "0")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_single_round_has_no_spread() -> None:
    assert spread(Spread(2.5, 2.5, 2.5, 1)) == "2.50"


def test_a_picture_compares_systems_where_there_are_several_and_cases_where_there_is_one(results: Results) -> None:
    compared, alone = panels(results.medians)

    assert (compared.title, compared.unit) == ("bulk", "msg/s")
    assert [label for label, _ in compared.bars] == ["us", "them"]
    assert [label for label, _ in alone.bars] == ["us, single"]
