"""What must be known and in place before the Faust app is built: the topics, the lease keys, the first start.

The number of partitions has to be known before the Table is declared, so this runs ahead of the app, in a loop of its
own, and fails with one line.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from fanout_app.core.errors import StartError
from fanout_app.kafka import switch, topics
from fanout_app.kafka.board import Board
from fanout_app.kafka.switch import is_paused
from fanout_app.kafka.topics import Source
from fanout_app.options import Options

_LEASE_KEY_BYTES = 32


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


def prepare(options: Options, zookeeper_key: Callable[[bytes], bytes] | None) -> Prepared:
    """Check and make what the worker needs.

    Args:
        zookeeper_key: keeps a lease key in ZooKeeper if there is none yet, and answers the one that is kept there;
            None where no ZooKeeper is configured, then it is kept on the board.

    Raises:
        StartError: something is missing; the message says what and how to mend it.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_prepare(options, zookeeper_key))
    except KafkaConnectionError as error:
        raise StartError(f"no Kafka broker answers at {options.brokers}: check --brokers ({error})") from error
    except KafkaError as error:
        raise StartError(f"Kafka at {options.brokers} refused the start: {error!r}") from error
    finally:
        loop.close()


async def _prepare(options: Options, zookeeper_key: Callable[[bytes], bytes] | None) -> Prepared:
    admin = AIOKafkaAdminClient(bootstrap_servers=options.brokers_list)
    await admin.start()
    try:
        source = await topics.find_source(admin, options.topic, options.brokers)
        name = options.name
        for topic, partitions, config in (
            (f"{name}-ledgers-changelog", source.partitions, topics.changelog_config(source)),
            (f"{name}-parked", 1, topics.parked_config(source)),
            (name, 1, topics.board_config(source)),
        ):
            await topics.ensure(admin, topic, partitions, source, config, options.brokers)
    finally:
        await admin.close()
    async with Board(options.brokers_list, options.name) as board:
        first = await board.decide_once("first-start", await _first_start(options, source))
        paused = is_paused(board.latest(switch.KEY))
        keys = _keys_of_file(options.lease_key_file) if options.lease_key_file else None
        if keys is None:
            fresh = secrets.token_bytes(_LEASE_KEY_BYTES)
            keys = [zookeeper_key(fresh) if zookeeper_key else await board.decide_once("lease-key", lambda: fresh)]
    record = json.loads(first)
    if (record["id"], record["topic"]) != (options.id, options.topic):
        raise StartError(
            f"topic {options.name} belongs to --id {record['id']} --topic {record['topic']}, whose names run together "
            f"with --id {options.id} --topic {options.topic}: choose another --id"
        )
    return Prepared(source, keys, {int(number): offset for number, offset in record["starts"].items()}, paused)


async def _first_start(options: Options, source: Source) -> Callable[[], bytes]:
    """The record of the first start: ``latest`` means the end the log had then, for a partition that existed then.

    Kept as offsets, so that a worker that dies before it wrote its first row starts there again and misses nothing.
    """
    tps = [TopicPartition(options.topic, number) for number in range(source.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=options.brokers_list, group_id=None)
    await consumer.start()
    try:
        latest = options.start_from == "latest"
        ends = await (consumer.end_offsets(tps) if latest else consumer.beginning_offsets(tps))
    finally:
        await consumer.stop()
    starts = {tp.partition: offset for tp, offset in ends.items()}
    return lambda: json.dumps({"id": options.id, "topic": options.topic, "starts": starts}).encode()


def _keys_of_file(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            keys = [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise StartError(f"--lease-key-file {path} cannot be read: {error.strerror}") from error
    if not keys:
        raise StartError(f"--lease-key-file {path} holds no key: put one a line, the first signs")
    return keys
