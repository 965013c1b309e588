"""Background tasks, and which of their ends are faults."""

from __future__ import annotations

import asyncio

import pytest

from fanout_app.tasks import TaskEndedError, Tasks
from unit.fake_ports import until


async def for_ever() -> None:
    await asyncio.Event().wait()


async def on_what_is_cancelled() -> None:
    raise asyncio.CancelledError


async def on_a_mistake() -> None:
    raise ValueError


@pytest.mark.parametrize(("ends", "fault"), [(on_what_is_cancelled, TaskEndedError), (on_a_mistake, ValueError)])
async def test_a_task_that_ends_by_what_it_did_not_deal_with_is_a_fault(ends: object, fault: type[Exception]) -> None:
    """A cancellation is one too where nobody asked for it: what the task was there for would not be done any more."""
    faults: list[BaseException] = []
    Tasks(faults.append).start(ends(), "a-task")  # type: ignore[operator]
    await until(lambda: bool(faults))
    assert [type(error) for error in faults] == [fault]


async def test_a_task_that_is_asked_to_end_is_none() -> None:
    faults: list[BaseException] = []
    tasks = Tasks(faults.append)
    one, _ = tasks.start(for_ever(), "one"), tasks.start(for_ever(), "other")
    await asyncio.sleep(0)
    one.cancel()
    await until(one.done)
    await tasks.stop()
    assert faults == []
