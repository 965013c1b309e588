"""What Faust takes for the thread of its consumer, and which runs in the main loop: decision 0023."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import ConsumerStoppedError, KafkaError
from mode.threads import QueueServiceThread
from mode.utils.futures import maybe_async


class ConsumerEndedError(ConsumerStoppedError, KafkaError):
    """The consumer has ended. Faust's loops end by the first of its kinds; for who asks, Kafka is out of reach."""


class Threadless(QueueServiceThread):
    """A service thread of mode without a thread: what is called there is called here, at once.

    What is started in a thread's own loop is stopped with that loop; here it goes on for as long as it is needed, and
    calls are answered until the service has stopped, also while a fault elsewhere ends the worker.
    """

    abstract = True

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        """``loop``: the main loop."""
        super().__init__(*args, loop=loop, thread_loop=loop, **kwargs)
        self._over = False
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what keeps the consumer from starting."""
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = self.parent_loop.create_task(self._serve())
        self._serving.add_done_callback(_told_elsewhere)
        try:
            await self._thread_running
        finally:
            self._thread_running = None

    async def stop(self) -> None:
        await super().stop()
        if self._serving is not None:
            await asyncio.wait({self._serving})

    async def wait_until_stopped(self) -> None:
        """A crash anywhere marks every service as crashed, and mode's own would end by itself beside the worker's
        stop: the last commit, asked for by that stop, would find it gone."""
        await self._stopped.wait()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call this.

        Raises:
            ConsumerEndedError: the service has ended.
        """
        if self._over:
            raise ConsumerEndedError
        return await maybe_async(fun(*args, **kwargs))

    async def _shutdown_thread(self) -> None:
        self._over = True
        await super()._shutdown_thread()

    async def _gather_remaining_tasks(self) -> None:
        """mode would cancel whatever else runs in the thread's loop: that is everything here."""


def _told_elsewhere(serving: asyncio.Task[None]) -> None:
    """What it ended by was told to whoever started it, and to the worker."""
    if not serving.cancelled():
        serving.exception()
