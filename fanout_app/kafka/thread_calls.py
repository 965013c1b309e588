"""Calls into the consumer's thread that are always answered, also while the worker ends for a fault.

A crash anywhere marks every mode service as crashed, and mode's thread then ends by itself, beside the worker's stop:
the last commit, asked for by that stop, waited for its answer until the stop was cut short, in about one of five.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import ConsumerStoppedError, KafkaError
from mode.threads import QueueServiceThread


class ThreadStoppedError(ConsumerStoppedError, KafkaError):
    """The thread has ended. Faust's loops end by the first of its kinds; for who asks, Kafka is out of reach."""


class AnsweringThread(QueueServiceThread):
    """A thread that serves until it is stopped and leaves nobody waiting."""

    abstract = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._asked: set[asyncio.Future[Any]] = set()
        self._over = False

    async def wait_until_stopped(self) -> None:
        await self._stopped.wait()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Run this in the thread.

        Raises:
            ThreadStoppedError: the thread has ended, before or meanwhile.
        """
        if self._over:
            raise ThreadStoppedError
        promise = self.parent_loop.create_future()
        self._asked.add(promise)
        try:
            await self.method_queue.call(promise, fun, *args, **kwargs)
            return await promise
        finally:
            self._asked.discard(promise)

    def tell_thread(self, tell: Callable[[], object]) -> None:
        """Run this in the thread, for nobody's answer: left out if the thread has ended. From any thread."""
        try:
            self.thread_loop.call_soon_threadsafe(tell)
        except RuntimeError:
            if not self._over:
                raise

    async def _shutdown_thread(self) -> None:
        # Before the stop hears that the thread has ended: its loop is closed then.
        self._over = True
        try:
            await super()._shutdown_thread()
        finally:
            self.parent_loop.call_soon_threadsafe(self._answer_all)

    def _answer_all(self) -> None:
        for promise in self._asked:
            if not promise.done():
                promise.set_exception(ThreadStoppedError())
