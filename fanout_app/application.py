"""Builds the Faust app and joins the adapters to the runtime.

Faust imports this for ``faust -A fanout_app``, ``python -m fanout_app`` calls `create` itself. Everything that can be
wrong with options, brokers and topics is found in `create`, before a service starts, and is one line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable
from functools import partial
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import FaustError
from faust.types import TP

from fanout_app.core.dispatcher import Limits
from fanout_app.core.errors import StartError
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.ledger_row import encode_row
from fanout_app.group_commit import WriteError
from fanout_app.kafka.dead_letters import DeadLetters
from fanout_app.kafka.ledger_table import LedgerTable, row_key
from fanout_app.kafka.membership import Membership
from fanout_app.kafka.prepare import Prepared, prepare
from fanout_app.kafka.start_offsets import NoMirror, StartOffsets
from fanout_app.kafka.transport import BatchTransport, partitions_of
from fanout_app.metrics import Metrics
from fanout_app.options import Options
from fanout_app.runtime import Runtime, SourceError
from fanout_app.web.handlers import MAX_BODY
from fanout_app.web.server import FanoutWeb
from fanout_app.web.tokens import LeaseKeys, TokenCodec
from fanout_app.worker import FanoutWorker, logging_config
from fanout_app.zookeeper.mirror import Mirror, Mirrored
from fanout_app.zookeeper.session import Session, lease_key

logger = logging.getLogger("fanout.application")

_MONTH = 30 * 24 * 3600.0
_WATCH_LOG_EVERY = 2.0
_MIRROR_EVERY = 1.0
_ROW_TIMEOUT = 10.0


class Fanout(faust.App):
    """The Faust app of one worker."""

    ledgers: LedgerTable

    def __init__(self, options: Options, prepared: Prepared) -> None:
        self.options = options
        self.source = prepared.source
        self.isolation_level = options.isolation_level
        self.runtime = Runtime(options, worker=_worker_name(), limits=_limits(options))
        self.intake = IntakeOfRuntime(self)
        self.tokens = TokenCodec(LeaseKeys(prepared.lease_keys), options.id, options.topic)
        self.metrics = Metrics(self.runtime)
        self.membership = Membership(options.session_timeout, lambda: self._thread.confirmed_at)
        super().__init__(options.name, **_settings(options, prepared))
        self.source_topic = self.topic(options.topic, key_type=bytes, value_type=bytes, value_serializer="raw")
        self.changelog_topic = self.topic(
            f"{options.name}-ledgers-changelog",
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
        self._first_starts = prepared.first_starts
        self._zookeeper = Session(options.zookeepers) if options.zookeepers else None
        self._mirror = Mirror(self._zookeeper, options.id, options.topic) if self._zookeeper else None
        self.on_partitions_revoked.connect(self._on_revoked)
        self.on_partitions_assigned.connect(self._on_assigned)
        self.task(self._watch_log)
        if self._mirror is not None:
            self.task(self._write_mirror)

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)

    def _new_producer_transport(self) -> Any:
        return BatchTransport(self.conf.broker_producer, self, loop=self.loop)

    def _new_web(self) -> Any:
        return FanoutWeb(self)

    @property
    def _thread(self) -> Any:
        return self.consumer._thread

    # Life ------------------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        await super().on_start()
        if self._zookeeper is not None:
            self._zookeeper.start()
        rejected = self.options.dead_letter_topic or f"{self.options.name}-parked"
        self.runtime.connect(
            source=SourceOfConsumer(self),
            starts=StartOffsets(self.options, self.ledgers, self._first_starts, self._mirror or NoMirror()),
            terms=self.membership,
            store=RowsOfTable(self),
            dead_letters=RejectedTo(DeadLetters(self, rejected, self.options.topic)),
        )
        self.runtime.commit.on_commit_seconds = self.metrics.commit_seconds

    async def on_stop(self) -> None:
        await self.runtime.drain()
        self.membership.rebalance_began()
        self.runtime.close()
        await super().on_stop()
        await self.runtime.stop()
        if self._mirror is not None and self._zookeeper is not None:
            await self._mirror.write(self._floors())
            await self._zookeeper.stop()

    def _create_directories(self) -> None:
        """Faust would make a data folder where it was started; nothing of ours is kept on disk."""

    def on_rebalance_start(self) -> None:
        # In the consumer's thread: ownership ends here and now, the rest follows in the main loop.
        self.membership.rebalance_began()
        super().on_rebalance_start()
        self.loop.call_soon_threadsafe(self.runtime.suspend)

    async def _on_revoked(self, sender: Any, revoked: set[TP], **_: Any) -> None:
        await self.runtime.give_up()

    async def _on_assigned(self, sender: Any, assigned: set[TP], **_: Any) -> None:
        self.runtime.assigned(partitions_of(assigned, self.options.topic), self.consumer_generation_id)

    async def _watch_log(self) -> None:
        async for _ in self.itertimer(_WATCH_LOG_EVERY, name="watch-log"):
            await self.runtime.watch_log()

    async def _write_mirror(self) -> None:
        assert self._mirror is not None
        async for _ in self.itertimer(_MIRROR_EVERY, name="mirror"):
            await self._mirror.write(self._floors())

    def _floors(self) -> dict[int, Mirrored]:
        partitions = self.runtime.dispatcher.partitions
        floors = self.runtime.committable()
        return {number: Mirrored(partitions[number].ledger.era, floor) for number, floor in floors.items()}


class IntakeOfRuntime:
    """The transport's `Intake`."""

    def __init__(self, app: Fanout) -> None:
        self._app = app
        self._runtime = app.runtime
        self.topic = app.options.topic

    def wants(self, partition: int) -> bool:
        return self._runtime.wants(partition)

    async def start(self, partitions: set[int]) -> dict[int, int]:
        return await self._runtime.start(partitions)

    def position(self, partition: int, position: int) -> int | None:
        return self._runtime.position(partition, position)

    def committable(self) -> dict[int, int]:
        return self._runtime.committable()

    def committed(self, offsets: dict[int, int]) -> None:
        self._runtime.committed(offsets)


