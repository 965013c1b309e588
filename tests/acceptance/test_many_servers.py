"""Three Kafkas and three ZooKeepers: a worker finds and uses all of them, and goes on when some of them go."""

from __future__ import annotations

import asyncio
from statistics import median
from time import monotonic

import pytest
from aiokafka.errors import KafkaError

from support.clients import Client, Delivery, MakeClient
from support.connections import connected_to
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import READY_TOGETHER, Command, Worker, Workers
from support.zookeeper import mirrored

SERVERS = {"kafka": 3, "zookeeper": 3}
ID = "service"
THREE = {1, 2, 3}
PARTITIONS = 6
#: A broker that is killed is missed after 4 s, then its partitions and groups get other leaders: seconds alone.
SOON = 60.0
#: How often a message goes round in each stretch of time that is compared.
ROUNDS = 100
#: A call to ZooKeeper gives up after 4 s: whoever waits for one takes longer than this.
WAITS_FOR_NOBODY = 3.0
#: What a message takes on a machine that others keep busy; alone it is 5 ms.
BUSY = 0.1


async def test_three_of_each_given_by_links_are_all_used_and_one_of_each_may_be_killed(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafkas.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
    worker = await found_by_links(own_stack, workers, topic, "fanout")
    brokers, zookeepers = own_stack.brokers.split(","), own_stack.zookeepers.split(",")

    # Each broker leads partitions, and all of them are handed out and acked.
    assert set((await kafkas.leaders(topic)).values()) == THREE
    await work_off(kafkas, topic, client(worker, "one"))
    assert connected_to(worker.pid, brokers) == set(brokers)
    for ours in (f"fanout_{ID}_{topic}-ledgers-changelog", f"fanout_{ID}_{topic}", f"fanout_{ID}_{topic}-parked"):
        assert await kafkas.copies(ours) == {3}
        assert await kafkas.setting(ours, "min.insync.replicas") == "2"

    # A ZooKeeper's client is connected to one of them, and to another one when that goes.
    (used,) = connected_to(worker.pid, zookeepers)
    lost = [f"zookeeper-{zookeepers.index(used) + 1}", "kafka-1"]
    for server in lost:
        await asyncio.to_thread(own_stack.kill, server)
    try:
        await work_off(kafkas, topic, client(worker, "one"))
        assert connected_to(worker.pid, brokers) == set(brokers[1:])
        await eventually(lambda: len(connected_to(worker.pid, zookeepers) - {used}) == 1, SOON)
        await eventually(lambda: is_mirrored(own_stack, topic, dict.fromkeys(range(PARTITIONS), (0, 2))), SOON)
    finally:
        await asyncio.to_thread(own_stack.start_all)


@pytest.mark.long
async def test_workers_start_in_the_moment_in_which_a_broker_is_lost(
    own_stack: Stack, kafkas: Kafka, workers: Workers
) -> None:
    topic = await kafkas.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
    await asyncio.to_thread(own_stack.kill, "kafka-1")
    try:
        # It is named to them still: each asks it for something.
        starting = [workers.launch(topic, brokers=own_stack.brokers, drain="0s") for _ in range(3)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in starting))
    finally:
        await asyncio.to_thread(own_stack.start_all)


