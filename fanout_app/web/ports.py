"""What the HTTP interface needs of the runtime. Nothing here raises for a client's faults."""

from __future__ import annotations

from typing import Protocol

from fanout_app.cluster.frames import Wish
from fanout_app.cluster.leader_only import LeaderOnly
from fanout_app.cluster.overall import Overall
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.canary import CanaryState
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.following import Leader
from fanout_app.core.lease import Answer
from fanout_app.core.parked import Parked
from fanout_app.core.requests import Empty, Pull, Settle, SettleOutcome
from fanout_app.core.roster import Roster
from fanout_app.group_commit import Waiter
from fanout_app.guarding import Part


class Leading(Protocol):
    """Who leads, and whether it is this worker."""

    @property
    def epoch(self) -> int | None:
        """The highest epoch heard of; a record of a smaller one counts for nothing."""

    def leader(self) -> Leader | None:
        """Who leads, as everybody reads it on the board. This worker names itself only while it may act."""

    def may_act(self) -> bool:
        """Whether this worker may act as the leader at this moment."""


class Canary(Protocol):
    """What shares the groups have."""

    @property
    def state(self) -> CanaryState: ...


class Guarding(Protocol):
    """How the groups do."""

    async def parts(self) -> list[Part]:
        """What each worker has counted; one that does not answer is left out."""


class Begun(Protocol):
    """See `fanout_app.settles.Begun`."""

    outcome: SettleOutcome

    @property
    def rows(self) -> int: ...
    def tell(self, waiter: Waiter) -> None: ...
    def tell_no_more(self, waiter: Waiter) -> None: ...
    async def written(self) -> SettleOutcome: ...


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
    def leading(self) -> Leading: ...
    @property
    def dispatcher(self) -> Dispatcher:
        """To read from, never to change."""

    @property
    def roster(self) -> Roster:
        """Who is in the cluster. To read from, never to change."""

    async def pull(self, pull: Pull, *, wait: float, anonymous: bool, wish: Wish) -> Answer | Relayed | Empty:
        """Wait up to ``wait`` seconds for messages. Cancelled, it has taken back the pull and what came of it.

        Where another worker hands them out the answer comes finished, as ``wish`` says.
        """

    def pull_at_once(self, pull: Pull, *, anonymous: bool) -> Answer | None:
        """What this worker has for it at this moment. None: that is for `pull` to find out; so it is while it stops."""

    def release(self, answer: Answer) -> None:
        """The answer could not be written. Does nothing for leases that have ended meanwhile."""

    async def settle(self, settle: Settle) -> SettleOutcome:
        """Settle, and wait until it is durable where that was asked for."""

    def begin_settle(self, settle: Settle) -> Begun | None:
        """The same up to where a row is waited for. None: something else is, and nothing was done."""

    def unix_ms(self, at: float) -> int:
        """The wall clock at a time of the monotonic one: for people to read."""

    def now(self) -> float: ...
    def healthy(self) -> str | None:
        """Why this worker should be restarted, if it should."""

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

    @property
    def canary(self) -> Canary: ...
    @property
    def guarding(self) -> Guarding: ...
    @property
    def leader_only(self) -> LeaderOnly:
        """For what no worker but the leader changes."""

    @property
    def overall(self) -> Overall:
        """The whole cluster, for those who look at it or ask something of all workers."""
