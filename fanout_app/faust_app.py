"""The Faust app of one worker: its services, its life, and which adapter serves the runtime for what."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import TP

from fanout_app import canary
from fanout_app.canary import Canary
from fanout_app.departure import Departure
from fanout_app.group_election import GroupElection
from fanout_app.kafka import switch
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.cluster import Cluster
from fanout_app.kafka.dead_letters import DeadLetters
from fanout_app.kafka.group import ConsumerGroup
from fanout_app.kafka.growth import Growth, partition_counts, raise_by_itself
from fanout_app.kafka.leader_board import LeaderBoard
from fanout_app.kafka.ledger_rows import LedgerRows
from fanout_app.kafka.ledger_table import LedgerTable
from fanout_app.kafka.log_client import LogClient
from fanout_app.kafka.log_reader import LogReader
from fanout_app.kafka.membership import Membership
from fanout_app.kafka.parked import ParkedTopic
from fanout_app.kafka.prepare import Prepared
from fanout_app.kafka.source import ConsumerSource
from fanout_app.kafka.start_offsets import NoMirror, StartOffsets
from fanout_app.kafka.switch import BoardSwitch
from fanout_app.kafka.topic_watch import TopicWatch, missing
from fanout_app.kafka.transport import BatchTransport, partitions_of
from fanout_app.kafka.writer import Writer
from fanout_app.key_file import KeyFile
from fanout_app.leading import KEY, Leading
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.limits import limits_of
from fanout_app.metrics import Metrics
from fanout_app.mirroring import Mirroring
from fanout_app.options import Options
from fanout_app.parked_of_groups import ParkedOfGroups
from fanout_app.peers.handshake import Handshake
from fanout_app.peers.mesh import Mesh
from fanout_app.ports import Election
from fanout_app.runtime import Runtime
from fanout_app.settings import settings
from fanout_app.tasks import Tasks
from fanout_app.tls import TlsFiles
from fanout_app.tokens_file import TokensFile
from fanout_app.watchdog import Watchdog
from fanout_app.web.access import Gate
from fanout_app.web.rendering import Renderer
from fanout_app.web.server import FanoutWeb
from fanout_app.web.tokens import TokenCodec
from fanout_app.worker import end_at_once
from fanout_app.worker_name import worker_name
from fanout_app.zookeeper.lock import LockElection
from fanout_app.zookeeper.login import Login
from fanout_app.zookeeper.mirror import Mirror
from fanout_app.zookeeper.session import Session

_WATCH_LOG_EVERY = 2.0
_MIRROR_EVERY = 1.0
_WATCH_FILES_EVERY = 1.0
_WATCH_TOPICS_EVERY = 5.0
_ANSWERS_WITHIN = 2.0


class Fanout(faust.App):
    """The Faust app of one worker."""

    ledgers: LedgerTable

    def __init__(
        self,
        options: Options,
        brokers: Brokers,
        prepared: Prepared,
        key_file: KeyFile | None = None,
        tokens_file: TokensFile | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.options = options
        self._brokers = brokers
        self.tls = tls
        self.source = prepared.source
        self.isolation_level = options.isolation_level
        self.runtime = Runtime(options, worker=worker_name(), limits=limits_of(options))
        self.runtime.topic_has(prepared.source.partitions)
        #: What the transport asks and tells, see `fanout_app.kafka.transport.Intake`.
        self.intake = self.runtime
        lease_keys = LeaseKeys(prepared.lease_keys)
        self.tokens = TokenCodec(lease_keys, options.id, options.topic)
        self._seal = Seal(lease_keys, options.id, options.topic)
        self.metrics = Metrics(self.runtime)
        self.gate = Gate(tokens_file.in_use if tokens_file is not None else None, self.metrics.request_refused)
        self.cluster = Cluster(
            options,
            brokers,
            self.runtime,
            lease_keys,
            on_fault=self._on_fault,
            on_dropped=self.metrics.board_record_dropped,
        )
        self.runtime.on_moved = self.cluster.beat_soon
        if tls is not None:
            self.runtime.certificate_trouble = tls.trouble
            self.cluster.on_advertised = tls.advertised
        self._switch = BoardSwitch(self.cluster.writer, self.runtime.switched)
        self.cluster.feed.on(switch.KEY, self._switch.hear, sealed=False)
        self._tasks = Tasks(self._on_fault)
        self.membership = Membership(options.session_timeout, lambda: self.consumer.confirmed_at)
        self._zookeeper = (
            Session(options.zookeepers, options.zookeeper_timeout, Login.of(options)) if options.zookeepers else None
        )
        self.leading = self.runtime.leading = self._new_leading()
        self.canary = self.runtime.canary = self._new_canary()
        super().__init__(options.name, **settings(options, brokers, prepared))
        self.source_topic = self.topic(options.topic, key_type=bytes, value_type=bytes, value_serializer="raw")
        self.changelog_topic = self.topic(
            options.changelog,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=prepared.source.partitions,
            compacting=True,
            deleting=False,
            internal=True,
            acks=False,
        )
        self.watchdog = Watchdog(options.stall_timeout, end_at_once)
        #: Why a stop that was asked for is none that loses nothing.
        self.unclean: str | None = None
        self._first_starts = prepared.first_starts
        self._paused = prepared.paused
        self._shares = prepared.shares
        self._log = LogClient(brokers, options.topic)
        self._bodies = LogReader(brokers, options.topic, options.isolation_level)
        self._writer = Writer(brokers)
        self._parked_reader = LogReader(brokers, options.parked, "read_uncommitted")
        self._parked = ParkedTopic(
            self._parked_reader, self._writer, id=options.id, parked=options.parked, source=options.topic
        )
        self._key_file = key_file
        self._tokens_file = tokens_file
        self._mirror = Mirror(self._zookeeper, options.id, options.topic) if self._zookeeper else None
        self._mirroring = Mirroring(self._mirror, self.runtime, self.membership) if self._mirror else None
        self.on_partitions_revoked.connect(self._on_revoked)
        self.on_partitions_assigned.connect(self._on_assigned)
        self.on_rebalance_complete.connect(self._on_recovered)
        self.task(self._watch_log)
        self.task(self._watch_topics)
        if key_file is not None:
            self.task(self._watch_keys)
        if tokens_file is not None:
            self.task(self._watch_tokens)
        if tls is not None:
            self.task(self._watch_certificates)
        if self._mirroring is not None:
            self.task(self._write_mirror)

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)

    def _new_producer_transport(self) -> Any:
        return BatchTransport(self.conf.broker_producer, self, loop=self.loop)

    def _new_web(self) -> Any:
        return FanoutWeb(self)

    def _new_leading(self) -> Leading:
        options, worker = self.options, self.runtime.worker
        if self._zookeeper is not None:
            election: Election = LockElection(self._zookeeper, options.id, options.topic, worker, self._on_fault)
        else:
            election = GroupElection(self.runtime, self.membership)
        board = LeaderBoard(self.cluster, options.id, options.topic)
        leading = Leading(options, worker, election, board, self._on_fault)
        board.tell(KEY, leading)
        self.cluster.epochs = leading.epochs
        return leading

    def _new_canary(self) -> Canary:
        shares = Canary(
            self.options.id,
            self.options.topic,
            self.leading,
            # As what is paused, it has to outlast the lease keys of the day.
            partial(self.cluster.writer.write, sealed=False),
            apply=self.runtime.share,
            on_fault=self._on_fault,
        )
        feed = self.cluster.feed
        feed.on(canary.KEY, lambda record: shares.hear(record.value, live=record.live), sealed=False, every=True)
        feed.on_caught_up(shares.caught_up)
        self.leading.on_heard = lambda leader, me: shares.hear_leader(leader, me=me)
        return shares

    # Life ------------------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        await super().on_start()
        if self._zookeeper is not None:
            self._zookeeper.start()
        if self._paused:
            self.runtime.was_paused()
        of_groups = self.options.delivery == "broadcast"
        self.runtime.parked = ParkedOfGroups(self._parked, self.runtime.groups_there) if of_groups else self._parked
        letters = self.options.dead_letter_topic
        self.runtime.connect(
            source=ConsumerSource(self, self._log),
            starts=StartOffsets(
                self.options, self.ledgers, self._first_starts, self._mirror or NoMirror(), self._log, self._bodies
            ),
            terms=self.membership,
            store=LedgerRows(self, self.options),
            bodies=self._bodies,
            dead_letters=(
                DeadLetters(self._writer, letters, self.options.topic, self._parked) if letters else self._parked
            ),
            switch=self._switch,
            render=Renderer(self.runtime, self.tokens),
            on_fault=self._on_fault,
        )
        leaving = self._mirroring.leaving if self._mirroring is not None else lambda: None
        group = ConsumerGroup(self, self.membership, leaving)
        self._departure = Departure(self.runtime, group, drain=self.options.drain)
        self.mesh = Mesh(
            self.runtime.worker,
            Handshake(self._seal, self.runtime.worker),
            self.runtime.exchange,
            self._addresses,
            self._tasks,
            lambda: self.tls.in_use.peer if self.tls is not None else None,
        )
        self._tasks.start(self.mesh.keep(), "mesh")
        self.runtime.commit.on_commit_seconds = self.metrics.commit_seconds
        self.runtime.commit.on_commit_failed = self.metrics.commit_failed
        if self._shares is not None:
            self.canary.was(self._shares)
        self.cluster.start()
        self.leading.start()
        self.canary.start()

    async def depart(self) -> None:
        """The stop that was asked for, up to where nothing but stopping is left. Not before the first start."""
        if self.runtime.ready:
            # The lead is given up at once, for another one to have it before this worker is gone.
            await asyncio.gather(self._departure.go(), self.leading.stop())

    async def on_stop(self) -> None:
        written, _ = await asyncio.gather(self._departure.go(), self.leading.stop())
        if not await self._kafka_answers():
            self.unclean = f"Kafka at {self.options.brokers} does not answer"
        if not written:
            why = f"{self.unclean}, " if self.unclean else ""
            self.unclean = (
                f"{why}not every ledger could be written, so messages acked in the last seconds may come again"
            )
        await self.cluster.leave()
        await super().on_stop()
        await self._tasks.stop()
        await self.canary.stop()
        await self.runtime.stop()
        await self.cluster.stop()
        await self._log.stop()
        await self._bodies.stop()
        await self._parked_reader.stop()
        await self._writer.stop()
        if self._mirroring is not None and self._zookeeper is not None:
            await self._mirroring.stop()
            await self._zookeeper.stop()

    def serves_at(self, host: str, port: int) -> None:
        """The web server answers from here on."""
        self.cluster.serves_at(host, port)
        self.watchdog.start(self.loop)

    def _addresses(self) -> dict[str, str]:
        return {heartbeat.worker: heartbeat.address for heartbeat in self.runtime.roster.peers(monotonic())}

    def _on_fault(self, error: BaseException) -> None:
        """A background task has failed: end the worker, for a supervisor to start it again."""
        asyncio.ensure_future(self.crash(error))  # noqa: RUF006 - it ends everything, this included

    async def _kafka_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                await self._missing_topics([])
        except (KafkaError, TimeoutError):
            return False
        return True

    def _create_directories(self) -> None:
        """Faust would make a data folder where it was started; nothing of ours is kept on disk."""

    def on_rebalance_start(self) -> None:
        self.membership.rebalance_began()
        super().on_rebalance_start()
        self.runtime.suspend()

    async def _on_revoked(self, sender: Any, revoked: set[TP], **_: Any) -> None:
        await self.runtime.give_up()

    async def _on_assigned(self, sender: Any, assigned: set[TP], **_: Any) -> None:
        self.membership.assigned()
        self.runtime.assigned(partitions_of(assigned, self.options.topic), self.consumer_generation_id)

    async def _on_recovered(self, sender: Any, **_: Any) -> None:
        # Who has partitions is started when Faust seeks to where they are read from; for a spare there is no such seek.
        if not self.consumer.assignment():
            await self.runtime.start(set())

    def _on_rebalance_when_stopped(self) -> None:
        """Faust would close the consumer here, in the middle of a commit."""

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        # Faust would start the agent again with the next fetch: a fault must end the worker instead of being hidden.
        await self.crash(exc)

    async def _watch_log(self) -> None:
        async for _ in self.itertimer(_WATCH_LOG_EVERY, name="watch-log"):
            await self.runtime.watch_log()

    async def _watch_topics(self) -> None:
        options = self.options
        rejected = options.dead_letter_topic or options.parked
        watch = TopicWatch([options.topic, options.changelog, rejected, options.name], self._missing_topics)
        growth = Growth(
            options.topic,
            options.changelog,
            counts=lambda topics: partition_counts(self.producer._producer.client, topics),
            raise_to=partial(raise_by_itself, self._brokers, options.changelog),
            take_notice=self.consumer.look_anew,
            noticed=self.runtime.topic_has,
        )
        async for _ in self.itertimer(_WATCH_TOPICS_EVERY, name="watch-topics"):
            await watch.look()
            await growth.look()

    async def _missing_topics(self, names: list[str]) -> set[str]:
        return await missing(self.producer._producer.client, names)

    async def _watch_keys(self) -> None:
        assert self._key_file is not None
        async for _ in self.itertimer(_WATCH_FILES_EVERY, name="watch-keys"):
            keys = await asyncio.to_thread(self._key_file.changed)
            if keys is not None:
                lease_keys = LeaseKeys(keys)
                self.tokens.use(lease_keys)
                self.cluster.use(lease_keys)
                self._seal.use(lease_keys)

    async def _watch_tokens(self) -> None:
        assert self._tokens_file is not None
        async for _ in self.itertimer(_WATCH_FILES_EVERY, name="watch-tokens"):
            known = await asyncio.to_thread(self._tokens_file.changed)
            if known is not None:
                self.gate.use(known)

    async def _watch_certificates(self) -> None:
        assert self.tls is not None
        async for _ in self.itertimer(_WATCH_FILES_EVERY, name="watch-certificates"):
            await asyncio.to_thread(self.tls.look)

    async def _write_mirror(self) -> None:
        assert self._mirroring is not None
        async for _ in self.itertimer(_MIRROR_EVERY, name="mirror"):
            await self._mirroring.write()
