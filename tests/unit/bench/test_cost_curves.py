"""The curves of the workload growth: what is measured in which order, and in which state the queue is meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.workloads.core_cost import Queue, State, cost
from benchmarks.workloads.growing_worker import GAPS, point_of
from benchmarks.workloads.growth import (
    COST,
    CURVES,
    FLAT,
    LARGEST,
    QUEUE,
    WORKER,
    WORKLOAD,
    flatness,
    in_turn,
    point,
    rows_of,
    wanted,
)
from benchmarks.workloads.workload import Round


async def test_points_are_measured_in_turn_there_and_back_and_the_median_counts() -> None:
    asked: list[int] = []

    async def measure(size: int) -> float:
        asked.append(size)
        return {1: [2.0, 9.0, 3.0], 10: [5.0, 4.0, 50.0]}[size][(len(asked) - 1) // 2]

    costs = await in_turn((1, 10), 3, measure)

    assert asked == [1, 10, 10, 1, 1, 10]
    assert costs == {1: 3.0, 10: 5.0}


def test_a_curve_says_how_far_its_points_are_apart() -> None:
    curve = QUEUE[0]

    *points, whole = rows_of(curve, {1: 4.0, 10: 3.0, 100: 6.0})

    assert [(row.case, row.figures[COST]) for row in points] == [
        (point(curve, 1), 4.0),
        (point(curve, 10), 3.0),
        (point(curve, 100), 6.0),
    ]
    assert (whole.case, whole.figures) == (flatness(curve), {LARGEST: 2.0})


def test_every_curve_is_asked_to_be_flat_and_no_two_have_the_same_name() -> None:
    assert [ratio.of for ratio in WORKLOAD.ratios] == [("fanout", flatness(curve), LARGEST) for curve in CURVES]
    assert len({curve.name for curve in CURVES}) == len(CURVES)
    assert {(ratio.to, ratio.at_most) for ratio in WORKLOAD.ratios} == {(1.0, FLAT)}


@pytest.mark.parametrize(
    ("grows", "least", "most"),
    [("clients", 1, 1000), ("partitions", 1, 64), ("gaps", 0, 100_000), ("waiting", 1, 1_000_000)],
)
def test_each_range_is_measured_from_one_end_to_the_other(grows: str, least: int, most: int) -> None:
    sizes = [size for curve in CURVES if curve.grows == grows for size in curve.sizes]

    assert (min(sizes), max(sizes)) == (least, most)
    assert all(curve.sizes[-1] == most for curve in CURVES if curve.grows == grows)


def test_one_point_asked_for_means_its_whole_curve(tmp_path: Path) -> None:
    curve, other = WORKER[0], WORKER[1]

    given = Round(tmp_path, [], quick=False, only=point(curve, 1000))

    assert wanted(curve, given)
    assert not wanted(other, given)


def test_what_grows_is_all_that_differs_between_the_points_of_a_worker() -> None:
    points = {curve.grows: [point_of(curve, size, quick=False) for size in curve.sizes] for curve in WORKER}

    assert {one.load.clients for one in points["clients"]} == {1, 10, 100, 1000}
    assert len({(one.partitions, one.load.messages, one.load.batch) for one in points["clients"]}) == 1
    assert [one.partitions for one in points["partitions"]] == [1, 4, 16, 64]
    assert len({one.load for one in points["partitions"]}) == 1
    assert [one.gaps for one in points["gaps"]] == [0, GAPS]
    assert len({(one.partitions, one.load) for one in points["gaps"]}) == 1
    assert [one.load.messages for one in points["waiting"]] == [100_000, 1_000_000]


def test_what_is_not_known_to_grow_is_refused() -> None:
    curve = type(WORKER[0])("hope", (1,), (1,), 1, 1)

    with pytest.raises(ValueError, match="hope"):
        point_of(curve, 1, quick=True)


def test_gaps_are_in_flight_and_have_settled_messages_above_them() -> None:
    queue = Queue(State(batch=10, gaps=1000))

    partition = queue.dispatcher.partitions[0]
    assert partition.ledger.floor == 0
    assert list(partition.snapshot().settled) == list(range(1, 2000, 2))
    assert queue.dispatcher.clients.get("holder").in_flight == 1000  # type: ignore[union-attr]


def test_as_many_messages_wait_as_asked_for_when_one_is_handed_out() -> None:
    queue = Queue(State(batch=10, partitions=4, waiting=4000))

    before = sum(len(one.fresh) for one in queue.dispatcher.partitions.values())
    for number, fetch in queue.fetches(100):
        queue.pass_through(number, fetch)

    assert before == 3990  # the fetch makes it 4000
    assert sum(len(one.fresh) for one in queue.dispatcher.partitions.values()) == before


def test_all_clients_wait_and_are_served_in_turn() -> None:
    queue = Queue(State(batch=1, clients=5))

    for number, fetch in queue.fetches(10):
        queue.pass_through(number, fetch)

    assert [queue.dispatcher.clients.get(f"client-{number}").acked for number in range(5)] == [2] * 5  # type: ignore[union-attr]


def test_what_passes_through_is_acked_and_costs_something() -> None:
    assert cost(State(batch=10, partitions=2, gaps=10, waiting=100), 100) > 0


def test_a_queue_that_does_not_hand_everything_out_has_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "pass_through", lambda self, number, fetch: len(fetch) - 1)

    with pytest.raises(RuntimeError, match=re.escape("90 of 100 acked")):
        cost(State(batch=10), 100)
