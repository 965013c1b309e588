"""What must be known and in place before the Faust app is built: the topics, the lease keys, the first start.

The number of partitions has to be known before the Table is declared, so this runs ahead of the app, in a loop of its
own, and fails with one line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, KafkaTimeoutError

from fanout_app.canary import KEY as SHARES
from fanout_app.core.errors import StartError, UnansweredError
from fanout_app.kafka import reach, rights, switch, topics
from fanout_app.kafka.board import Board
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.others import refuse_contradiction
from fanout_app.kafka.switch import is_paused
from fanout_app.kafka.topics import Source
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.logs import describe
from fanout_app.options import Options

logger = logging.getLogger("fanout.kafka.prepare")

_LEASE_KEY_BYTES = 32
#: Seconds for everything after the first contact, ZooKeeper's part included.
_WHOLE = 30.0
#: Seconds in which it is begun again where a broker does not do what it is asked: one that was lost a moment ago is
#: still named to its clients, and those who ask it fail while the others would answer.
_BEGUN_AGAIN_FOR = reach.REACH_FOR
_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Prepared:
    """The outcome."""

    source: Source
    #: Keys of the lease tokens; the first signs, all verify.
    lease_keys: list[bytes]
    #: Where a partition begins that nothing knows about; one that is not named here came later and begins at 0.
    first_starts: dict[int, int]
    #: An operator has paused this id and topic, and nobody has resumed it.
    paused: bool
    #: What a leader has written last of the shares of groups.
    shares: bytes | None = None


def prepare(
    options: Options,
    brokers: Brokers,
    lease_keys: list[bytes] | None = None,
    zookeeper_key: Callable[[bytes], bytes] | None = None,
) -> Prepared:
    """Check and make what the worker needs.

    Args:
        lease_keys: the keys to use; None where no file of them is given.
        zookeeper_key: keeps a lease key in ZooKeeper if there is none yet, and answers the one that is kept there;
            None where no ZooKeeper is configured, then it is kept on the board.

    Raises:
        StartError: something is missing; the message says what and how to mend it.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_prepare(options, brokers, lease_keys, zookeeper_key))
    finally:
        loop.close()


async def _prepare(
    options: Options,
    brokers: Brokers,
    lease_keys: list[bytes] | None,
    zookeeper_key: Callable[[bytes], bytes] | None,
) -> Prepared:
    until: float | None = None
    while True:
        admin = await reach.connect(brokers)
        until = until or monotonic() + _BEGUN_AGAIN_FOR
        try:
            async with asyncio.timeout(_WHOLE):
                return await _look_and_make(admin, options, brokers, lease_keys, zookeeper_key)
        except (KafkaError, TimeoutError) as error:
            if not _may_pass(error):
                raise StartError(_given_up(admin, error, options.brokers)) from error
            if monotonic() + _PAUSE >= until:
                raise UnansweredError(_given_up(admin, error, options.brokers)) from error
            logger.info("a broker does not do what it is asked, beginning again: %s", describe(error))
        finally:
            await admin.close()
        await asyncio.sleep(_PAUSE)


def _may_pass(error: KafkaError | TimeoutError) -> bool:
    """Whether the same may go well with another broker, or a moment later.

    A request to a broker that was lost waits for it until the request's time is up, and knows of no other one.
    """
    return isinstance(error, (TimeoutError, KafkaTimeoutError)) or bool(error.retriable)


def _given_up(admin: AIOKafkaAdminClient, error: KafkaError | TimeoutError, brokers: str) -> str:
    if isinstance(error, KafkaError):
        return reach.refused(admin, error, brokers)
    return (
        f"Kafka at {brokers} answered, and then not within {_BEGUN_AGAIN_FOR:.0f} s: look at its log, then start again"
    )


async def _look_and_make(
    admin: AIOKafkaAdminClient,
    options: Options,
    brokers: Brokers,
    lease_keys: list[bytes] | None,
    zookeeper_key: Callable[[bytes], bytes] | None,
) -> Prepared:
    """All of it may be done again: what has been made is there then."""
    source = await topics.find_source(admin, options.topic, options.brokers)
    if options.dead_letter_topic is not None:
        await topics.check_dead_letters(admin, options.dead_letter_topic, options.brokers)
    await rights.check_read(admin, source.topic, source.leader, options.brokers)
    await rights.check_group(admin, options.name, options.brokers)
    # Whatever can be wrong elsewhere is found out before anything is made.
    keys = lease_keys or await _kept_in_zookeeper(zookeeper_key)
    await topics.ensure(admin, topics.of_fanout(options, source), source, options.brokers)
    return await _read_board(options, brokers, source, keys)


async def _kept_in_zookeeper(zookeeper_key: Callable[[bytes], bytes] | None) -> list[bytes] | None:
    if zookeeper_key is None:
        return None
    return [await asyncio.to_thread(zookeeper_key, secrets.token_bytes(_LEASE_KEY_BYTES))]


async def _read_board(options: Options, brokers: Brokers, source: Source, keys: list[bytes] | None) -> Prepared:
    async with Board(brokers, options.name) as board:
        first = await board.decide_once("first-start", await _first_start(options, brokers, source))
        try:
            record = json.loads(first)
            starts = {int(number): int(offset) for number, offset in record["starts"].items()}
            pair = (record["id"], record["topic"])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise StartError(
                f"topic {options.name} holds a first start that cannot be read, so it was not written by this version "
                "of fanout: choose another --id, or start the version that wrote it"
            ) from error
        if pair != (options.id, options.topic):
            raise StartError(
                f"topic {options.name} belongs to --id {pair[0]} --topic {pair[1]}, whose names run together with "
                f"--id {options.id} --topic {options.topic}: choose another --id"
            )
        if keys is None:
            fresh = secrets.token_bytes(_LEASE_KEY_BYTES)
            keys = [await board.decide_once("lease-key", lambda: fresh)]
        await refuse_contradiction(board, options, Seal(LeaseKeys(keys), options.id, options.topic))
        return Prepared(source, keys, starts, is_paused(board.latest(switch.KEY)), board.latest(SHARES))


async def _first_start(options: Options, brokers: Brokers, source: Source) -> Callable[[], bytes]:
    """The record of the first start: ``latest`` means the end the log had then, for a partition that existed then.

    Kept as offsets, so that a worker that dies before it wrote its first row starts there again and misses nothing.
    """
    tps = [TopicPartition(options.topic, number) for number in range(source.partitions)]
    consumer = AIOKafkaConsumer(**brokers.client, group_id=None)
    await consumer.start()
    try:
        latest = options.start_from == "latest"
        ends = await (consumer.end_offsets(tps) if latest else consumer.beginning_offsets(tps))
    finally:
        await consumer.stop()
    starts = {tp.partition: offset for tp, offset in ends.items()}
    return lambda: json.dumps({"id": options.id, "topic": options.topic, "starts": starts}).encode()
