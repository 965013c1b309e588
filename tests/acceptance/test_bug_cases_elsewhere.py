"""Faults that others met, by their numbers, where a client has asked another worker than the owner of its messages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from time import monotonic
from typing import Any, Literal, NamedTuple

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from fanout_app.web.protobuf import fanout_pb2 as pb
from support.clients import Client, Hangup
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

#: Seconds; how far off a time may be on a busy machine.
TOLERANCE = 2.0
LEAVING = 30


class Pair(NamedTuple):
    """The owner of all partitions, and one that has none."""

    topic: str
    owner: Worker
    spare: Worker


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(
    stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("elsewhere"), session)
    try:
        topic = await kafka.new_topic(1, max_message_bytes=str(22 << 20))
        owner = await workers.launch(topic, session_timeout="30s").ready(READY_TOGETHER)
        spare = await workers.launch(topic, session_timeout="30s").ready(READY_TOGETHER)
        await eventually(partial(_knows_both, spare), READY_TOGETHER)
        await eventually(owner.partitions, READY_TOGETHER)
        yield Pair(topic, owner, spare)
    finally:
        workers.close()


async def _knows_both(worker: Worker) -> bool:
    return len((await worker.status())["workers"]) == 2


_names = itertools.count()


@pytest.fixture
def make(session: aiohttp.ClientSession) -> Any:
    """A client that no other test knows."""
    return lambda worker: Client(session, worker, f"client-{next(_names)}")


async def test_d01_a_late_ack_counts_and_the_one_who_has_it_now_needs_nothing_more(
    pair: Pair, kafka: Kafka, make: Any, session: aiohttp.ClientSession
) -> None:
    await kafka.produce(pair.topic, "late")
    one, other = make(pair.spare), make(pair.owner)
    first = (await one.pull(ack_wait_ms=300)).one
    second = (await other.pull(wait_ms=8000)).one
    assert (second.offset, second.delivery_count) == (first.offset, 2)
    for verb in ("nack", "extend", "reject"):
        async with session.post(f"{pair.spare.url}/v1/leases/{first.lease}/{verb}") as response:
            assert response.status == 409
    async with session.delete(f"{pair.spare.url}/v1/leases/{first.lease}") as response:
        assert (response.status, response.headers.get("Fanout-Late")) == (204, "1")
    assert (await other.ack(second.lease, at=pair.spare)).results == {second.lease: "already_settled"}


@pytest.mark.parametrize("leave", [Hangup.close, Hangup.reset, Hangup.close_half])
async def test_d02_who_hangs_up_while_it_waits_gets_nothing(
    leave: Callable[[Hangup], None], pair: Pair, kafka: Kafka, make: Any
) -> None:
    gone = [await Hangup.pulling(pair.spare, f"gone {number}") for number in range(LEAVING)]
    await eventually(lambda: pair.owner.has_waiting(LEAVING))
    for one in gone:
        leave(one)
    await eventually(lambda: pair.owner.has_waiting(0), 3.0)
    began = monotonic()
    await kafka.produce(pair.topic, "for the next")
    next_one = make(pair.owner)
    message = (await next_one.pull(wait_ms=5000)).one
    assert monotonic() - began < TOLERANCE
    assert (message.value, message.delivery_count) == ("for the next", 1)
    assert (await next_one.ack(message.lease)).acked == 1
    for one in gone:
        await one.gone()


_ASKS = {
    "pull": b"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 38\r\n\r\n"
    b'{"wait_ms": 20000, "ack_wait_ms": 500}',
    "msgpack": b"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\nAccept: application/msgpack\r\nContent-Length: 38\r\n\r\n"
    b'{"wait_ms": 20000, "ack_wait_ms": 500}',
    "next": b"POST /v1/next?wait_ms=20000&ack_wait_ms=500 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("asks", _ASKS)
async def test_d02_hanging_up_in_the_moment_of_delivery_loses_nothing(
    asks: str, pair: Pair, kafka: Kafka, make: Any
) -> None:
    gone = [await Hangup.connected(pair.spare) for _ in range(LEAVING)]
    for one in gone:
        await one.send(_ASKS[asks])
    await eventually(lambda: pair.owner.has_waiting(LEAVING))
    values = [f"{asks} {number}" for number in range(LEAVING)]
    producing = asyncio.create_task(kafka.produce(pair.topic, *values))
    for one in gone:
        one.close()
        await asyncio.sleep(0)
    await producing
    alive = make(pair.spare)
    received = await alive.take(LEAVING)
    assert sorted(message.value for message in received) == sorted(values)
    assert (await alive.ack(*(message.lease for message in received))).acked == LEAVING
    for one in gone:
        await one.gone()


async def test_d03_whatever_makes_a_message_free_wakes_who_waits(
    pair: Pair, kafka: Kafka, make: Any, session: aiohttp.ClientSession
) -> None:
    """The end of a lease, of a delay and of a pause, and a seek."""
    await kafka.produce(pair.topic, "often")
    holder, other = make(pair.owner), make(pair.spare)

    async def woken(after: float, began: float) -> Any:
        message = (await waiting).one
        assert after - 0.05 < monotonic() - began < after + TOLERANCE
        assert message.value == "often"
        return message

    held = (await holder.pull(ack_wait_ms=1000)).one
    began = monotonic()
    waiting = asyncio.create_task(other.pull(wait_ms=10_000))
    again = await woken(1.0, began)

    waiting = asyncio.create_task(holder.pull(at=pair.spare, wait_ms=10_000))
    await eventually(lambda: pair.owner.has_waiting(1))
    began = monotonic()
    assert (await other.nack(again.lease, delay_ms=1000)).nacked == 1
    again = await woken(1.0, began)
    assert again.delivery_count == held.delivery_count + 2
    assert (await holder.ack(again.lease)).acked == 1

    async def order(path: str, **body: Any) -> None:
        async with session.post(f"{pair.spare.url}{path}", json=body) as response:
            assert response.status in (200, 204), await response.text()

    await order("/v1/pause")
    waiting = asyncio.create_task(other.pull(wait_ms=10_000))
    await eventually(lambda: pair.owner.has_waiting(1))
    await kafka.produce(pair.topic, "often")
    began = monotonic()
    await order("/v1/resume")
    again = await woken(0.0, began)
    assert (await other.ack(again.lease)).acked == 1

    waiting = asyncio.create_task(other.pull(wait_ms=10_000))
    await eventually(lambda: pair.owner.has_waiting(1))
    began = monotonic()
    await order("/v1/seek", to=again.offset)
    once_more = await woken(0.0, began)
    assert (once_more.offset, once_more.delivery_count) == (again.offset, 1)
    assert (await other.ack(once_more.lease)).acked == 1


async def test_d06_null_and_empty_can_be_told_apart(
    pair: Pair, kafka: Kafka, make: Any, session: aiohttp.ClientSession
) -> None:
    odd = [
        Odd(key=b"k", value=None),
        Odd(key=None, value=b""),
        Odd(key=b"", value=b"\xff", headers=[(b"trace-id", None), (b"trace-id", b""), (b"\xff", b"\xfe")]),
    ]
    await write_batch(kafka.brokers, pair.topic, odd)
    leases = []
    for record in odd:
        async with session.post(
            f"{pair.spare.url}/v1/pull", json={"client": "odd"}, headers={"Accept": "application/msgpack"}
        ) as response:
            (message,) = msgspec.msgpack.decode(await response.read())["messages"]
        assert (message["key"], message["value"]) == (record.key, record.value)
        names = [[name.decode(errors="backslashreplace"), value] for name, value in record.headers]
        assert message["headers"] == names
        leases.append(message["lease"])
    assert (await make(pair.spare).ack(*leases)).acked == len(odd)


async def test_d06_in_protobuf_too_wherever_it_is_asked_for(
    pair: Pair, kafka: Kafka, session: aiohttp.ClientSession
) -> None:
    odd = [
        Odd(key=b"k", value=None), Odd(key=None, value=b""),
        Odd(key=b"", value=b"\xff", headers=[(b"a", None), (b"a", b""), (b"b", b"\xfe")]),
    ]  # fmt: skip
    await write_batch(kafka.brokers, pair.topic, odd)
    form = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}
    settle = pb.SettleRequest()
    came: list[pb.Message] = []
    for worker in (pair.spare, pair.owner, pair.spare, pair.owner):
        body = pb.PullRequest(client="odd", wait_ms=0 if len(came) == len(odd) else 8000, settle=settle)
        async with session.post(f"{worker.url}/v1/pull", data=body.SerializeToString(), headers=form) as response:
            answer = pb.PullAnswer.FromString(await response.read())
        assert answer.settled.acked == len(settle.ack)
        came += answer.messages
        settle = pb.SettleRequest(ack=[message.lease for message in answer.messages])
    assert [(_or_null(message, "key"), _or_null(message, "value")) for message in came] == [
        (record.key, record.value) for record in odd
    ]
    headers = [(header.name.encode(), _or_null(header, "value")) for header in came[-1].headers]
    assert headers == odd[-1].headers


def _or_null(message: pb.Message | pb.Header, name: Literal["key", "value"]) -> bytes | None:
    value: bytes = getattr(message, name)
    return value if message.HasField(name) else None


@pytest.mark.parametrize("size", [900_000, 20_000_000])
async def test_d07_a_message_larger_than_what_a_client_takes_is_handed_over_alone(
    size: int, pair: Pair, kafka: Kafka, make: Any
) -> None:
    values = ["a" * 10, "b" * size, "c" * 10]
    await kafka.produce(pair.topic, *values)
    one = make(pair.spare)
    came: list[list[str]] = []
    while sum(map(len, came)) < 3:
        answer = await one.pull(wait_ms=8000, max_messages=10, max_bytes=64 << 10)
        assert answer.messages, "an answer with nothing in it, though there is something"
        assert [message.delivery_count for message in answer.messages] == [1] * len(answer.messages)
        came.append(answer.values)
        assert (await one.ack(answer.batch)).acked == len(answer.messages)
    assert [value for values_of_one in came for value in values_of_one] == values
    assert [values[1]] in came


async def test_d08_a_group_without_a_weight_is_told_so(pair: Pair, make: Any) -> None:
    empty = await make(pair.spare).pull(group="canary", wait_ms=200)
    assert (empty.status, empty.empty) == (204, "weight-zero")