async def test_what_was_acked_never_comes_again_when_worker_and_changelog_leader_are_killed_at_once(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafkas.new_topic(1, copies=3, min_insync_replicas="2")
    pair = [
        workers.launch(topic, brokers=own_stack.brokers, zookeepers=own_stack.zookeepers, drain="0s") for _ in range(2)
    ]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    owner, other = await eventually(lambda: owner_first(pair), SOON)
    written = await kafkas.produce(topic, *map(str, range(20)))
    one, two = client(other, "one"), client(other, "two")
    held = await one.take(len(written), ack_wait_ms=60_000)
    acked, left = held[::2], held[1::2]
    leader = (await kafkas.leaders(f"fanout_{ID}_{topic}-ledgers-changelog"))[0]

    answers = [(await one.ack(message.lease)).acked for message in acked]
    owner.kill9()
    await asyncio.to_thread(own_stack.kill, f"kafka-{leader}")
    try:
        came: dict[int, Delivery] = {}

        async def all_left_came() -> bool:
            # Whoever asks while the partition moves is told that there is nothing yet.
            pulled = await two.pull(wait_ms=1000, max_messages=20, ack_wait_ms=60_000)
            came.update((message.offset, message) for message in pulled.messages)
            return came.keys() >= {message.offset for message in left}

        await eventually(all_left_came, SOON)
        assert answers == [1] * len(acked)
        assert came.keys() == {message.offset for message in left}
        await eventually(lambda: is_acked(two, came), SOON)
        assert (await two.pull(wait_ms=500)).messages == []
    finally:
        await asyncio.to_thread(own_stack.start_all)
    await eventually(lambda: is_committed(kafkas, topic, len(written)), SOON)


async def owner_first(pair: list[Worker]) -> list[Worker]:
    """The worker that has the partition, then the one that has none; nobody while that is not settled."""
    has = [worker for worker in pair if await worker.partitions()]
    return [*has, *(worker for worker in pair if worker not in has)] if len(has) == 1 else []


async def is_committed(kafkas: Kafka, topic: str, offset: int) -> bool:
    """For `eventually`: whether partition 0 stands there, brokers that have just come back being given time."""
    try:
        return (await kafkas.committed(ID, topic)).get(0) == offset
    except KafkaError:
        return False


async def is_acked(client: Client, messages: dict[int, Delivery]) -> bool:
    """For `eventually`: whether all of these are acked, those that are not being tried again."""
    settled = await client.ack(*(message.lease for message in messages.values()))
    return set(settled.results.values()) <= {"already_settled"}


async def test_zookeeper_hung_or_lost_makes_no_pull_and_no_settle_slower_and_is_caught_up_with_afterwards(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafkas.new_topic(1)
    worker = await found_by_links(own_stack, workers, topic, "faust")
    one = client(worker, "one")
    await go_round(kafkas, topic, one)  # the first time is for warming up
    before = await go_round(kafkas, topic, one)
    await eventually(lambda: is_mirrored(own_stack, topic, {0: (0, 2 * ROUNDS)}), SOON)

    servers = [f"zookeeper-{number}" for number in sorted(THREE)]
    for server in servers:
        await asyncio.to_thread(own_stack.pause, server)
    hung = await go_round(kafkas, topic, one)
    async with asyncio.timeout(SOON):
        while not_mirrored(worker) == 0:  # its calls hang until then
            hung += await go_round(kafkas, topic, one, 5)
    for server in servers:
        await asyncio.to_thread(own_stack.kill, server)
    lost = await go_round(kafkas, topic, one)

    assert max(hung + lost) < WAITS_FOR_NOBODY
    for during in (hung, lost):
        assert median(during) < max(3 * median(before), BUSY)
    assert not_mirrored(worker) == 1  # and said once
    await asyncio.to_thread(own_stack.start_all)
    rounds = 3 * ROUNDS + len(hung)
    await eventually(lambda: is_mirrored(own_stack, topic, {0: (0, rounds)}), SOON)
    assert await eventually(lambda: worker.text().count("floors are mirrored again"), SOON) == 1


async def found_by_links(stack: Stack, workers: Workers, topic: str, command: Command) -> Worker:
    """A worker that is told of its servers by nothing else."""
    worker = workers.launch(topic, command=command, environment=links(stack), brokers="", zookeepers="", drain="0s")
    await worker.ready(READY_TOGETHER)
    assert f"3 Kafka brokers, from variables of container links: {stack.brokers}" in worker.text()
    assert f"3 ZooKeeper servers, from variables of container links: {stack.zookeepers}" in worker.text()
    return worker


def links(stack: Stack) -> dict[str, str]:
    """What Docker sets in a container that is linked to these own_stack."""
    variables: dict[str, str] = {}
    for link, addresses in (("KAFKA_{}_PORT_9092_TCP", stack.brokers), ("ZK_{}_PORT_2181_TCP", stack.zookeepers)):
        for number, address in enumerate(addresses.split(","), 1):
            host, _, port = address.rpartition(":")
            variables |= {f"{link.format(number)}_ADDR": host, f"{link.format(number)}_PORT": port}
    return variables


async def work_off(kafka: Kafka, topic: str, client: Client) -> None:
    """Write one message to each partition, and have each of them acked, however often that takes."""
    due = {
        (partition, (await kafka.produce(topic, "v", partition=partition))[0].offset) for partition in range(PARTITIONS)
    }

    async def is_done() -> bool:
        pulled = await client.pull(max_messages=PARTITIONS, wait_ms=1000, ack_wait_ms=10_000)
        if pulled.messages:
            settled = await client.ack(*pulled.leases)
            open_still = settled.results.keys()
            due.difference_update((one.partition, one.offset) for one in pulled.messages if one.lease not in open_still)
        return not due

    await eventually(is_done, SOON)


async def go_round(kafka: Kafka, topic: str, client: Client, times: int = ROUNDS) -> list[float]:
    """The seconds that pull and ack of one message take together, so often one after the other."""
    seconds = []
    for _ in range(times):
        await kafka.produce(topic, "v")
        began = monotonic()
        (message,) = (await client.pull(wait_ms=8000)).messages
        assert (await client.ack(message.lease)).acked == 1
        seconds.append(monotonic() - began)
    return seconds


def not_mirrored(worker: Worker) -> int:
    return worker.text().count("floors are not mirrored at the moment, deliveries go on")


async def is_mirrored(stack: Stack, topic: str, floors: dict[int, tuple[int, int]]) -> bool:
    """For `eventually`: whether exactly this is mirrored.

    Raises:
        AssertionError: it is not.
    """
    assert await mirrored(stack.zookeepers, ID, topic) == floors
    return True
