"""Holes of the daemon that fanout replaces, part one: what one client does to itself and to the others."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from time import monotonic

from support.clients import Client, Delivery, Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

#: Lease, partition and offset at the head of each message of an answer.
HEAD = re.compile(rb'"lease":"([^"]+)","partition":(\d+),"offset":(\d+)')

#: Seconds in which a few thousand messages are worked off one by one, however busy the machine.
WORKED_OFF = 60.0


async def spread(kafka: Kafka, worker: Worker, count: int, *, size: int = 0) -> list[str]:
    """Write so many messages, over all three partitions, and answer their values."""
    values = [f"{number}".ljust(size, ".") for number in range(count)]
    await asyncio.gather(
        *(kafka.produce(worker.topic, *values[partition::3], partition=partition) for partition in range(3))
    )
    return values


async def work(client: Client, count: int, done: list[Delivery]) -> None:
    """Pull one at a time and ack with the next pull, until all clients together have done so many."""
    ack: list[str] = []
    ends = monotonic() + WORKED_OFF
    while len(done) < count:
        assert monotonic() < ends, f"only {len(done)} of {count} came"
        pulled = await client.pull(wait_ms=300, settle={"ack": ack})
        assert pulled.settled is not None
        assert (pulled.settled.acked, pulled.settled.results) == (len(ack), {})
        ack = pulled.leases
        done += pulled.messages
    await client.ack(*ack)


async def has_buffered(worker: Worker, count: int) -> bool:
    return bool((await worker.status())["buffered"] == count)


async def test_hole_09_partition_and_offset_alone_settle_nothing(
    fresh: Worker, kafka: Kafka, client: MakeClient, workers: Workers
) -> None:
    """A token made up, changed, or of another id for the very same message is no right to it; a late one is told."""
    await kafka.produce(fresh.topic, "one", "two")
    one, other = client(fresh, "one"), client(fresh, "other")
    first, _ = await one.take(2)
    elsewhere = await workers.start(fresh.topic, id="another")
    (same, _) = await client(elsewhere, "one").take(2)
    assert (same.partition, same.offset) == (first.partition, first.offset)

    flipped = first.lease[:-1] + ("A" if first.lease[-1] != "A" else "B")
    forged = [same.lease, flipped, f"{first.partition}/{first.offset}", "", "x" * 52]
    settled = await other.settle(ack=forged, nack=[{"lease": token} for token in forged])
    assert settled.results == dict.fromkeys(forged, "lease_unknown")
    assert (settled.acked, settled.nacked) == (0, 0)
    assert (await fresh.status())["in_flight"] == 2, "both are held as before"

    await one.nack(first.lease)
    again = (await other.pull(wait_ms=5000)).one
    assert (again.offset, again.delivery_count) == (first.offset, 2)
    assert (await one.nack(first.lease)).results == {first.lease: "lease_lost"}
    assert (await one.extend(first.lease, ack_wait_ms=60_000)).results == {first.lease: "lease_lost"}
    assert (await other.ack(again.lease)).acked == 1


async def test_hole_03_a_name_that_was_there_twice_leaves_with_its_last_connection(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    first, last = [await Hangup.pulling(fresh, "twice") for _ in range(2)]
    await eventually(partial(fresh.has_waiting, 2))
    first.close()
    await eventually(partial(fresh.has_waiting, 1), 2.0)
    await kafka.produce(fresh.topic, "for the hand that is left")
    status, body = await last.answer()
    (message,) = json.loads(body)["messages"]
    assert (status, message["delivery_count"]) == (200, 1)
    assert (await client(fresh, "twice").ack(message["lease"])).acked == 1

    await last.pull("twice")
    await eventually(partial(fresh.has_waiting, 1))
    last.close()
    await eventually(partial(fresh.has_waiting, 0), 2.0)
    values = await spread(kafka, fresh, 1000)
    taken = await client(fresh, "other").take(1000)
    assert sorted(message.value or "" for message in taken) == sorted(values)
    assert {message.delivery_count for message in taken} == {1}


async def test_hole_04_an_ack_that_is_faster_than_anything_counts(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await spread(kafka, fresh, 30, size=400_000)
    opener = client(fresh, "opener")
    await opener.nack((await opener.pull()).one.lease)
    await eventually(partial(has_buffered, fresh, 30))
    # Far more than sockets hold, so that the worker is still writing when its first messages are acked.
    fast = await Hangup.pulling(fresh, "fast", receive_buffer=4096, max_messages=30, max_bytes=16 << 20)
    read = b""
    while len(heads := HEAD.findall(read)) < 2:
        read += await fast.read(4096)

    settled = await client(fresh, "fast").ack(*(lease.decode() for lease, _, _ in heads))

    assert (settled.acked, settled.results) == (2, {})
    # The rest of the answer is not to be had any more: it goes to the next client at once, as if never handed out.
    fast.reset()
    began = monotonic()
    again = await client(fresh, "next").take(28, max_bytes=16 << 20)
    assert monotonic() - began < 5.0
    acked = {(int(partition), int(offset)) for _, partition, offset in heads}
    everything = {(partition, offset) for partition in range(3) for offset in range(10)}
    assert {(message.partition, message.offset) for message in again} == everything - acked
    assert sum(message.delivery_count for message in again) <= 28 + 1  # what the opener nacked is there once more
    assert (await client(fresh, "next").pull(wait_ms=500)).messages == []


async def test_hole_04_every_ack_of_a_busy_stream_counts(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    values = await spread(kafka, fresh, 3000)
    done: list[Delivery] = []
    await asyncio.gather(*(work(client(fresh, f"client {n}"), 3000, done) for n in range(10)))
    assert sorted(message.value or "" for message in done) == sorted(values)
    ends = await kafka.ends(fresh.topic, range(3))
    await eventually(lambda: kafka.has_committed(fresh.id, fresh.topic, ends))


async def test_hole_05_idle_and_mute_clients_take_nothing_from_those_that_work(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    idle = [client(fresh, f"idle {number}") for number in range(4)]
    for _ in range(3):
        answers = await asyncio.gather(*(one.pull(wait_ms=300) for one in idle))
        assert {answer.status for answer in answers} == {204}
    done: list[Delivery] = []
    working = [asyncio.create_task(work(one, 40, done)) for one in idle]
    await eventually(partial(fresh.has_waiting, 4))
    values = await spread(kafka, fresh, 40)
    await asyncio.gather(*working)
    assert sorted(message.value or "" for message in done) == sorted(values)

    # One that says nothing at all, and one that takes a message and says nothing any more.
    silent = await Hangup.connected(fresh)
    mute = await Hangup.pulling(fresh, "mute", ack_wait_ms=2000)
    await eventually(partial(fresh.has_waiting, 1))
    values = await spread(kafka, fresh, 300)
    await mute.answer()
    done = []
    await work(client(fresh, "good"), 300, done)
    assert sorted(message.value or "" for message in done) == sorted(values)
    assert sorted(message.delivery_count for message in done) == [1] * 299 + [2]
    for one in (silent, mute):
        await one.gone()


async def test_hole_06_acks_of_one_message_from_all_sides_at_once_count_once(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await spread(kafka, fresh, 300)
    clients = [client(fresh, f"client {number}") for number in range(20)]
    taken = await clients[0].take(300, ack_wait_ms=60_000)
    leases = [message.lease for message in taken]

    # Also by those who do not hold them: a token is all that is asked for.
    answers = await asyncio.gather(
        *(one.ack(*leases[n * 15 :], *leases[: n * 15]) for n, one in enumerate(clients)),
        *(one.extend(leases[n], ack_wait_ms=60_000) for n, one in enumerate(clients)),
    )

    assert sum(answer.acked for answer in answers) == 300
    assert {status for answer in answers for status in answer.results.values()} == {"already_settled"}
    ends = await kafka.ends(fresh.topic, range(3))
    await eventually(lambda: kafka.has_committed(fresh.id, fresh.topic, ends))
    assert fresh.runs


async def test_hole_08_a_client_whose_lease_ran_out_is_served_on_over_the_same_connection(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    slow = await Hangup.pulling(fresh, "slow", ack_wait_ms=300)
    await eventually(partial(fresh.has_waiting, 1))
    await kafka.produce(fresh.topic, "too slow")
    await slow.answer()
    other = client(fresh, "other")
    assert (await other.pull(wait_ms=5000)).one.delivery_count == 2

    # Both wait again, and turns go on as if nothing had been: the slow one, who came first, is next after the other.
    served = []
    await slow.pull("slow")
    waiting = asyncio.create_task(other.pull())
    await eventually(partial(fresh.has_waiting, 2))
    await kafka.produce(fresh.topic, "first")
    (message,) = json.loads((await slow.answer())[1])["messages"]
    served.append(message["offset"])
    await kafka.produce(fresh.topic, "second")
    served.append((await waiting).one.offset)
    assert served == [1, 2]
    assert (await client(fresh, "slow").ack(message["lease"])).acked == 1
    await slow.gone()


async def test_hole_11_the_last_client_may_leave_in_the_middle_of_hand_outs(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    hands, each = 3, 6
    for read_whole in range(hands + 1):
        # An answer is more than sockets hold: whoever does not read it is in the middle of being handed it.
        values = await spread(kafka, fresh, hands * each, size=700_000)
        opener = client(fresh, f"opener {read_whole}")
        await opener.nack((await opener.pull()).one.lease)
        await eventually(partial(has_buffered, fresh, len(values)))
        last = [
            await Hangup.pulling(
                fresh, f"last {read_whole}", receive_buffer=1 << 16,
                ack_wait_ms=1000, max_messages=each, max_bytes=16 << 20,
            )
            for _ in range(hands)
        ]  # fmt: skip
        for number, one in enumerate(last):
            await (one.answer() if number < read_whole else one.read(1))
        for one in last:
            one.reset()

        heir = client(fresh, "heir")
        taken = await heir.take(len(values), max_bytes=16 << 20)

        assert sorted(message.value or "" for message in taken) == sorted(values)
        # Only what somebody has read whole counts as delivered, and what the opener nacked.
        assert sum(message.delivery_count > 1 for message in taken) <= read_whole * each + 1
        assert (await heir.ack(*(message.lease for message in taken))).acked == len(values)
    assert fresh.runs
