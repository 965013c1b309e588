"""What tests build into a worker to look into it or to turn its clock. Runs in the worker's process, as faults do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

from fanout_app.cluster.asking import Asking
from fanout_app.cluster.relayed import Relayed
from fanout_app.faust_app import Fanout

_FOR_EVER = 3600.0


def tells_tasks(_: object, path: str) -> None:
    """At SIGUSR1, write to this file which tasks of the main loop there are: name of the coroutine -> how many."""
    stock = Fanout.on_start

    async def on_start(self: Fanout) -> None:
        await stock(self)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)

    def tell() -> None:
        tasks: Counter[str] = Counter()
        for task in asyncio.all_tasks():
            coroutine: Any = task.get_coro()
            tasks[getattr(coroutine, "__qualname__", repr(coroutine))] += 1
        written = Path(f"{path}.new")
        written.write_text(json.dumps(tasks))
        written.rename(path)

    Fanout.on_start = on_start  # type: ignore[method-assign]


def loop_hangs(_: object, seconds: str) -> None:
    """At SIGUSR2 the main loop stands still for so many seconds; without a number, for ever. Other threads go on.

    It logs "the loop hangs" when it begins.
    """
    stock = Fanout.on_start

    async def on_start(self: Fanout) -> None:
        await stock(self)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, hang)

    def hang() -> None:
        logging.getLogger("fanout.tests").info("the loop hangs")
        time.sleep(float(seconds or _FOR_EVER))

    Fanout.on_start = on_start  # type: ignore[method-assign]


def relay_ends(_: object, how: str) -> None:
    """The process is sent a signal at one step of what it does for a client of its own at another worker.

    ``how`` is STEP:SIGNAL, the step ``handed`` (the answer has come) or ``confirm`` (the client has it, and nobody
    else knows).
    """
    step, _, name = how.partition(":")

    owner, method = {"handed": (Asking, "handed"), "confirm": (Relayed, "confirm")}[step]
    stock = getattr(owner, method)

    def ending(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.Signals[name])
        return stock(*args, **kwargs)

    setattr(owner, method, ending)


def wall_clock(_: object, path: str) -> None:
    """The wall clock is ahead of the true one by the seconds in this file, read anew whenever somebody asks the time.

    Only what asks through `time.time` and `time.time_ns` is fooled; that is all of Faust, kazoo and fanout, and of
    aiokafka all but the timestamps of records, which are C.
    """
    true_time, true_ns = time.time, time.time_ns

    def ahead() -> float:
        return float(Path(path).read_text())

    def shifted_time() -> float:
        return true_time() + ahead()

    def shifted_ns() -> int:
        return true_ns() + int(ahead() * 1e9)

    time.time, time.time_ns = shifted_time, shifted_ns
    # Who imported the function by its name has it already.
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is true_time:
                setattr(module, name, shifted_time)
            elif value is true_ns:
                setattr(module, name, shifted_ns)
    append = BatchBuilder.append

    def append_now(self: Any, *, timestamp: int | None, **record: Any) -> Any:
        return append(self, timestamp=timestamp or int(shifted_time() * 1000), **record)

    BatchBuilder.append = append_now


INSTRUMENTS: dict[str, Callable[[Any, str], None]] = {
    "tells-tasks": tells_tasks,
    "loop-hangs": loop_hangs,
    "relay-ends": relay_ends,
    "wall-clock": wall_clock,
}
