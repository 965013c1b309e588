"""What is made of the answers of workers and of the load generator."""

from __future__ import annotations

import pytest

from benchmarks.peers.worker import evenly
from benchmarks.workloads.drained import drained_of


@pytest.mark.parametrize(
    ("owned", "settled"),
    [
        ({1: [0, 1], 2: [2, 3]}, True),
        ({1: [0, 1, 3], 2: [2]}, False),  # it is about to move on
        ({1: [0, 1], 2: [2]}, False),  # one without an owner
        ({1: [0, 1], 2: [1, 2, 3]}, False),  # both say that they have it
        ({1: [0, 1, 2, 3]}, False),  # one has not heard of the other
        ({1: [0, 1], 2: [2, 3], 3: []}, False),  # one that is gone is still thought to be there
    ],
)
def test_settled_is_when_each_worker_has_its_share_of_all_partitions(
    owned: dict[int, list[int]], settled: bool
) -> None:
    assert evenly({1, 2}, owned, 4) is settled


def test_one_partition_has_one_owner_and_the_other_worker_has_nothing() -> None:
    assert evenly({1, 2}, {1: [], 2: [0]}, 1)


def test_cpu_is_of_each_message() -> None:
    drained = drained_of({"messages": 1000, "duplicates": 0, "seconds": 0.5, "cpu": {"worker": 0.004, "load": 0.001}})

    assert drained.rate == 2000.0
    assert drained.us("worker") == pytest.approx(4.0)
    assert drained.us("load") == pytest.approx(1.0)


def test_a_drain_with_duplicates_has_no_figures() -> None:
    with pytest.raises(RuntimeError, match="3 messages came twice"):
        drained_of({"messages": 1000, "duplicates": 3, "seconds": 0.5, "cpu": {}})
