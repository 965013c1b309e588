"""A runtime around the real core; Kafka, the changelog and the clock are made up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

from fanout_app import overview
from fanout_app.canary import Canary
from fanout_app.cluster.frames import Wish
from fanout_app.cluster.gathering import Gathering
from fanout_app.cluster.leader_only import LeaderOnly
from fanout_app.cluster.overall import Overall
from fanout_app.cluster.relayed import Relayed
from fanout_app.cluster.routes import Routes
from fanout_app.core.ages import Ages
from fanout_app.core.canary import CanaryState
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.errors import LeasesLiveError, NotOwnedError
from fanout_app.core.following import Leader
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import Empty, LeaseRef, LiveLease, Pull, SeekTo, Settle, SettleOutcome
from fanout_app.core.roster import Roster
from fanout_app.core.settling import Case, Settling, case_of
from fanout_app.group_commit import Waiter
from fanout_app.groups import Alone
from fanout_app.guarding import Part
from fanout_app.ledger_group import LedgerGroup
from fanout_app.metric_names import DELIVERY_AGE
from fanout_app.overview_of_groups import Overview
from fanout_app.tasks import Tasks
from unit.web.fake_parked import FakeParked

START = 1000.0
START_UNIX_MS = 1_800_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What Kafka would have given."""

    offset: int
    value: bytes | None = b"hello"
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = START_UNIX_MS - 5000


def _raise(error: BaseException) -> None:
    raise error


class FakeLeading:
    """Leadership as a test says it is."""

    def __init__(self) -> None:
        self.led_by: Leader | None = None
        self.acting = False
        self.epoch: int | None = None
        self.changes = 0

    def leader(self) -> Leader | None:
        return self.led_by

    def may_act(self) -> bool:
        return self.acting

    @property
    def acting_in(self) -> int | None:
        return self.epoch if self.acting else None

    def lead(self, canary: Canary) -> None:
        """The worker of the test leads, in epoch 7, and has read all that there is."""
        self.led_by = Leader(worker=FakeRuntime.worker, address="http://127.0.0.1:1", epoch=7)
        self.acting, self.epoch = True, 7
        canary.caught_up()
        canary.hear_leader(self.led_by, me=True)


class FakeBegun:
    """A settle whose row is written in the next turn of the loop."""

    def __init__(self, outcome: SettleOutcome) -> None:
        self.outcome = outcome
        self.rows = 1
        self._row: asyncio.Handle | None = None

    def tell(self, waiter: Waiter) -> None:
        self._row = asyncio.get_running_loop().call_soon(waiter.set_result, True)

    def tell_no_more(self, waiter: Waiter) -> None:
        if self._row is not None:
            self._row.cancel()

    async def written(self) -> SettleOutcome:
        return self.outcome


