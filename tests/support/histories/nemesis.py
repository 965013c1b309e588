"""What is done to the one worker and to its broker, and the worker as clients find it at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from support.histories.events import Struck
from support.histories.plan import Strike
from support.histories.recorder import Recorder
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

_BROKER = "kafka-1"
#: Short: a worker that is to end need not wait for clients that never end.
_DRAIN = "300ms"


class TheWorker:
    """One worker at a time, started again and again."""

    def __init__(self, workers: Workers, topic: str, faults: Iterable[str]) -> None:
        self._workers = workers
        self._topic = topic
        self._faults = tuple(faults)
        self.worker: Worker
        #: How often it was started.
        self.number = 0

    @property
    def url(self) -> str:
        return self.worker.url

    @property
    def id(self) -> str:
        return self.worker.id

    async def start(self) -> None:
        self.worker = self._workers.launch(self._topic, faults=self._faults, drain=_DRAIN)
        self.number += 1
        await self.worker.ready(READY_TOGETHER)


async def strike(recorder: Recorder, stack: Stack, target: TheWorker, strike: Strike) -> None:
    """Do it, and return when it is over."""
    await asyncio.sleep(strike.after)
    recorder.write(Struck(at=recorder.now(), trouble=strike.trouble))
    worker = target.worker
    match strike.trouble:
        case "kill -9":
            worker.kill9()
            await asyncio.sleep(strike.lasts)
            await target.start()
        case "SIGTERM":
            await worker.terminate(20.0)
            await asyncio.sleep(strike.lasts)
            await target.start()
        case "SIGSTOP":
            worker.pause()
            await asyncio.sleep(strike.lasts)
            worker.resume()
        case "broker killed":
            await asyncio.to_thread(stack.kill, _BROKER)
            await asyncio.sleep(strike.lasts)
            await asyncio.to_thread(stack.start, _BROKER)
        case "broker paused":
            await asyncio.to_thread(stack.pause, _BROKER)
            await asyncio.sleep(strike.lasts)
            await asyncio.to_thread(stack.resume, _BROKER)
    recorder.write(Struck(at=recorder.now(), trouble=strike.trouble, over=True))
