"""The process: Faust's worker without its spinner, ending with one line that says why if it was not asked to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from signal import Signals
from typing import Any, NoReturn

import faust

from fanout_app.core.errors import OptionError, RowError, StartError
from fanout_app.exits import EXIT_FAULT, EXIT_START, EXIT_STOPPED
from fanout_app.logs import describe, told_once

logger = logging.getLogger("fanout.worker")

#: What starting again does not mend.
_CONFIGURATION = (OptionError, StartError, RowError)

#: Seconds on top of ``--drain`` that a stop may take.
STOP_FOR = 15.0
_SAY_FOR = 1.0
#: Seconds.
_CANCELLED_WITHIN = 1.0


class FanoutWorker(faust.Worker):
    """Runs the app until a signal or a fault ends it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It sets the level of our log handler and writes control characters, also where nobody looks.
        self.spinner = None
        self._first_fault: BaseException | None = None
        self._departing: asyncio.Future[None] | None = None

    def execute_from_commandline(self) -> NoReturn:
        # What is imported stays: looking at all of it in a collection holds up the loop for some 50 ms.
        gc.freeze()
        try:
            super().execute_from_commandline()
        except SystemExit as end:
            # mode makes an exit code of what a start raised, and keeps it as what came before the exit.
            fault = self._first_fault or end.__context__ or self.crash_reason
        self._end(fault)

    def _end(self, fault: BaseException | None) -> NoReturn:
        self.app.watchdog.stop()
        if isinstance(fault, _CONFIGURATION):
            logger.critical("cannot start: %s", describe(fault))
            raise SystemExit(EXIT_START)
        if fault is not None:
            logger.critical("the worker ends: %s", describe(fault))
            raise SystemExit(EXIT_FAULT)
        if self.app.unclean is not None:
            logger.critical("stopped, but not as it should be: %s", self.app.unclean)
            raise SystemExit(EXIT_FAULT)
        raise SystemExit(EXIT_STOPPED)

    def _crash(self, reason: BaseException) -> None:
        # What comes after the first fault comes of it, or of the stop that it causes.
        if self._first_fault is None:
            self._first_fault = reason
            told_once.ending = True
            self._limit_the_stop()
        super()._crash(reason)

    def _schedule_shutdown(self, signal: Signals) -> None:
        if self._departing is None and not self._signal_stop_time:
            logger.info("%s: stopping", signal.name)
            self._limit_the_stop()
            self._departing = asyncio.ensure_future(self._depart(signal))

    async def _depart(self, signal: Signals) -> None:
        """Go while everything still works, a rebalance included: Faust takes no part in one once it stops."""
        try:
            await self.app.depart()
        except Exception as error:
            self._crash(error)
        super()._schedule_shutdown(signal)

    async def _sentinel_task(self) -> None:
        # mode sleeps for a second here, for what it has cancelled to end; mostly there is nothing.
        cancelled = asyncio.all_tasks() - {asyncio.current_task()}
        if cancelled:
            await asyncio.wait(cancelled, timeout=_CANCELLED_WITHIN)

    def _on_sigusr2(self) -> None:
        # mode would start a debugger in the loop, which stands still until somebody at a terminal lets it go on.
        logger.warning("SIGUSR2 means nothing here; SIGUSR1 writes to stderr where every thread stands")

    def _limit_the_stop(self) -> None:
        """From a thread, since what hangs may be the loop itself."""
        seconds = self.app.options.drain + STOP_FOR
        timer = threading.Timer(seconds, self._give_up, (seconds,))
        timer.daemon = True
        timer.start()

    def _give_up(self, seconds: float) -> None:
        reasons = [
            f"it stopped because of {describe(self._first_fault)}" if self._first_fault is not None else None,
            self.app.unclean,
        ]
        why = "; ".join(reason for reason in reasons if reason) or "a part of it did not end, please report this"
        end_at_once(f"stopping took longer than {seconds:.0f} s: {why}")


def end_at_once(why: str) -> NoReturn:
    """End the process from any thread, with nothing given back: the system and Kafka take it for killed."""
    # Whatever hangs may hold a lock of logging, or be the terminal.
    says = threading.Thread(target=_say, args=(why,), daemon=True)
    says.start()
    says.join(_SAY_FOR)
    os._exit(EXIT_FAULT)


def _say(why: str) -> None:
    logger.critical("ending at once: %s", why)
    logging.shutdown()