class FakeRuntime:
    """A runtime whose time stands still until it is moved; a pull that is to wait does so until it is woken."""

    id = "orders-id"
    topic = "orders"
    worker = "worker-1"

    def __init__(self, limits: Limits | None = None) -> None:
        self.dispatcher = Dispatcher(limits or Limits(), new_batch=count(1).__next__, jitter=lambda: 0.0)
        self.leading = FakeLeading()
        self.roster = Roster(self.worker, 3.0)
        self.clock = START
        self.ready = True
        self.stopping = False
        self.sick: str | None = None
        self.released: list[Answer] = []
        self.settled: list[Settle] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.before_settled: Callable[[], Awaitable[None]] | None = None
        self.paused = False
        self.partitions_of_topic = 1
        self.ages = Ages(DELIVERY_AGE.bounds)
        self.parked = FakeParked()
        self.seeks: list[tuple[int | None, SeekTo, bool]] = []
        #: What Kafka answers to whoever wants to change something.
        self.kafka: Callable[[], Awaitable[None]] | None = None
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self.overview = Overview(self.dispatcher, Alone(LedgerGroup(self.dispatcher)))
        self.dispatcher.assign(0, LedgerSnapshot())
        alone = Gathering(lambda: [], {}, Tasks(_raise))
        self.exchange: Any = SimpleNamespace(peers=[], asking=SimpleNamespace(relayed=0, returned=0))
        self.overall = Overall(self, alone, Routes(self.dispatcher, lambda: 1), partitions=lambda: 2)
        self.canary = Canary(self.id, self.topic, self.leading, self._write, apply=self.share, on_fault=_raise)
        self.guarding = SimpleNamespace(parts=self._parts, held={}, decided=Counter[str]())
        self.leader_only = LeaderOnly(
            self.worker, self.canary, alone, leader=self.leading.leader, peers=lambda: self.exchange.peers
        )

    # What a test does ------------------------------------------------------------------------------------------------

    def offer(self, *values: bytes | None, partition: int = 0, **rest: Any) -> None:
        """New messages of these values, at the next offsets."""
        asked = self.dispatcher.partitions[partition].next_offset
        records = [Record(offset=asked + step, value=value, **rest) for step, value in enumerate(values)]
        assert self.dispatcher.offer(partition, asked, asked + len(records), records)
        self._serve()

    def after(self, seconds: float) -> None:
        """Time passes."""
        self.clock += seconds
        self.dispatcher.expire(self.clock)
        self._serve()

    def stop(self) -> None:
        """SIGTERM, and the time of the drain over: waiting pulls go home."""
        self.stopping = True
        for number in list(self._waiting):
            self._end(number)

    def pulls(self) -> int:
        return len(self._waiting)

    def free(self) -> list[int]:
        """Offsets of partition 0 that are there to be handed out, in the order in which a client would get them."""
        pull = self.dispatcher.add_pull(self.clock, Pull(client="probe", max_messages=1000))
        handed = self.dispatcher.serve(self.clock)
        self.dispatcher.cancel_pull(pull, self.clock)
        offsets = [message.offset for _, answer in handed for run in answer.runs for message in run.messages]
        for _, answer in handed:
            self.dispatcher.release(answer, self.clock)
        return offsets

    # What the views do -----------------------------------------------------------------------------------------------

    async def pull(
        self,
        pull: Pull,
        *,
        wait: float,
        anonymous: bool = False,
        wish: Wish = Wish(),  # noqa: B008 - frozen
    ) -> Answer | Relayed | Empty:
        number = self.dispatcher.add_pull(self.clock, pull, anonymous=anonymous)
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._serve()
        if not wait or self.stopping:
            self._end(number)
        try:
            answer = await future
            if self.before_answer is not None:
                await self.before_answer()
        except asyncio.CancelledError:
            self._end(number)
            if future.done() and not future.cancelled() and (answer := future.result()) is not None:
                self.release(answer)
            raise
        if answer is None:
            return Empty.PAUSED if self.paused else self.dispatcher.why_empty(pull, self.now())
        return answer

    def pull_at_once(self, pull: Pull, *, anonymous: bool) -> Answer | None:
        if self.before_answer is not None or self.stopping:
            return None
        number = self.dispatcher.add_pull(self.clock, pull, anonymous=anonymous)
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._serve()
        self._end(number)
        return future.result()

    def release(self, answer: Answer) -> None:
        self.released.append(answer)
        if answer.batch in self.dispatcher.answers:
            self.dispatcher.release(answer, self.clock)

    def begin_settle(self, settle: Settle) -> FakeBegun | None:
        if settle.reject or self.before_settled is not None:
            return None
        self.settled.append(settle)
        outcome = Settling(self.dispatcher, self.clock).run(settle)
        self._serve()
        return FakeBegun(outcome)

    async def settle(self, settle: Settle) -> SettleOutcome:
        self.settled.append(settle)
        settling = Settling(self.dispatcher, self.clock)
        outcome = settling.run(settle)
        for entry, run in settling.rejects:
            settling.rejected(entry, run, run.messages[0].offset)
        if self.before_settled is not None:
            await self.before_settled()
        self._serve()
        return outcome

    def lease_state(self, ref: LeaseRef) -> tuple[Case, LeaseRun | None]:
        return case_of(self.dispatcher, ref, self.clock)

    def now(self) -> float:
        return self.clock

    def unix_ms(self, at: float) -> int:
        return START_UNIX_MS + round((at - START) * 1000)

    def waiting(self) -> int:
        return sum(len(partition.fresh) for partition in self.dispatcher.partitions.values())

    def healthy(self) -> str | None:
        return self.sick

    def status(self) -> dict[str, Any]:
        return {"id": self.id, "degraded": self.degraded(), "client_names": []}

    def degraded(self) -> list[str]:
        return []

    def owned(self) -> list[int]:
        return list(self.dispatcher.partitions)

    def partitions_status(self) -> list[dict[str, Any]]:
        return [{"partition": number} for number in self.dispatcher.partitions]

    def clients_status(self, most: int | None = None) -> list[dict[str, Any]]:
        waiting = Counter(pull.client for one in self._waiting if (pull := self.dispatcher.waiting_pull(one)))
        rows = overview.clients(self.dispatcher, waiting, self.clock, most)
        for row in rows:
            row["last_seen_unix_ms"] = self.unix_ms(self.dispatcher.clients[row["client"]].seen)
        return rows

    def counted(self) -> dict[str, Any]:
        return self.overview.counted(self.clock)

    async def pause(self) -> None:
        await self._asked_kafka()
        self.paused = True

    async def resume(self) -> None:
        await self._asked_kafka()
        self.paused = False
        self._serve()

    def may_seek(self, partition: int | None, *, force: bool) -> None:
        if partition is not None and partition not in self.dispatcher.partitions:
            raise NotOwnedError("not this worker's partition: ask its owner")
        live = self.dispatcher.clients.in_flight
        if live and not force:
            raise LeasesLiveError(f"{live} messages are held by clients: wait for them, or seek by force")

    async def seek(self, partition: int | None, to: SeekTo, *, force: bool) -> dict[int, int]:
        self.seeks.append((partition, to, force))
        await self._asked_kafka()
        numbers = self.dispatcher.partitions if partition is None else [partition]
        return dict.fromkeys(numbers, to if isinstance(to, int) else 5)

    def leave(self, client: str) -> bool:
        if self.dispatcher.clients.get(client) is None:
            return False
        for number in list(self._waiting):
            pull = self.dispatcher.waiting_pull(number)
            if pull is not None and pull.client == client:
                self._end(number)
        for answer in list(self.dispatcher.answers.values()):
            if answer.client == client:
                self.dispatcher.release(answer, self.clock)
        self._serve()
        return True

    def live_leases(self, min_age: float, limit: int) -> list[LiveLease]:
        runs = {id(run): run for part in self.dispatcher.partitions.values() for run in part.in_flight.values()}
        leases = [
            LiveLease(
                LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch),
                run.client,
                run.group,
                run.delivered_at,
                run.deadline,
            )
            for run in runs.values()
            for message in run.messages
            if self.dispatcher.partitions[run.partition].in_flight.get(message.offset) is run
            and run.delivered_at <= self.clock - min_age
        ]
        return sorted(leases, key=lambda lease: lease.delivered_at)[:limit]

    def share(self, state: CanaryState) -> None:
        self.dispatcher.set_weights(state.weights, state.by)
        self._serve()

    async def _parts(self) -> list[Part]:
        windows = self.dispatcher.leases.windows
        return [Part(windows.tallies(self.clock), windows.totals, {})]

    async def _write(self, key: str, value: bytes) -> None:
        await self._asked_kafka()
        self.canary.hear(value)

    async def _asked_kafka(self) -> None:
        if self.kafka is not None:
            await self.kafka()

    def _serve(self) -> None:
        if self.paused:
            return
        for number, answer in self.dispatcher.serve(self.clock):
            future = self._waiting.pop(number)
            if future.done():  # its task was cancelled in this very turn of the loop
                self.dispatcher.release(answer, self.clock)
            else:
                future.set_result(answer)

    def _end(self, number: int) -> None:
        future = self._waiting.pop(number, None)
        self.dispatcher.cancel_pull(number, self.clock)
        if future is not None and not future.done():
            future.set_result(None)
