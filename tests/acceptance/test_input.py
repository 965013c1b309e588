"""Whatever a topic may hold comes out as it went in: bytes of every kind and size, compressed, beside holes."""

from __future__ import annotations

import base64
import time
from collections import Counter
from typing import Any

import aiohttp
import msgspec
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch, write_compressed
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
_EVERY_BYTE = bytes(range(256))

#: Key, value and headers that a client must be able to tell apart.
ODD = [
    Odd(key=None, value=None),
    Odd(key=b"", value=b""),
    Odd(key=b"", value=None),
    Odd(key=None, value=b""),
    Odd(key=_EVERY_BYTE, value=_EVERY_BYTE * 3),
    Odd(value=b"repeated", headers=[(b"h", b"1"), (b"other", b"2"), (b"h", b"3"), (b"h", b"1")]),
    Odd(value=b"null header", headers=[(b"h", None), (b"h", b"")]),
    Odd(value=b"binary header", headers=[(b"h", b"\xff\x00\xfe")]),
    Odd(value=b"header without a name", headers=[(b"", b"v")]),
    Odd(value="grüße".encode(), key="ключ".encode(), headers=[("ключ".encode(), "值".encode())]),
    Odd(value=b"before 1970", timestamp=-1),
    Odd(value=b"with the names that fanout uses", headers=[(b"fanout-key", b"x"), (b"fanout-offset", b"-1")]),
]

_BAD_NAMES = [
    Odd(value=b"first"),
    Odd(value=b"bad", key=b"k", headers=[(b"ok", b"1"), (b"caf\xe9", b"\xe9"), (b"\xff\xfe", None)]),
    Odd(value=b"between", headers=[(b"ok", b"2")]),
    Odd(value=b"bad too", headers=[(b"\x80", b"")]),
    Odd(value=b"last"),
]


def _content(record: Odd) -> tuple[Any, ...]:
    names = [(name.decode(errors="backslashreplace"), value) for name, value in record.headers]
    return record.key, record.value, names, record.timestamp


async def pull_raw(
    session: aiohttp.ClientSession, worker: Worker, *, msgpack: bool = False, **fields: Any
) -> list[dict[str, Any]]:
    """One pull's messages as they are on the wire."""
    body = {"client": "raw", "max_messages": 1000, "wait_ms": 8000, **fields}
    headers = {"Accept": "application/msgpack"} if msgpack else {}
    async with session.post(f"{worker.url}/v1/pull", json=body, headers=headers) as response:
        assert response.status == 200, (response.status, await response.text())
        raw = await response.read()
    answer = msgspec.msgpack.decode(raw) if msgpack else msgspec.json.decode(raw)
    messages: list[dict[str, Any]] = answer["messages"]
    return messages


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


async def _settle(session: aiohttp.ClientSession, worker: Worker, **fields: Any) -> None:
    async with session.post(f"{worker.url}/v1/settle", json=fields) as response:
        assert response.status == 200, await response.text()


async def _give_back(session: aiohttp.ClientSession, worker: Worker) -> None:
    """Uncounted, unlike a nack: a message that has failed a few times would come alone."""
    async with session.delete(f"{worker.url}/v1/clients/raw") as response:
        assert response.status == 204, await response.text()


async def test_every_kind_of_record_comes_byte_exact_in_every_form(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession
) -> None:
    await write_batch(kafka.brokers, fresh.topic, ODD, partition=1)
    expected = [_content(record) for record in ODD]

    packed = await pull_raw(session, fresh, msgpack=True)
    assert [
        (m["key"], m["value"], [tuple(header) for header in m["headers"]], m["timestamp_unix_ms"]) for m in packed
    ] == expected
    await _give_back(session, fresh)

    plain = await pull_raw(session, fresh)
    assert [
        (
            _decoded(m["key"]),
            _decoded(m["value"]),
            [(name, _decoded(value)) for name, value in m["headers"]],
            m["timestamp_unix_ms"],
        )
        for m in plain
    ] == expected
    assert not any("encoding" in message for message in plain)
    await _give_back(session, fresh)

    texts = await pull_raw(session, fresh, encoding="utf8")
    for record, message in zip(ODD, texts, strict=True):
        binary = _EVERY_BYTE in (record.key or b"") or any(value == b"\xff\x00\xfe" for _, value in record.headers)
        assert message.get("encoding") == ("base64" if binary else None), record
        decode = _decoded if binary else lambda text: None if text is None else text.encode()
        assert decode(message["value"]) == record.value
        assert decode(message["key"]) == record.key
        assert [decode(value) for _, value in message["headers"]] == [value for _, value in record.headers]


