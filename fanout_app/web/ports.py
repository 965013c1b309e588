"""What the HTTP interface needs of the runtime. Nothing here raises for a client's faults."""

from __future__ import annotations

from typing import Any, Protocol

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.requests import Empty, LeaseRef, Pull, Settle, SettleOutcome
from fanout_app.core.settling import Case


class Runtime(Protocol):
    """One worker, as its views see it."""

    @property
    def id(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def worker(self) -> str: ...
    @property
    def ready(self) -> bool:
        """From the first time a pull can be answered until the worker stops."""

    @property
    def stopping(self) -> bool: ...
    @property
    def dispatcher(self) -> Dispatcher:
        """To read from, never to change."""

    async def pull(self, pull: Pull, *, wait: float, anonymous: bool = False) -> Answer | Empty:
        """Wait up to ``wait`` seconds for messages. Cancelled, it has taken back the pull and what came of it."""

    def release(self, answer: Answer) -> None:
        """The answer could not be written. Does nothing for leases that have ended meanwhile."""

    async def settle(self, settle: Settle) -> SettleOutcome:
        """Settle, and wait until it is durable where that was asked for."""

    def lease_state(self, ref: LeaseRef) -> tuple[Case, LeaseRun | None]: ...
    def unix_ms(self, at: float) -> int:
        """The wall clock at a time of the monotonic one: for people to read."""

    def now(self) -> float: ...
    def healthy(self) -> str | None:
        """Why this worker should be restarted, if it should."""

    def status(self) -> dict[str, Any]: ...
    def partitions_status(self) -> list[dict[str, Any]]: ...
