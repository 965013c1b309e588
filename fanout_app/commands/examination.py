"""What ``fanout doctor`` looks at. Nothing is changed anywhere: what a start would make, the broker is asked about."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from time import gmtime, strftime, time
from typing import Final
from urllib.parse import urlsplit

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from fanout_app.commands.finding import Finding, good, look, wrong
from fanout_app.core.errors import FanoutError, RowError
from fanout_app.core.heartbeat_row import decode_heartbeat
from fanout_app.core.roster import Heartbeat
from fanout_app.kafka import reach, rights, topics
from fanout_app.kafka.board import Board
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.cluster import PREFIX
from fanout_app.kafka.others import refuse_contradiction
from fanout_app.kafka.topics import Source
from fanout_app.key_file import KeyFile
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.options import Options
from fanout_app.tls import SOON, TlsFiles
from fanout_app.tokens_file import TokensFile
from fanout_app.web import listening
from fanout_app.web.open_files import room_for
from fanout_app.zookeeper.login import Login, refused
from fanout_app.zookeeper.session import root_of

#: Seconds for ZooKeeper to let us in.
_ZOOKEEPER: Final = 5.0


async def examine(options: Options) -> AsyncIterator[Finding]:
    """Everything, from what is nearest on."""
    for finding in _settings(options):
        yield finding
    kept = None
    async for finding in _zookeeper(options):
        yield finding
    if options.zookeepers:
        kept = await asyncio.to_thread(_kept_key, options)
    async for finding in _kafka(options, kept):
        yield finding


# Here ----------------------------------------------------------------------------------------------------------------


def _settings(options: Options) -> Iterator[Finding]:
    if options.lease_key_file is not None:
        try:
            yield good(f"--lease-key-file: {len(KeyFile(options.lease_key_file).read())} keys")
        except FanoutError as error:
            yield wrong(error)
    if options.tokens_file is not None:
        try:
            yield good(f"--tokens-file: {len(TokensFile(options.tokens_file).read())} tokens")
        except FanoutError as error:
            yield wrong(error)
    if (tls := TlsFiles.of(options)) is not None:
        yield certificates(tls)
    try:
        listening.check(
            options.bind, options.admin_port, insecure=options.insecure, tokens=options.tokens_file is not None
        )
    except FanoutError as error:
        yield wrong(f"{error} (it may be a worker of yours that runs)")
    else:
        yield good(f"can serve at {options.bind or 'a port from 6066 on'}")
    room = room_for(options.max_waiting, options.max_connections, options.max_streams)
    if room.pulls < options.max_waiting:
        yield look(
            f"{room.pulls} pulls may wait, not {options.max_waiting}, with the files that a process may open here: "
            "raise that (ulimit -Hn), or lower --max-waiting"
        )


def certificates(tls: TlsFiles) -> Finding:
    """What this worker would serve with, and whom it would trust."""
    try:
        ends = tls.read().ends
    except FanoutError as error:
        return wrong(error)
    if trouble := tls.trouble():
        return wrong(f"{trouble[0]}; write one that is good to that file")
    if ends == float("inf"):
        return good("--peer-ca: CAs of other workers")
    text = f"--tls-cert: good with its key, until {strftime('%Y-%m-%d %H:%M UTC', gmtime(ends))}"
    return look(text) if ends - time() < SOON else good(text)


# ZooKeeper -----------------------------------------------------------------------------------------------------------


async def _zookeeper(options: Options) -> AsyncIterator[Finding]:
    if not options.zookeepers:
        yield good("ZooKeeper: does without, the consumer group decides who leads")
        return
    hosts, _, chroot = options.zookeepers.partition("/")
    for host in hosts.split(","):
        if not await reach.listens(host):
            yield look(f"ZooKeeper: nothing answers at {host}; the others do without it")
    try:
        client = KazooClient(options.zookeepers, timeout=_ZOOKEEPER, **Login.of(options).client)
    except FanoutError as error:
        yield wrong(error)
        return
    try:
        await asyncio.to_thread(client.start, _ZOOKEEPER)
        if chroot and not await asyncio.to_thread(client.exists, "/"):
            yield wrong(f"ZooKeeper has no node /{chroot}: create it, or leave it out of --zookeepers")
        else:
            there = await asyncio.to_thread(client.exists, root_of(options.id, options.topic))
            yield good(f"ZooKeeper: answers, {'knows' if there else 'has not seen'} this id and topic")
    except KazooTimeoutError:
        if why := refused(client):
            yield wrong(f"ZooKeeper at {options.zookeepers} and this worker do not agree on TLS: {why}")
            return
        yield wrong(
            f"no ZooKeeper answers at {options.zookeepers} within {_ZOOKEEPER:.0f} s: start it, correct --zookeepers, "
            "or do without: --zookeepers none"
        )
    except KazooException as error:
        yield wrong(f"ZooKeeper at {options.zookeepers} refuses to be looked at: {type(error).__name__} {error}")
    finally:
        await asyncio.to_thread(_close, client)


def _kept_key(options: Options) -> bytes | None:
    """The lease key that workers keep in ZooKeeper, where it can be read."""
    try:
        client = KazooClient(options.zookeepers, timeout=_ZOOKEEPER, **Login.of(options).client)
    except FanoutError:
        return None  # it was said
    try:
        client.start(_ZOOKEEPER)
        return bytes(client.get(f"{root_of(options.id, options.topic)}/lease-key")[0])
    except (KazooException, KazooTimeoutError):
        return None
    finally:
        _close(client)


def _close(client: KazooClient) -> None:
    client.stop()
    client.close()


# Kafka ---------------------------------------------------------------------------------------------------------------


async def _kafka(options: Options, kept_key: bytes | None) -> AsyncIterator[Finding]:
    try:
        brokers = Brokers.of(options)
        admin = await reach.connect(brokers)
    except FanoutError as error:
        yield wrong(error)
        return
    try:
        async for finding in _brokers(admin):
            yield finding
        source = await topics.find_source(admin, options.topic, options.brokers)
        for finding in _source(source, options.brokers):
            yield finding
        async for finding in _rights(admin, source, options):
            yield finding
        ours = topics.of_fanout(options, source)
        missing = await topics.ensure(admin, ours, source, options.brokers, make=False)
        for topic in ours:
            text = "is made by the first worker, which may do that" if topic.name in missing else "as it has to be"
            yield good(f"topic {topic.name}: {text}")
        if options.name not in missing:
            async for finding in _workers(options, brokers, kept_key):
                yield finding
    except FanoutError as error:
        yield wrong(error)
    except (KafkaError, TimeoutError) as error:
        yield wrong(reach.refused(admin, error, options.brokers) if isinstance(error, KafkaError) else error)
    finally:
        await admin.close()


async def _brokers(admin: AIOKafkaAdminClient) -> AsyncIterator[Finding]:
    brokers = sorted(admin._client.cluster.brokers(), key=lambda broker: broker.nodeId)
    for broker in brokers:
        address = f"{broker.host}:{broker.port}"
        if await reach.listens(address):
            yield good(f"Kafka: broker {broker.nodeId} of {len(brokers)} answers at {address}")
        else:
            yield wrong(
                f"Kafka: broker {broker.nodeId} names {address} as where it is, and that cannot be reached from here: "
                "start it, or correct its advertised.listeners"
            )


def _source(source: Source, brokers: str) -> Iterator[Finding]:
    yield good(f"topic {source.topic}: {source.partitions} partitions, {source.replication} copies of each message")
    if source.replication == 1:
        yield look(
            f"topic {source.topic} has one copy of each message, and so have fanout's own: a broker that is lost takes "
            "messages and acks with it"
        )
    elif source.min_insync_replicas == "1":
        yield look(
            f"topic {source.topic} takes writes that one broker alone has, and so do fanout's own: an ack may be lost "
            f"with it; mend it with: kafka-configs.sh --bootstrap-server {brokers} --alter --topic {source.topic} "
            "--add-config min.insync.replicas=2"
        )
    if source.leader < 0:
        yield wrong(f"topic {source.topic} has a partition that no broker leads: start those that are down")


async def _rights(admin: AIOKafkaAdminClient, source: Source, options: Options) -> AsyncIterator[Finding]:
    if options.dead_letter_topic is not None:
        await topics.check_dead_letters(admin, options.dead_letter_topic, options.brokers)
        yield good(f"topic {options.dead_letter_topic}: there for rejected messages")
    await rights.check_read(admin, source.topic, source.leader, options.brokers)
    await rights.check_group(admin, options.name, options.brokers)
    yield good(f"rights: may read {source.topic}, may be in the consumer group {options.name}")


# The cluster ---------------------------------------------------------------------------------------------------------


async def _workers(options: Options, brokers: Brokers, kept_key: bytes | None) -> AsyncIterator[Finding]:
    async with Board(brokers, options.name) as board:
        keys = _keys(options, board, kept_key)
        if keys is None:
            yield good("workers: none has run yet")
            return
        seal = Seal(LeaseKeys(keys), options.id, options.topic)
        heartbeats = list(_heartbeats(board, seal, options))
        tls = TlsFiles.of(options)
        trust = tls.read().peer if tls is not None else ssl.create_default_context()
        for heartbeat in heartbeats:
            address = urlsplit(heartbeat.address)
            if await reach.listens(address.netloc, trust if address.scheme == "https" else None):
                yield good(f"worker {heartbeat.worker} answers at {heartbeat.address}")
            else:
                yield look(
                    f"worker {heartbeat.worker} does not answer at {heartbeat.address}: it has ended without a word, "
                    "or cannot be reached from here; the others have to reach it there (--advertise), and to trust "
                    "its certificate (--peer-ca)"
                )
        await refuse_contradiction(board, options, seal)
        yield good(f"workers: {len(heartbeats)} on the board, none with other --delivery or --order")


def _keys(options: Options, board: Board, kept_key: bytes | None) -> list[bytes] | None:
    if options.lease_key_file is not None:
        return KeyFile(options.lease_key_file).read()
    found = kept_key if options.zookeepers else board.latest("lease-key")
    return None if found is None else [found]


def _heartbeats(board: Board, seal: Seal, options: Options) -> Iterator[Heartbeat]:
    for value in board.sealed(PREFIX, seal).values():
        try:
            yield decode_heartbeat(value, id=options.id, topic=options.topic)
        except RowError:
            continue