async def test_header_names_that_are_not_utf8_are_escaped_and_no_record_is_missing_or_comes_twice(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession
) -> None:
    for _ in range(3):
        await write_batch(kafka.brokers, fresh.topic, _BAD_NAMES)
    came: list[dict[str, Any]] = []
    while len(came) < 3 * len(_BAD_NAMES):
        came += await pull_raw(session, fresh, msgpack=True)
    assert [message["offset"] for message in came] == list(range(3 * len(_BAD_NAMES)))
    for record, message in zip(_BAD_NAMES * 3, came, strict=True):
        assert (message["key"], message["value"], [tuple(header) for header in message["headers"]]) == (
            _content(record)[:3]
        )
    await _settle(session, fresh, ack=[message["lease"] for message in came])
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 15}))
    assert "partition 0: header names that are not UTF-8" in fresh.text()
    assert "first at offset 1" in fresh.text()
    assert "Traceback" not in fresh.text()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_come_as_they_were_before(
    codec: str, fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession
) -> None:
    values = [f"{codec} {number} ".encode() * 50 for number in range(500)]
    offsets = await write_compressed(kafka.brokers, fresh.topic, codec, values, partition=2)
    came: list[dict[str, Any]] = []
    while len(came) < len(values):
        came += await pull_raw(session, fresh, msgpack=True)
    assert [(message["offset"], message["value"]) for message in came] == list(zip(offsets, values, strict=True))


async def test_a_batch_that_cannot_be_read_holds_up_its_partition_alone_and_is_told_now_and_then(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2)
    await kafka.produce(topic, "before", partition=0)
    await write_compressed(kafka.brokers, topic, "zstd", [b"squeezed " * 100] * 3, partition=0)
    await kafka.produce(topic, "behind", partition=0)
    worker = await workers.start(topic, faults=["no-codecs"])
    for round in range(20):
        await kafka.produce(topic, f"other {round}", partition=1)
        (message, *more) = await pull_raw(session, worker, msgpack=True)
        if message["value"] == b"before":
            await _settle(session, worker, ack=[message["lease"]])
            (message, *more) = more or await pull_raw(session, worker, msgpack=True)
        assert (message["partition"], message["value"], more) == (1, f"other {round}".encode(), [])
        await _settle(session, worker, ack=[message["lease"]])
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 1, 1: 20}))
    lines = [line for line in worker.text().splitlines() if "nothing can be read from offset 1 on" in line]
    assert 1 <= len(lines) <= 5, "once every 10 s"
    assert "zstd" in lines[0]
    assert worker.runs
    worker.kill9()

    mended = await workers.start(topic)
    came: list[dict[str, Any]] = []
    while len(came) < 4:
        came += await pull_raw(session, mended, msgpack=True)
    assert [message["value"] for message in came] == [b"squeezed " * 100] * 3 + [b"behind"]


async def test_records_of_900_kilobytes_and_8_megabytes_come_whole(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2, max_message_bytes=str(9 << 20))
    large, huge = _EVERY_BYTE * 3516, _EVERY_BYTE * (8 << 12)
    for partition in range(2):
        for value in (b"small", huge, b"small too", large):
            await write_batch(kafka.brokers, topic, [Odd(value=value)], partition=partition)
    worker = await workers.start(topic)
    came: dict[tuple[int, int], bytes] = {}
    async with session.post(f"{worker.url}/v1/next") as response:
        assert (response.status, await response.read()) == (200, b"small")
    while len(came) < 7:
        for message in await pull_raw(session, worker, msgpack=True):
            assert (message["partition"], message["offset"]) not in came
            came[message["partition"], message["offset"]] = message["value"]
            await _settle(session, worker, ack=[message["lease"]])
    assert all(value == [b"small", huge, b"small too", large][offset] for (_, offset), value in came.items())
    assert Counter(offset for _, offset in came) == {0: 1, 1: 2, 2: 2, 3: 2}


async def test_holes_of_compaction_are_passed_and_nothing_beside_them(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(
        1, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="100"
    )
    for round in range(5):
        await kafka.produce(topic, *(f"{round}/{key}" for key in range(20)), keys=[str(key % 20) for key in range(20)])

    async def is_compacted() -> bool:
        # The last segment is never compacted, so something must begin new ones.
        await kafka.produce(topic, "tail", keys=["tail"])
        return (await kafka.offsets_in(topic))[0] == 80

    await eventually(is_compacted, 30, every=0.2)
    present = await kafka.offsets_in(topic)
    worker = await workers.start(topic)
    came: list[dict[str, Any]] = []
    while len(came) < 20:
        came += await pull_raw(session, worker, msgpack=True)
    assert [message["offset"] for message in came[:20]] == list(range(80, 100))
    assert {message["offset"] for message in came} <= set(present)
    await _settle(session, worker, ack=[message["lease"] for message in came])
    last = came[-1]["offset"] + 1
    await eventually(lambda: _has_passed(kafka, topic, last))


async def _has_passed(kafka: Kafka, topic: str, offset: int) -> bool:
    return (await kafka.committed(ID, topic)).get(0, 0) >= offset


async def test_a_worker_with_100_partitions_is_ready_in_ten_seconds_and_delivers_all_of_them(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(100)
    for partition in range(100):
        await kafka.produce(topic, f"{partition}/0", f"{partition}/1", partition=partition)
    began = time.monotonic()
    worker = await workers.launch(topic, command="fanout").ready(READY_TOGETHER)
    took = time.monotonic() - began
    taken = await client(worker, "one").take(200)
    assert sorted(message.value or "" for message in taken) == sorted(f"{p}/{n}" for p in range(100) for n in range(2))
    assert took < 10.0
