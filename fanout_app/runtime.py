"""One worker: it tells the core the time and what happened, and does what the core decides.

Rules for this file: everything runs in one event loop, and no decision of the core is awaited between being made and
being recorded. Everything outside is a Protocol (`fanout_app.ports`) here and an adapter elsewhere. No body of a
message is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from time import monotonic
from typing import Any

from fanout_app import guarding, overview
from fanout_app.assignment import Assignment
from fanout_app.broadcast import broadcasting
from fanout_app.canary import Canary
from fanout_app.cluster import joining, leader_only
from fanout_app.cluster.exchange import Exchange
from fanout_app.cluster.frames import Wish
from fanout_app.cluster.joining import Joining, Standing
from fanout_app.cluster.leader_only import LeaderOnly
from fanout_app.cluster.overall import Overall, answerers
from fanout_app.cluster.ports import Render
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.ages import Ages
from fanout_app.core.canary import CanaryState
from fanout_app.core.dispatcher import Limits
from fanout_app.core.lanes import By
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.parked import Parked
from fanout_app.core.requests import Empty, LeaseRef, LiveLease, Pull, SeekTo, Settle, SettleOutcome
from fanout_app.core.roster import SILENCE, Roster
from fanout_app.core.settling import Case, case_of
from fanout_app.fetches import Fetches
from fanout_app.group_commit import GroupCommit
from fanout_app.groups import balancing
from fanout_app.guarding import Guarding
from fanout_app.leading import Leading
from fanout_app.ledger_group import Around
from fanout_app.metric_names import DELIVERY_AGE
from fanout_app.options import Options
from fanout_app.overview_of_groups import Overview
from fanout_app.ports import Bodies, DeadLetterSink, Fetch, SlotStore, Source, Starts, Switch, Terms
from fanout_app.settles import MOVING, Begun
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.runtime")

_PLAIN = Wish()
#: Seconds for which a partition that is given up waits for answers that are under way to clients of other workers.
_ARRIVED_IN = 0.2


class Runtime:
    """One worker."""

    #: The adapters and what works with them; there from `connect` on.
    exchange: Exchange
    overall: Overall
    #: Who leads; there before anybody asks.
    leading: Leading
    #: What shares the groups have; there before anybody asks.
    canary: Canary
    leader_only: LeaderOnly
    guarding: Guarding
    parked: Parked
    _assignment: Assignment
    _fetches: Fetches
    _terms: Terms
    _switch: Switch

    def __init__(self, options: Options, *, worker: str, limits: Limits) -> None:
        self.options = options
        self.id = options.id
        self.topic = options.topic
        self.worker = worker
        self.roster = Roster(worker, SILENCE)
        #: Called when the partitions that this worker can serve are others than before.
        self.on_moved: Callable[[], None] = lambda: None
        apart = options.delivery == "broadcast"
        self.groups, self.queue = broadcasting(limits, options) if apart else balancing(limits)
        self.dispatcher = self.queue.dispatcher
        self.overview = Overview(self.dispatcher, self.groups)
        #: Of messages that were handed out.
        self.ages = Ages(DELIVERY_AGE.bounds)
        self.ready = False
        self.stopping = False
        #: How many are known of: their owners are to be known before a group can have joined.
        self.partitions_of_topic = 0
        #: Whether others than this machine reach it, and nobody is asked who they are.
        self.insecure = False
        #: What is wrong with the certificate that this worker serves with.
        self.certificate_trouble: Callable[[], list[str]] = list

    def connect(
        self,
        *,
        source: Source,
        starts: Starts,
        terms: Terms,
        store: SlotStore,
        bodies: Bodies,
        dead_letters: DeadLetterSink,
        switch: Switch,
        render: Render,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        """Join the adapters. Called once, in the loop that everything runs in.

        ``on_fault`` is told of an error in a background task: the worker has to end.
        """
        self._terms, self._switch = terms, switch
        self._tasks = Tasks(on_fault)
        moved = asyncio.Event()
        around = Around(
            terms=terms,
            bodies=bodies,
            dead_letters=dead_letters,
            tasks=self._tasks,
            ages=self.ages,
            moved=moved,
            feed=lambda: self._fetches.feed(),
            on_fault=on_fault,
        )
        self.queue.connect(store, around)
        self.groups.connect(store, around, self.groups_there)
        self._fetches = Fetches(self.dispatcher, self.groups, source, serve=self.groups.serve)
        self._assignment = Assignment(
            self.dispatcher,
            self.commit,
            source=source,
            starts=starts,
            terms=terms,
            tasks=self._tasks,
            moved=moved,
            groups=self.groups,
            serve=self.groups.serve,
        )
        self.exchange = Exchange(
            self.dispatcher,
            self.groups,
            generation=lambda: self.generation,
            waiting=self.waiting,
            render=render,
            answerers={
                **answerers(self),
                leader_only.QUESTION: leader_only.answerer(self.canary),
                **joining.answerers(self.groups, self._standing),
                guarding.QUESTION: guarding.answerer(lambda: self.guarding),
            },
            tasks=self._tasks,
        )
        self._joining = Joining(
            self.groups,
            self.exchange.gathering,
            self.exchange.routes,
            partitions=lambda: self.partitions_of_topic,
            standing=self._standing,
            ttl=self.options.client_ttl,
        )
        self.leader_only = LeaderOnly(
            self.worker,
            self.canary,
            self.exchange.gathering,
            leader=self.leading.leader,
            peers=lambda: self.exchange.peers,
        )
        self.guarding = Guarding(
            self.canary,
            self.leading,
            self.dispatcher.leases.windows,
            self.exchange.gathering,
            self._tasks,
            share=lambda weights: self._reshare(weights, self.canary.state.by),
        )
        self.overall = Overall(
            self, self.exchange.gathering, self.exchange.routes, partitions=lambda: self.partitions_of_topic
        )
        self._tasks.start(self.exchange.keep_telling(), "telling")

    @property
    def commit(self) -> GroupCommit:
        return self.queue.commit

    # The topic -------------------------------------------------------------------------------------------------------

    def wants(self, partition: int) -> bool:
        return self._fetches.wants(partition)

    async def take(self, fetch: Fetch) -> None:
        await self._fetches.take(fetch)
        self.groups.look_at_spent()

    def position(self, number: int, position: int) -> int | None:
        return self._fetches.position(number, position)

    async def watch_log(self) -> None:
        """Called every few seconds. Raises what `Assignment.begin_again` raises."""
        await self._assignment.begin_again(await self._fetches.watch_log())

    def suspend(self) -> None:
        self._assignment.suspend()
        self.on_moved()

    async def give_up(self) -> None:
        """See `Assignment.give_up`. What is on its way to a client is on loan, and no lease before it has arrived."""
        self.suspend()
        await self.exchange.answering.arrivals(_ARRIVED_IN)
        await self._assignment.give_up()

    def topic_has(self, partitions: int) -> None:
        """The topic has so many partitions, or more: they are added, and never taken away."""
        self.partitions_of_topic = max(self.partitions_of_topic, partitions)

    def assigned(self, numbers: set[int], generation: int) -> None:
        self.topic_has(max(numbers, default=-1) + 1)
        self._assignment.assigned(numbers, generation)

    async def start(self, numbers: set[int]) -> dict[int, int]:
        """Recovery is over, and these partitions are ours. Returns the offsets to read them from."""
        if await self._assignment.start(numbers):
            self.ready = not self.stopping
            self.on_moved()
            self.exchange.tell()
        return {number: partition.next_offset for number, partition in self.dispatcher.partitions.items()}

    @property
    def generation(self) -> int:
        return self._assignment.generation

    def owned(self) -> tuple[int, ...]:
        """See `Assignment.owned`."""
        return self._assignment.owned()

    def _standing(self) -> Standing:
        return self.generation, self.owned()

    def committable(self) -> dict[int, int]:
        """Floors that the changelog has acknowledged and that are not the group's offsets yet."""
        committed = {number: partition.ledger.committed for number, partition in self.dispatcher.partitions.items()}
        return {number: floor for number, floor in self.commit.committable().items() if floor != committed[number]}

    def era(self, number: int) -> int:
        return self.dispatcher.partitions[number].ledger.era

    def committed(self, offsets: dict[int, int]) -> None:
        for number, offset in offsets.items():
            partition = self.dispatcher.partitions.get(number)
            if partition is not None:
                partition.ledger.note_committed(offset)

    # Pulls -----------------------------------------------------------------------------------------------------------

    async def pull(
        self, pull: Pull, *, wait: float, anonymous: bool = False, wish: Wish = _PLAIN
    ) -> Answer | Relayed | Empty:
        """See `Asking.pull`. While the worker stops nobody waits."""
        if self.options.delivery == "broadcast":
            await self._joining.join(pull.group)
        wait = 0.0 if self.stopping else wait
        return await self.exchange.asking.pull(pull, wait=wait, anonymous=anonymous, wish=wish)

    def pull_at_once(self, pull: Pull, *, anonymous: bool) -> Answer | None:
        """See `Asking.at_once`. Groups that may have to join first, and what follows, is for `pull`."""
        if self.stopping or self.options.delivery == "broadcast":
            return None
        return self.exchange.asking.at_once(pull, anonymous=anonymous)

    async def groups_there(self) -> Set[str] | None:
        """See `Joining.everywhere`."""
        return await self._joining.everywhere()

    def release(self, answer: Answer) -> None:
        """The answer could not be written: its messages go to the next client at once, uncounted."""
        self.groups.release(answer)

    # Settles ---------------------------------------------------------------------------------------------------------

    async def settle(self, settle: Settle) -> SettleOutcome:
        """See `SettleRouting.settle`."""
        return await self.exchange.settling.settle(settle)

    def begin_settle(self, settle: Settle) -> Begun | None:
        """See `SettleRouting.begin`."""
        return self.exchange.settling.begin(settle)

    def lease_state(self, ref: LeaseRef) -> tuple[Case, LeaseRun | None]:
        """Where the message of a lease stands, and the lease it is under now."""
        queue = self.groups.of_batch(ref.batch)
        return (Case.ENDED, None) if queue is None else case_of(queue.dispatcher, ref, monotonic())

    # What an operator asks for ---------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self.dispatcher.paused

    async def pause(self) -> None:
        """Hand nothing out until `resume`, also after a restart. Raises UnavailableError if that is not remembered."""
        self.switched(await self._switch.remember(paused=True))

    async def resume(self) -> None:
        """Raises UnavailableError if that is not remembered: the next start would be paused."""
        self.switched(await self._switch.remember(paused=False))

    def switched(self, paused: bool) -> None:
        """What holds of `pause` and `resume`, whichever worker was asked. Nothing new changes nothing."""
        if paused == self.dispatcher.paused:
            return
        self.groups.pause(paused)
        if paused:
            logger.warning("paused: nothing is handed out until it is resumed")
            return
        logger.warning("resumed")
        self.groups.go_on()

    def was_paused(self) -> None:
        """Before the first partition: somebody paused this id and topic, and nobody has resumed it."""
        self.groups.pause(True)
        logger.warning("paused since before this start: nothing is handed out until it is resumed")

    def share(self, state: CanaryState) -> None:
        """These are the shares of the groups from now on, whoever has set them."""
        shares = ", ".join(f"{group} {weight}" for group, weight in state.weights.items())
        logger.info("shares by %s: %s", state.by, shares)
        self._reshare(state.weights, state.by)
        self.guarding.heard(state)

    def _reshare(self, weights: Mapping[str, int], by: By) -> None:
        self.dispatcher.set_weights(weights, by)
        self.groups.go_on()

    async def seek(self, partition: int | None, to: SeekTo, *, force: bool) -> dict[int, int]:
        """See `Assignment.seek`."""
        return await self._assignment.seek(partition, to, force=force)

    def may_seek(self, partition: int | None, *, force: bool) -> None:
        """See `Assignment.may_seek`."""
        self._assignment.may_seek(partition, force=force)

    def leave(self, client: str) -> bool:
        """A client leaves: its pulls end, its messages go to others. False if nobody of that name is known."""
        return self.groups.leave(client)

    def live_leases(self, min_age: float, limit: int) -> list[LiveLease]:
        """The oldest leases that were given ``min_age`` seconds ago or earlier."""
        return self.overview.live_leases(min_age, limit)

    # Looking in ------------------------------------------------------------------------------------------------------

    @staticmethod
    def now() -> float:
        return monotonic()

    @staticmethod
    def unix_ms(at: float) -> int:
        """Wall clock of a moment of the monotonic clock, for reading only."""
        return overview.unix_ms(at)

    def waiting(self) -> int:
        """Messages not handed out yet: held here, or still in Kafka."""
        return self.overview.waiting()

    def healthy(self) -> str | None:
        """None, or why this worker should be restarted."""
        if (stuck_for := self.groups.stuck_for()) is None:
            return None
        return f"messages and free clients, and nothing was handed out for {stuck_for:.0f} s"

    def status(self) -> dict[str, Any]:
        """This worker's part of /v1/status."""
        return {
            "id": self.id,
            "topic": self.topic,
            "worker": self.worker,
            "generation": self.generation,
            "ready": self.ready,
            "stopping": self.stopping,
            "paused": self.paused,
            "insecure": self.insecure,
            **self.overview.totals(),
            "waiting_pulls": self.exchange.asking.waiting().total(),
            "client_names": self.overview.client_names(),
            "degraded": self.degraded(),
        }

    def degraded(self) -> list[str]:
        """Why this worker does not do all that it could, in words for an operator."""
        return [
            *self._not_ours(),
            *self.overview.degraded(),
            *self.guarding.reasons(),
            *self.certificate_trouble(),
        ]

    def _not_ours(self) -> list[str]:
        if self._assignment.left:
            return []  # it says that it is stopping
        if not self._assignment.moved.is_set():
            return ["rebalancing"]
        if not self._terms.holds(self._terms.term(), monotonic()):
            return ["no recent answer from the group's coordinator"]
        return []

    def partitions_status(self) -> list[dict[str, Any]]:
        """This worker's rows of /v1/partitions."""
        return self.overview.partitions(self.worker)

    def clients_status(self, most: int | None = None) -> list[dict[str, Any]]:
        """This worker's rows of /v1/clients, all of them or those of the ``most`` that do most."""
        return self.overview.clients(self.exchange.asking.waiting(), most)

    def counted(self) -> dict[str, Any]:
        """What has happened at this worker, see `Overview.counted`."""
        return self.overview.counted(monotonic())

    # The end ---------------------------------------------------------------------------------------------------------

    def stop_begins(self) -> bool:
        """SIGTERM: not ready at once. Whether this worker has been in service."""
        self.stopping = True
        served, self.ready = self.ready, False
        return served

    def send_home(self) -> None:
        """End the pulls that wait."""
        self.groups.send_home()

    async def write_all(self) -> bool:
        """Get what is settled so far into the changelog; False if not every ledger could be written."""
        # Those of the partitions themselves follow the groups'.
        written = await self.groups.write_all(MOVING)
        return await self.commit.write_all(MOVING) and written

    def left_group(self, *, forget: bool) -> None:
        """See `Assignment.leave`."""
        self._assignment.leave(forget=forget)

    async def stop(self) -> None:
        self.groups.stop_pulls()
        await self._tasks.stop()
        await self.groups.stop()
        await self.commit.stop()
