"""Calls to the consumer, and when they end: while it stops, and while a fault ends the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError

from fanout_app.kafka.errors import as_source_error
from fanout_app.kafka.threadless import Threadless
from fanout_app.ports import SourceError


class Service(Threadless):
    """One without a consumer in it."""

    fails_with: Exception | None = None

    async def on_start(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with

    def on_crash(self, msg: str, *fmt: object, **kwargs: object) -> None:
        """mode would print the traceback."""


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service(loop=asyncio.get_running_loop())
    await service.start()
    yield service
    await service.stop()


async def which_task() -> asyncio.Task[object] | None:
    return asyncio.current_task()


async def test_a_call_runs_in_the_task_that_makes_it(service: Service) -> None:
    assert await service.call_thread(which_task) is asyncio.current_task()


async def test_calls_are_answered_after_a_crash_elsewhere(service: Service) -> None:
    await service.crash(RuntimeError("elsewhere"))
    async with asyncio.timeout(5.0):
        for _ in range(10):
            assert await service.call_thread(which_task) is asyncio.current_task()


async def test_one_that_has_ended_takes_no_call(service: Service) -> None:
    await service.stop()
    with pytest.raises(ConsumerStoppedError):
        await service.call_thread(which_task)


async def test_for_the_runtime_kafka_is_out_of_reach_then(service: Service) -> None:
    """A status asked for in the last moment of a stop is answered 503, and no 500."""
    await service.stop()
    with pytest.raises(SourceError), as_source_error():
        await service.call_thread(which_task)


async def test_what_else_runs_in_the_loop_outlives_it(service: Service) -> None:
    other = asyncio.create_task(asyncio.Event().wait())
    await service.stop()
    await asyncio.sleep(0)
    assert not other.done()
    other.cancel()


async def test_nothing_of_it_is_left_when_it_has_stopped() -> None:
    before = asyncio.all_tasks()
    service = Service(loop=asyncio.get_running_loop())
    await service.start()
    await service.stop()
    assert asyncio.all_tasks() == before


async def test_what_keeps_it_from_starting_is_raised_and_told_once() -> None:
    service = Service(loop=asyncio.get_running_loop())
    service.fails_with = ConnectionError("no broker")
    with pytest.raises(ConnectionError):
        await service.start()
    await service.stop()
    serving: Any = service._serving
    assert not serving._log_traceback, "asyncio will complain that nobody asked"
