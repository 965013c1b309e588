"""What shares cost: nobody looks at all groups for each message."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle
from types import FrameType
from typing import Any

import pytest

from fanout_app.core.lanes import By
from unit.core.test_shares_in_use import Crowd


def operations(what: Callable[[], Any]) -> int:
    """How many instructions of the interpreter the core takes for this."""
    count = 0

    def step(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return step if "/core/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(step)
    try:
        what()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.no_cover  # it counts by a tracer of its own
@pytest.mark.parametrize("by", ["message", "key"])
def test_the_cost_of_a_message_is_much_the_same_with_one_group_and_with_fifty(by: By) -> None:
    costs = []
    for groups in (1, 50):
        weights = {"stable": 50, **{f"group {number}": 1 for number in range(1, groups)}}
        crowd = Crowd(weights, clients=50 // groups, batches=cycle([1]), by=by)
        crowd.work(2000)
        for number in range(2000, 4000):
            # The group of a key is found once, by a look at all of them: that is no cost of its messages.
            crowd.desk.queue.sharing.lanes.group_of(b"key %d" % number)
        costs.append(operations(partial(crowd.work, 500)))
    # Looking at each of them would make it four times as much.
    assert costs[1] < 2.5 * costs[0]
