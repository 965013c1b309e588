"""Medians and ratios of rows made by hand."""

from __future__ import annotations

import pytest

from benchmarks.run.rounds import Measured
from benchmarks.run.summary import Medians, Spread, judged, medians
from benchmarks.workloads.workload import Ratio, Row


def rows(system: str, case: str = "bulk", **figures: list[float | None]) -> list[Measured]:
    """One a round; None is a round without the figure."""
    return [
        Measured(number, Row(system, case, {name: value for name, value in zip(figures, values, strict=True) if value}))
        for number, values in enumerate(zip(*figures.values(), strict=True), 1)
    ]


def ratio(**asked: float) -> Ratio:
    return Ratio("rate", ("us", "bulk", "rate"), ("them", "bulk", "rate"), **asked)


def test_median_least_and_most_of_each_figure() -> None:
    found = medians(rows("us", rate=[30.0, 10.0, 20.0], cpu=[None, 1.0, 2.0]))

    assert found == [Medians("us", "bulk", {"rate": Spread(20.0, 10.0, 30.0, 3), "cpu": Spread(1.5, 1.0, 2.0, 2)})]


def test_systems_of_a_case_stand_together() -> None:
    found = medians(
        [*rows("us", "bulk", rate=[1.0]), *rows("us", "single", rate=[1.0]), *rows("them", "bulk", rate=[1.0])]
    )

    assert [(one.case, one.system) for one in found] == [("bulk", "us"), ("bulk", "them"), ("single", "us")]


def test_what_was_measured_twice_in_a_round_counts_once() -> None:
    found = medians([*rows("us", rate=[1.0]), *rows("us", rate=[5.0])])

    assert found[0].figures["rate"] == Spread(5.0, 5.0, 5.0, 1)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The ratio of the medians would be 3.
    measured = [*rows("us", rate=[10.0, 30.0, 90.0]), *rows("them", rate=[10.0, 15.0, 9.0])]

    found = judged([ratio(at_least=2.0)], measured)[0]

    assert found.was == Spread(2.0, 1.0, 10.0, 3)
    assert found.kept


def test_rounds_in_which_one_of_both_is_missing_do_not_count() -> None:
    measured = [*rows("us", rate=[10.0, None, 30.0]), *rows("them", rate=[None, 10.0, 10.0])]

    assert judged([ratio(at_least=2.0)], measured)[0].was == Spread(3.0, 3.0, 3.0, 1)


@pytest.mark.parametrize("them", [rows("them", "single", rate=[1.0]), rows("them", cpu=[1.0]), []])
def test_a_ratio_to_what_was_not_measured_is_neither_kept_nor_missed(them: list[Measured]) -> None:
    found = judged([ratio(at_least=2.0)], [*rows("us", rate=[10.0]), *them])[0]

    assert (found.was, found.kept) == (None, None)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [({"at_least": 2.0}, True), ({"at_least": 2.1}, False), ({"at_most": 2.0}, True), ({"at_most": 1.9}, False)],
)
def test_the_bound_itself_is_kept(asked: dict[str, float], kept: bool) -> None:
    measured = [*rows("us", rate=[2.0]), *rows("them", rate=[1.0])]

    assert judged([ratio(**asked)], measured)[0].kept is kept


def test_a_bound_may_be_a_number() -> None:
    bound = Ratio("cpu", ("us", "bulk", "cpu"), 6, at_most=1.0)

    assert judged([bound], rows("us", cpu=[3.0, 9.0, 6.0]))[0].was == Spread(1.0, 0.5, 1.5, 3)


def test_a_ratio_that_asks_for_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="asks for nothing"):
        judged([ratio()], [*rows("us", rate=[2.0]), *rows("them", rate=[1.0])])
