"""Waiting for an acknowledgement, and no longer waiting for it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from fanout_app.kafka.acknowledged import acknowledged


async def test_it_answers_what_kafka_answered() -> None:
    sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(acknowledged(sent))
    sent.set_result(7)
    assert await waiting == 7


async def test_who_gives_up_takes_nothing_back_and_a_later_refusal_is_nobodys_news() -> None:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        sent: asyncio.Future[int] = loop.create_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await acknowledged(sent)
        assert not sent.done()
        sent.set_exception(OSError("the broker is gone"))
        await asyncio.sleep(0)
        del sent
        gc.collect()
        assert complaints == []
    finally:
        loop.set_exception_handler(None)
