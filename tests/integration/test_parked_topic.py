"""Parked messages on a real Kafka: each is there once, whole, and forgotten only when it is back in its topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from fanout_app.core.message import Message
from fanout_app.core.parked import ParkedMessage, Redriven
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_reader import LogReader
from fanout_app.kafka.parked import ParkedTopic
from fanout_app.kafka.writer import Writer
from fanout_app.ports import SourceError
from support.kafka import Kafka
from support.messages import FakeMessage

ODD = [
    FakeMessage(0, value=None, key=None),
    FakeMessage(1, value=b"", key=b""),
    FakeMessage(2, value=None, key=b"k", headers=(("h", None), ("h", b""), ("", b"\xff"))),
    FakeMessage(3, value=bytes(range(256)), key=b"\xff\x00", timestamp=1_600_000_000_000),
    FakeMessage(
        4,
        key=None,
        headers=(("fanout-key", b"x"), ("fanout-headers", b"0"), ("fanout-null", b"1"), ("fanout-offset", b"7")),
    ),
]


@dataclass
class Place:
    """A topic with its parked messages, and a second look at them, as another worker has."""

    source: str
    parked: str
    topic: ParkedTopic
    other: ParkedTopic
    reader: LogReader
    writer: Writer

    async def put(self, *messages: FakeMessage, partition: int = 0, count: int = 3, group: str = "") -> None:
        for message in messages:
            await self.topic.put(partition, message, delivery_count=count, reason="broken", client="ann", group=group)

    async def in_source(self, partition: int = 0) -> list[Message]:
        return [record async for record in self.reader.scan(partition, 0)]


@pytest_asyncio.fixture
async def place(kafka: Kafka) -> AsyncIterator[Place]:
    source = await kafka.new_topic(2, max_message_bytes=str(9 << 20))
    parked = await kafka.new_topic(1, cleanup_policy="compact", max_message_bytes=str(20 << 20))
    brokers = Brokers((kafka.brokers,))
    writer = Writer(brokers)
    readers = [LogReader(brokers, topic) for topic in (source, parked, parked)]
    one, other = (ParkedTopic(reader, writer, id="service", parked=parked, source=source) for reader in readers[1:])
    yield Place(source, parked, one, other, readers[0], writer)
    for reader in readers:
        await reader.stop()
    await writer.stop()


def _content(message: Message | ParkedMessage) -> tuple[object, ...]:
    return message.offset, message.timestamp, message.key, message.value, tuple(message.headers)


async def test_messages_of_every_kind_are_parked_whole_with_their_origin(place: Place) -> None:
    before = time.time() * 1000
    await place.put(*ODD, partition=1)
    parked = await place.other.list(100, -1)
    assert [_content(message) for message in parked] == [_content(message) for message in ODD]
    assert [message.parked for message in parked] == [0, 1, 2, 3, 4]
    assert {(m.partition, m.delivery_count, m.reason, m.client) for m in parked} == {(1, 3, "broken", "ann")}
    assert all(before - 1000 < message.parked_at < time.time() * 1000 + 1000 for message in parked)


async def test_a_page_goes_on_after_the_last_name_of_the_one_before(place: Place) -> None:
    await place.put(*(FakeMessage(offset) for offset in range(10)))
    assert [message.parked for message in await place.topic.list(4, -1)] == [0, 1, 2, 3]
    assert [message.parked for message in await place.topic.list(4, 3)] == [4, 5, 6, 7]
    assert [message.parked for message in await place.topic.list(4, 7)] == [8, 9]
    assert await place.topic.list(4, 9) == []


async def test_a_message_that_is_parked_twice_is_there_once_and_its_like_of_another_log_beside_it(
    place: Place,
) -> None:
    await place.put(FakeMessage(5, b"same", timestamp=7), count=1)
    await place.put(FakeMessage(5, b"same", timestamp=7), count=2)
    await place.put(FakeMessage(5, b"of a topic made anew", timestamp=7), count=3)
    await place.put(FakeMessage(5, b"same", timestamp=7), partition=1, count=4)
    assert [(message.parked, message.delivery_count) for message in await place.topic.list(9, -1)] == [
        (1, 2), (2, 3), (3, 4),
    ]  # fmt: skip


async def test_a_redriven_message_is_back_in_its_partition_as_it_was_and_forgotten_by_everyone(place: Place) -> None:
    await place.put(*ODD, partition=1)
    assert len(await place.other.list(9, -1)) == 5
    assert await place.topic.redrive([1, 3]) == Redriven(2, [])
    back = await place.in_source(1)
    assert [(record.key, record.value, record.headers) for record in back] == [
        (ODD[number].key, ODD[number].value, (*ODD[number].headers, ("fanout-redriven-from", b"1/%d" % number)))
        for number in (1, 3)
    ]
    for one in (place.topic, place.other):
        assert [message.parked for message in await one.list(9, -1)] == [0, 2, 4]
        assert await one.redrive([1, 3, 77]) == Redriven(0, [1, 3, 77])
    assert await place.other.redrive(None) == Redriven(3, [])
    assert await place.topic.list(9, -1) == []
    assert await place.topic.redrive(None) == Redriven(0, [])
    assert [record.value for record in await place.in_source(1)] == [ODD[number].value for number in (1, 3, 0, 2, 4)]
    assert await place.in_source(0) == []


async def test_a_message_of_a_partition_that_is_no_more_goes_to_another_one(place: Place) -> None:
    await place.put(FakeMessage(3, b"homeless"), partition=17)
    assert await place.topic.redrive(None) == Redriven(1, [])
    came = [*await place.in_source(0), *await place.in_source(1)]
    assert [(record.value, record.headers) for record in came] == [
        (b"homeless", (("fanout-redriven-from", b"17/3"),)),
    ]


async def test_a_crash_before_the_forgetting_redrives_twice_and_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.put(FakeMessage(0, b"one"), FakeMessage(1, b"two"))
    write = place.writer.write

    async def dying(topic: str, **fields: object) -> int:
        if topic == place.parked:
            raise SourceError("the worker is killed here")
        return await write(topic, **fields)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(place.writer, "write", dying)
        with pytest.raises(SourceError):
            await place.topic.redrive(None)
    assert [message.value for message in await place.other.list(9, -1)] == [b"one", b"two"]
    assert await place.other.redrive(None) == Redriven(2, [])
    assert [record.value for record in await place.in_source()] == [b"one", b"two"] * 2
    assert await place.topic.list(9, -1) == []


async def test_what_is_not_back_in_the_topic_is_not_forgotten(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.put(*(FakeMessage(offset, b"%d" % offset) for offset in range(40)))
    write = place.writer.write

    async def failing(topic: str, **fields: object) -> int:
        if fields["value"] == b"20":
            raise SourceError("no broker takes it")
        return await write(topic, **fields)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(place.writer, "write", failing)
        with pytest.raises(SourceError, match="no broker takes it"):
            await place.topic.redrive(None)
    back = {record.value for record in await place.in_source()}
    left = {message.value for message in await place.topic.list(99, -1)}
    assert b"20" in left
    assert back | left == {b"%d" % offset for offset in range(40)}
    assert not back & left, "whatever was acknowledged was forgotten"
    await place.topic.redrive(None)
    assert sorted(record.value or b"" for record in await place.in_source()) == sorted(b"%d" % n for n in range(40))


async def test_a_message_too_large_for_the_topic_stays_and_holds_up_no_other(place: Place) -> None:
    large = b"x" * (10 << 20)
    await place.put(FakeMessage(0, b"before"), FakeMessage(1, large), FakeMessage(2, b"after"))
    with pytest.raises(SourceError, match=r"\[1\] stay.*max.message.bytes"):
        await place.topic.redrive(None)
    assert [record.value for record in await place.in_source()] == [b"before", b"after"]
    assert [message.value for message in await place.topic.list(9, -1)] == [large]
    await place.put(FakeMessage(3, b"later"))
    assert [message.parked for message in await place.topic.list(9, 1)] != []


async def test_a_message_of_eight_megabytes_is_parked_and_redriven(place: Place) -> None:
    huge = bytes(range(256)) * (8 << 12)
    await place.put(FakeMessage(0, huge))
    assert [message.value for message in await place.topic.list(9, -1)] == [huge]
    assert await place.topic.redrive([0]) == Redriven(1, [])
    assert [record.value for record in await place.in_source()] == [huge]


async def test_a_page_of_a_hundred_among_ten_thousand_is_there_at_once(place: Place) -> None:
    await _put_many(place, 10_000)
    first = await place.topic.list(100, -1)
    assert len(first) == 100
    began = time.monotonic()
    page = await place.topic.list(100, 5000)
    took = time.monotonic() - began
    assert [message.offset for message in page] == list(range(5001, 5101))
    assert took < 0.5
    assert await place.topic.redrive([9_999]) == Redriven(1, [])
    assert [message.parked for message in await place.topic.list(100, 9_990)] == list(range(9_991, 9_999))


async def _put_many(place: Place, count: int) -> None:
    for first in range(0, count, 500):
        messages: Sequence[FakeMessage] = [FakeMessage(offset, b"x" * 200) for offset in range(first, first + 500)]
        await asyncio.gather(*(place.put(message) for message in messages))


async def test_what_others_write_into_the_topic_is_passed_over(place: Place, kafka: Kafka) -> None:
    await kafka.produce(place.parked, "not ours", keys=["k"])
    await place.put(FakeMessage(0))
    assert [message.parked for message in await place.topic.list(9, -1)] == [1]
    assert await place.topic.redrive([0, 1]) == Redriven(1, [0])


async def test_two_groups_give_up_on_the_same_message_and_it_goes_back_to_those_that_are_there(place: Place) -> None:
    message = FakeMessage(3, b"twice")
    for group in ("a", "b", ""):
        await place.put(message, group=group)
    assert [(one.parked, one.group) for one in await place.other.list(9, -1)] == [(0, "a"), (1, "b"), (2, "")]
    assert await place.topic.redrive(None, {"b", "c"}) == Redriven(2, [], [0])
    origin = ("fanout-redriven-from", b"0/3")
    assert [tuple(record.headers) for record in await place.in_source()] == [
        (origin, ("fanout-redriven-for", b"service/%b/b" % place.source.encode())), (origin,),
    ]  # fmt: skip
    assert [one.group for one in await place.other.list(9, -1)] == ["a"]