class SourceOfConsumer:
    """The runtime's `Source`."""

    def __init__(self, app: Fanout) -> None:
        self._app = app

    async def seek(self, partition: int, offset: int) -> None:
        with _kafka_errors():
            await self._app.consumer.seek_source(partition, offset)

    async def log_start(self, partition: int) -> int:
        with _kafka_errors():
            return int(await self._app.consumer.log_start(partition))

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        tps = [TP(self._app.options.topic, partition) for partition in partitions]
        with _kafka_errors():
            ends = await self._app.consumer.highwaters(*tps)
        return {tp.partition: int(end) for tp, end in ends.items()}

    def wake_up(self) -> None:
        self._app._thread.wake_up()

    def member(self) -> str:
        return str(self._app._thread.member_id)


class RowsOfTable:
    """The group commit's `LedgerStore`."""

    def __init__(self, app: Fanout) -> None:
        self._app = app
        self._counter = 0

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        runtime, options = self._app.runtime, self._app.options
        self._counter += 1
        row = encode_row(
            snapshot,
            id=options.id,
            topic=options.topic,
            generation=runtime.generation,
            counter=self._counter,
        )
        try:
            async with asyncio.timeout(_ROW_TIMEOUT):
                await self._app.ledgers.write(row_key(partition, runtime.generation), row)
        except (KafkaError, FaustError, TimeoutError) as error:
            raise WriteError(repr(error)) from error
        return len(row)


class RejectedTo:
    """The runtime's `DeadLetterSink`."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def put(self, *args: Any, **kwargs: Any) -> None:
        with _kafka_errors():
            await self._letters.put(*args, **kwargs)


class _kafka_errors:
    """Turns what Kafka's client raises into the runtime's own error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, (KafkaError, FaustError)):
            raise SourceError(repr(error)) from error


def create(options: Options) -> Fanout:
    """Build the app, with the topics it needs in place.

    Raises:
        StartError: something is missing or wrong; the message is for the person at the terminal.
    """
    import agents.intake
    import tables.ledgers

    for package in (agents, tables):
        if getattr(package, "OWNER", None) != "fanout":
            raise StartError(
                f"the package {package.__name__!r} of another distribution is in the way ({package.__file__}): "
                "install fanout into an environment of its own"
            )
    keep = partial(lease_key, options.zookeepers, options.id, options.topic) if options.zookeepers else None
    app = Fanout(options, prepare(options, keep))
    app.ledgers = tables.ledgers.declare(app)
    agents.intake.declare(app)
    return app


def _worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _limits(options: Options) -> Limits:
    return Limits(
        max_ack_pending=options.max_ack_pending,
        buffer_bytes=int(options.buffer_bytes),
        client_limit=options.client_limit,
        client_ttl=options.client_ttl,
    )


def _settings(options: Options, prepared: Prepared) -> dict[str, Any]:
    return {
        "broker": [f"kafka://{broker}" for broker in options.brokers_list],
        "store": "memory://",
        # Waiting for messages to be acked would hold rebalances and shutdown up for as long as clients hold leases.
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 16,
        "stream_publish_on_commit": False,
        # An idle member leaves the group after this and can never rejoin: a spare, or a worker without clients.
        "broker_max_poll_interval": _MONTH,
        "broker_session_timeout": options.session_timeout,
        "broker_heartbeat_interval": options.session_timeout / 4,
        "broker_request_timeout": max(20.0, options.session_timeout + 5),
        "broker_rebalance_timeout": max(30.0, options.session_timeout * 2),
        "broker_commit_interval": options.commit_interval,
        # A partition whose clients are slow commits nothing for long: no fault, see the worker's own health check.
        "broker_commit_livelock_soft_timeout": _MONTH,
        "stream_processing_timeout": _MONTH,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "producer_acks": -1,
        "producer_linger": 0.0,
        "producer_max_request_size": int(options.max_row_bytes) + (1 << 20),
        "topic_partitions": prepared.source.partitions,
        "topic_replication_factor": prepared.source.replication,
        # There is no leader among Faust's workers here, so no topic for one either.
        "topic_disable_leader": True,
        "web_enabled": True,
        "web_application_options": {"client_max_size": MAX_BODY},
        "Worker": FanoutWorker,
        "worker_redirect_stdouts": False,
        "logging_config": logging_config(verbose=options.verbose),
    }
