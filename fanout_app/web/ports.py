"""What the HTTP interface needs of the runtime. Nothing here raises for a client's faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.parked import Parked
from fanout_app.core.requests import Empty, LeaseRef, LiveLease, Pull, SeekTo, Settle, SettleOutcome
from fanout_app.core.roster import Roster
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

    @property
    def roster(self) -> Roster:
        """Who is in the cluster. To read from, never to change."""

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

    # For those who run it --------------------------------------------------------------------------------------------

    @property
    def parked(self) -> Parked: ...
    @property
    def paused(self) -> bool:
        """Nothing is handed out because somebody said so; everything else goes on."""

    async def pause(self) -> None:
        """Hand nothing out until `resume`, here and by whoever starts later. Waiting pulls go on waiting.

        Raises:
            UnavailableError: Kafka does not take it; nothing has changed.
        """

    async def resume(self) -> None:
        """Raises UnavailableError as `pause` does."""

    async def seek(self, partition: int | None, to: SeekTo, *, force: bool) -> dict[int, int]:
        """Begin a new era of this partition, or of all of this worker's, at another offset.

        Not cancelled when its client goes: what has begun is brought to an end.

        Returns:
            The offset that each partition stands at now.

        Raises:
            LeasesLiveError: there are live leases and no ``force``; nothing has changed.
            NotOwnedError: the partition is not this worker's.
            UnavailableError: Kafka does not take it.
        """

    def leave(self, client: str) -> bool:
        """The client leaves now: its pulls end with nothing, its leases are freed uncounted. False: nobody knows it."""

    def live_leases(self, min_age: float, limit: int) -> Sequence[LiveLease]:
        """Up to ``limit`` leases that began at least ``min_age`` seconds ago, the oldest first."""
