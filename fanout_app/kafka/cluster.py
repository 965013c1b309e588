"""This worker among the others: it tells them on the board that it is there, and hears who else is.

Runs from the start to the end of a worker, before and through rebalances and recoveries, and whether Kafka is there or
not: what it cannot write is one log line, and the others miss this worker until it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from fanout_app.advertise import advertised
from fanout_app.core.alike import contradiction
from fanout_app.core.errors import RowError, StartError
from fanout_app.core.heartbeat_row import decode_heartbeat, encode_heartbeat
from fanout_app.core.roster import Absentees, Heartbeat
from fanout_app.heartbeat import Member, heartbeat_of, ways_of
from fanout_app.kafka.board_feed import BoardFeed, BoardRecord
from fanout_app.kafka.board_writer import BoardWriter
from fanout_app.kafka.brokers import Brokers
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.options import Options
from fanout_app.ports import SourceError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.kafka.cluster")

#: Seconds between heartbeats; see `fanout_app.core.roster.SILENCE` for how many may fail to come.
EVERY = 0.5
#: Of the keys of heartbeats; the rest is the worker's name.
PREFIX = "worker/"
#: A worker that stops does not wait for Kafka: it is missed after a while without a last word too.
_LEAVE_FOR = 1.0
_TURN = 60.0
#: Turns of a minute after which the last heartbeat of a worker that said nothing more is taken off the board. Long, so
#: that nobody is wiped who comes back; it is only that the board must not grow for ever.
_ABSENT_FOR = 60


class Cluster:
    """The board as this worker uses it."""

    def __init__(
        self,
        options: Options,
        brokers: Brokers,
        member: Member,
        keys: LeaseKeys,
        *,
        on_fault: Callable[[BaseException], None],
        on_dropped: Callable[[], None],
    ) -> None:
        """``on_fault`` is told of an error that the worker has to end for, ``on_dropped`` of records left out."""
        self._options = options
        self._member = member
        self._seal = Seal(keys, options.id, options.topic)
        self._on_dropped = on_dropped
        self.roster = member.roster
        self.feed = BoardFeed(brokers, options.name, self._seal, on_dropped)
        self.writer = BoardWriter(brokers, options.name, self._seal)
        #: When the last heartbeat that Kafka has acknowledged was sent, monotonic.
        self.last_acknowledged = float("-inf")
        #: The epoch of the leader that this worker follows, and the one whose leader it misses.
        self.epochs: Callable[[], tuple[int | None, int | None]] = lambda: (None, None)
        self._on_fault = on_fault
        self._tasks = Tasks(on_fault)
        self._beating: asyncio.Task[None] | None = None
        self._served: asyncio.Future[tuple[str, int]] | None = None
        self._due = asyncio.Event()
        self._absentees = Absentees(_ABSENT_FOR)
        self._read_back = False
        self._silent = False
        #: Told once at which address the others reach this worker.
        self.on_advertised: Callable[[str], None] = lambda address: None
        self.feed.on(PREFIX, self._hear)
        self.feed.on(PREFIX, self._note, sealed=False)

    def use(self, keys: LeaseKeys) -> None:
        """Go on with these lease keys."""
        self._seal.use(keys)

    # Life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the board. Heartbeats begin with `serves_at`."""
        self._served = asyncio.get_running_loop().create_future()
        self._tasks.start(self.feed.run(), "follow-board")
        self._tasks.start(self._keep_up(), "keep-board-up")
        self._beating = self._tasks.start(self._beat_on(), "heartbeats")

    def serves_at(self, host: str, port: int) -> None:
        """This worker answers at this address of its machine from now on."""
        if self._served is not None and not self._served.done():
            self._served.set_result((host, port))

    async def leave(self) -> None:
        """The last word: this worker takes no part any more. Returns within a second, also where Kafka is away."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        with suppress(SourceError, TimeoutError):
            async with asyncio.timeout(_LEAVE_FOR):
                await self.writer.write(PREFIX + self._member.worker, None)

    async def stop(self) -> None:
        await self._tasks.stop()
        await self.feed.stop()
        await self.writer.stop()

    # Heartbeats ------------------------------------------------------------------------------------------------------

    def beat_soon(self) -> None:
        """Something in the heartbeat has changed that others should know at once."""
        self._due.set()

    async def _beat_on(self) -> None:
        assert self._served is not None
        host, port = await self._served
        options = self._options
        address = await asyncio.to_thread(
            advertised, host, port, options.brokers_list, options.advertise, options.scheme
        )
        self.on_advertised(address)
        while True:
            self._due.clear()
            sent = monotonic()
            await self._beat(sent, address)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, sent + EVERY - monotonic())):
                    await self._due.wait()

    async def _beat(self, now: float, address: str) -> None:
        heartbeat = heartbeat_of(self._member, self._options, address, self.epochs(), now)
        self.roster.heard(now, heartbeat)
        row = encode_heartbeat(heartbeat, id=self._options.id, topic=self._options.topic)
        try:
            await self.writer.write(PREFIX + heartbeat.worker, row)
        except SourceError as error:
            if not self._silent:
                logger.warning("Kafka takes no heartbeat of this worker, so the others will miss it: %s", error)
            self._silent = True
            return
        self.last_acknowledged = now
        if self._silent:
            logger.warning("Kafka takes heartbeats of this worker again")
        self._silent = False

    # The others ------------------------------------------------------------------------------------------------------

    def _hear(self, record: BoardRecord) -> None:
        worker = record.key.removeprefix(PREFIX)
        if worker == self._member.worker:
            self._read_back = True
        elif record.value is None:
            self.roster.left(worker)
        elif record.live:
            try:
                heartbeat = decode_heartbeat(record.value, id=self._options.id, topic=self._options.topic)
            except RowError as error:
                logger.debug("%s: %s", record.key, error)
                self._on_dropped()
                return
            self._refuse(heartbeat)
            self.roster.heard(record.received, heartbeat)

    def _refuse(self, other: Heartbeat) -> None:
        """A start finds out who runs with other options before it joins him; here two that started at one time meet.

        Who is in service stays, so that nobody who comes can end him; of two that are the one whose name comes first.
        """
        why = contradiction(ways_of(self._options), other)
        if why is None:
            return
        member, in_service = self._member, other.generation > 0
        if not member.ready or (in_service and member.worker > other.worker):
            self._on_fault(StartError(why))

    # The dead --------------------------------------------------------------------------------------------------------

    def _note(self, record: BoardRecord) -> None:
        worker = record.key.removeprefix(PREFIX)
        if record.value is None or worker == self._member.worker:
            self._absentees.wiped(worker)
        else:
            self._absentees.seen(worker)

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(_TURN)
            # Who does not even hear himself cannot tell who else is silent.
            if self._read_back:
                self._read_back = False
                for worker in self._absentees.turn():
                    with suppress(SourceError):
                        await self.writer.write(PREFIX + worker, None)
