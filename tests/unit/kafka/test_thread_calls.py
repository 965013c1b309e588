"""Calls into the consumer's thread while a fault ends the worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from aiokafka.errors import ConsumerStoppedError

from fanout_app.kafka.errors import as_source_error
from fanout_app.kafka.thread_calls import AnsweringThread
from fanout_app.ports import SourceError


class Thread(AnsweringThread):
    """One without a consumer in it."""


@pytest.fixture
async def thread() -> AsyncIterator[Thread]:
    thread = Thread(loop=asyncio.get_running_loop())
    await thread.start()
    yield thread
    await thread.stop()


async def which_thread() -> str:
    return threading.current_thread().name


async def test_a_call_runs_in_the_thread(thread: Thread) -> None:
    assert await thread.call_thread(which_thread) != threading.current_thread().name


async def test_calls_are_answered_after_a_crash_as_often_as_it_takes(thread: Thread) -> None:
    before = await thread.call_thread(which_thread)
    await thread.crash(RuntimeError("elsewhere"))
    async with asyncio.timeout(5.0):
        for _ in range(10):
            assert await thread.call_thread(which_thread) == before


async def test_who_asked_too_late_for_the_thread_to_see_it_is_told_so(
    thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen_by_nobody(promise: asyncio.Future[str], *_: object) -> asyncio.Future[str]:
        return promise

    monkeypatch.setattr(thread.method_queue, "call", seen_by_nobody)
    waiting = asyncio.create_task(thread.call_thread(which_thread))
    await asyncio.sleep(0)
    await thread.stop()
    async with asyncio.timeout(5.0):
        with pytest.raises(ConsumerStoppedError):
            await waiting


async def test_a_thread_that_has_ended_takes_no_call(thread: Thread) -> None:
    await thread.stop()
    with pytest.raises(ConsumerStoppedError):
        await thread.call_thread(which_thread)


async def test_for_the_runtime_kafka_is_out_of_reach_then(thread: Thread) -> None:
    """A status asked for in the last moment of a stop is answered 503, and no 500."""
    await thread.stop()
    with pytest.raises(SourceError), as_source_error():
        await thread.call_thread(which_thread)


async def test_word_reaches_the_thread(thread: Thread) -> None:
    told = threading.Event()
    thread.tell_thread(told.set)
    await thread.call_thread(which_thread)
    assert told.is_set()


async def test_word_for_a_thread_that_has_ended_is_left_out(thread: Thread) -> None:
    """A pull in the last moment of a stop wakes a poll that is over: it was answered 500."""
    told = threading.Event()
    await thread.stop()
    assert thread.thread_loop.is_closed()
    thread.tell_thread(told.set)
    assert not told.is_set()
