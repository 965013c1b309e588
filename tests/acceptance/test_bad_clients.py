"""Clients on bare sockets that do what no library does, all at once: the others are served as before, and when they are
gone nothing of them is left."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from statistics import median

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.clients import Client, Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.process import resident
from support.workers import Worker, Workers

MB = 1 << 20
#: Options of the worker, in seconds.
REQUEST_TIMEOUT = 2.0
ANSWER_TIMEOUT = 2.0
#: What a worker has open and does now and then besides.
FEW = 8
IDLE = 10_000
AT_A_TIME = 500

_PULL = b"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\n"
_WAIT = b'{"wait_ms":0}'

#: Sent, and then no more; the status that is answered to each, None: hung up on without a word.
STALLED = {
    "a letter": (b"P", 408),
    "half a head": (_PULL + b"Content-Le", 408),
    "a head alone": (_PULL + b"Content-Length: 10\r\n\r\n", 408),
    "half a body": (_PULL + b"Content-Length: 10\r\n\r\n{", 408),
    "half a chunk": (_PULL + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{", 408),
    "a body that is announced": (_PULL + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n", 408),
    "a body of 20 MiB": (_PULL + b"Content-Length: %d\r\n\r\n" % (20 * MB), 413),
    "20 MiB that are announced": (_PULL + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (20 * MB), 413),
    "garbage in chunks": (_PULL + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", 400),
    "a header of 64 KiB": (_PULL + b"X: " + b"x" * 65_536 + b"\r\n\r\n", 400),
    "a header of 10 MiB": (_PULL + b"X: " + b"x" * (10 * MB) + b"\r\n\r\n", 400),
    "an address of 1 MiB": (b"GET /v1/" + b"x" * MB + b" HTTP/1.1\r\n\r\n", 400),
    "a hundred thousand headers": (_PULL + b"X: y\r\n" * 100_000 + b"\r\n", 400),
    "a hello of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, 400),
    "garbage": (bytes(range(256)) * 40, 400),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz HTTP/0.9\r\n\r\n", 200),
}


async def sent(worker: Worker, raw: bytes) -> int | None:
    """The status of what is answered to this; None where the worker hangs up without a word."""
    one = await Hangup.connected(worker)
    reading = asyncio.create_task(one.answer(REQUEST_TIMEOUT + 30.0))
    try:
        with suppress(ConnectionError):
            for start in range(0, len(raw), MB):
                await one.send(raw[start : start + MB])
        status, _ = await reading
        return (await one.answer(REQUEST_TIMEOUT + 30.0))[0] if status == 100 else status
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await one.gone()


async def trickled(worker: Worker, raw: bytes) -> int:
    """The same for one that sends byte by byte, for ever."""
    one = await Hangup.connected(worker)
    reading = asyncio.create_task(one.answer(REQUEST_TIMEOUT + 30.0))
    try:
        await one.send(raw)
        while not reading.done():
            with suppress(ConnectionError):
                await one.send(b"x")
            await asyncio.wait([reading], timeout=0.1)
        return (await reading)[0]
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await one.gone()


async def never_reading(worker: Worker) -> None:
    """Ask for more and more, read nothing of it, until hung up on."""
    one = await Hangup.connected(worker, receive_buffer=4096)
    with suppress(ConnectionError):
        while True:
            await one.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
    await one.gone()


async def metrics(worker: Worker, session: aiohttp.ClientSession) -> dict[str, float]:
    async with session.get(f"{worker.url}/metrics") as response:
        text = await response.text()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


@asynccontextmanager
async def leaving_nothing_behind(worker: Worker, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """What is open and under way before is what is afterwards."""
    before = await metrics(worker, session)
    yield

    async def as_before() -> bool:
        after = await metrics(worker, session)
        return (
            after["fanout_tasks"] <= before["fanout_tasks"] + FEW
            and after["process_open_fds"] <= before["process_open_fds"] + FEW
            and after["fanout_waiting_pulls"] == 0
        )

    await eventually(as_before, 30.0)


class Good:
    """A client as it should be."""

    def __init__(self, kafka: Kafka, client: Client, topic: str) -> None:
        self._kafka = kafka
        self._client = client
        self._topic = topic
        self._count = 0

    async def served(self) -> float:
        """One message is produced, comes and is acked; how long that took."""
        began = time.monotonic()
        value = str(self._count)
        self._count += 1
        await self._kafka.produce(self._topic, value)
        message = (await self._client.pull(wait_ms=8000)).one
        assert (message.value, message.delivery_count) == (value, 1)
        assert (await self._client.ack(message.lease)).acked == 1
        return time.monotonic() - began

    async def served_until(self, tasks: list[asyncio.Task[int | None]]) -> list[float]:
        took = [await self.served() for _ in range(10)]
        while not all(task.done() for task in tasks):
            took.append(await self.served())
        return took


@pytest.fixture
async def worker(kafka: Kafka, workers: Workers) -> Worker:
    return await workers.start(
        await kafka.new_topic(1), request_timeout=f"{REQUEST_TIMEOUT:g}s", answer_timeout=f"{ANSWER_TIMEOUT:g}s"
    )


async def test_clients_that_send_or_read_badly_are_answered_and_hurt_nobody_else(
    worker: Worker, kafka: Kafka, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    good = Good(kafka, client(worker, "good"), worker.topic)
    alone = [await good.served() for _ in range(20)]
    memory = resident(worker.pid)
    async with leaving_nothing_behind(worker, session):
        kinds = {name: asyncio.create_task(sent(worker, raw)) for name, (raw, _) in STALLED.items()}
        trickling = [
            asyncio.create_task(trickled(worker, raw))
            for raw in [_PULL + b"X: ", _PULL + b"Content-Length: 9999\r\n\r\n"] * 20
        ]
        deaf = [asyncio.create_task(never_reading(worker)) for _ in range(10)]
        beside = await good.served_until([*kinds.values(), *trickling, *deaf])
        statuses = {name: task.result() for name, task in kinds.items()}
        assert statuses == {name: status for name, (_, status) in STALLED.items()}
        assert {task.result() for task in trickling} == {408}
    assert resident(worker.pid) - memory < 64 * MB
    # Some of them cost the worker work; none of them makes anybody wait for what it does not do.
    assert max(beside) < max(alone) + REQUEST_TIMEOUT, (alone, beside)
    assert median(beside) < 10 * median(alone) + 0.1, (alone, beside)
    assert "Traceback" not in worker.text()


async def test_requests_sent_one_behind_the_other_are_all_answered_in_turn(worker: Worker, kafka: Kafka) -> None:
    await kafka.produce(worker.topic, "a")
    one = await Hangup.connected(worker)
    pull = _PULL + b"Content-Length: %d\r\n\r\n%b" % (len(_WAIT), _WAIT)
    await one.send(
        pull
        + (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n") * 100
    )
    assert (await one.answer())[0] in (200, 204)
    assert [(await one.answer())[0] for _ in range(200)] == [200, 404] * 100
    await one.gone()


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process has the other end of each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, IDLE + 2000)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.long
async def test_ten_thousand_connections_that_say_nothing_hurt_nobody_else(
    worker: Worker, kafka: Kafka, client: MakeClient, session: aiohttp.ClientSession, many_files: None
) -> None:
    good = Good(kafka, client(worker, "good"), worker.topic)
    alone = [await good.served() for _ in range(20)]
    memory = resident(worker.pid)
    host, port = worker.url.removeprefix("http://").split(":")
    async with leaving_nothing_behind(worker, session):
        open_ones: list[socket.socket] = []
        try:
            while len(open_ones) < IDLE:
                open_ones += [socket.create_connection((host, int(port)), 30.0) for _ in range(AT_A_TIME)]
                # Those that wait to be accepted must not be more than the kernel holds.
                count = len(open_ones)
                await eventually(lambda count=count: _has_open(worker, session, count), 30.0)  # type: ignore[misc]
            beside = [await good.served() for _ in range(20)]
            assert resident(worker.pid) - memory < IDLE * 24 << 10
        finally:
            for one in open_ones:
                one.close()
    assert max(beside) < max(alone) + 1.0, (alone, beside)
    assert median(beside) < 5 * median(alone) + 0.1, (alone, beside)
    assert "Traceback" not in worker.text()


async def _has_open(worker: Worker, session: aiohttp.ClientSession, count: int) -> bool:
    return (await metrics(worker, session))["process_open_fds"] > count


async def test_more_connections_than_there_may_be_push_out_the_idle_ones_and_no_waiting_pull(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic, max_connections="20")
    waiting = [await Hangup.pulling(worker, "one") for _ in range(10)]
    silent = [await Hangup.connected(worker) for _ in range(60)]
    await eventually(lambda: worker.has_waiting(10))
    await asyncio.gather(*(one.read(1) for one in silent[:40]))
    waiting += [await Hangup.pulling(worker, "one") for _ in range(10)]
    one_more = await Hangup.connected(worker)
    await one_more.send(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await one_more.answer())[0] == 503
    probe = await Hangup.connected(worker)
    await probe.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await probe.answer())[0] == 200
    await kafka.produce(topic, *map(str, range(20)))
    answers = [await one.answer() for one in waiting]
    assert [status for status, _ in answers] == [200] * 20
    offsets = [re.findall(rb'"offset":(\d+)', body) for _, body in answers]
    assert sorted(int(offset) for (offset,) in offsets) == list(range(20))
    for one in (*waiting, *silent, one_more, probe):
        await one.gone()
