"""Extends leases in the background, for threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic

from fanout_client.errors import FanoutError
from fanout_client.held import Held
from fanout_client.wire import MOST_ENTRIES, Settled

logger = logging.getLogger("fanout_client")


class Keeping:
    """One thread a client, which is there while leases are."""

    def __init__(self, held: Held, extend: Callable[[list[str]], Settled]) -> None:
        self._held = held
        self._extend = extend
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._keep, name="fanout-leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def take(self, leases: Iterable[str]) -> None:
        with self._changed:
            self._held.take(leases, monotonic())
            self._changed.notify()

    def end(self, leases: Iterable[str]) -> None:
        with self._changed:
            self._held.end(leases)

    def _keep(self) -> None:
        while True:
            with self._changed:
                due = self._held.next()
                wait = None if due is None else due - monotonic()
                if self._stopped:
                    return
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                leases = self._held.due(monotonic())
            for start in range(0, len(leases), MOST_ENTRIES):
                self._extend_these(leases[start : start + MOST_ENTRIES])

    def _extend_these(self, leases: list[str]) -> None:
        try:
            settled = self._extend(leases)
        except FanoutError as error:
            logger.warning("leases could not be extended, their messages may be delivered again: %s", error)
            return
        with self._changed:
            self._held.answered(settled, monotonic())
