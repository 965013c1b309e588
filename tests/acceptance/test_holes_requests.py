"""Holes of the daemon that fanout replaces, part three: requests that one client sends and that hurt all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

from support.clients import Hangup, MakeClient
from support.kafka import Kafka
from support.process import resident
from support.workers import Worker

MB = 1 << 20
_PULL = b"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = _PULL + b"Transfer-Encoding: chunked\r\n\r\n"

#: Sent whole, and answered with a 4xx or by hanging up.
MALFORMED = {
    "a negative length": _PULL + b"Content-Length: -1\r\n\r\n",
    "a length that is none": _PULL + b"Content-Length: lots\r\n\r\n",
    "two lengths": _PULL + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative chunk": _CHUNKED + b"-1\r\n{}\r\n",
    "a chunk size without end": _CHUNKED + b"f" * 100_000,
    "a frame of the old protocol": b"INSTANCE_0\n" + b"\xff\xff\xff\xff" + b"\x08" * 100,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "no HTTP at all": b"\x00" * 10_000,
    "a body that is no JSON": _PULL + b"Content-Length: 5\r\n\r\n{{{{{",
    "JSON nested without end": _PULL + b"Content-Length: 1000000\r\n\r\n" + b"[" * 1_000_000,
    "a number without end": _PULL + b"Content-Length: 1000011\r\n\r\n" + b'{"wait_ms":' + b"9" * 1_000_000,
    "many messages asked for": _PULL + b'Content-Length: 36\r\n\r\n{"max_messages":9223372036854775807} ',
}


def _endless(start: bytes, piece: bytes, *, megabytes: int = 128) -> Iterator[bytes]:
    yield start
    for _ in range(megabytes * MB // len(piece)):
        yield piece


#: Sent until the worker has had enough, and that it must have.
ENDLESS = {
    "a body": (_PULL + b"Content-Length: 10000000000\r\n\r\n", b"[" * MB),
    "a body of 8 EiB": (_PULL + b"Content-Length: 9223372036854775808\r\n\r\n", b"[" * MB),
    "chunks": (_CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "a header": (_PULL + b"X: ", b"x" * MB),
    "headers": (_PULL, b"X: y\r\n" * 10_000),
    "a request line": (b"POST /v1/", b"x" * MB),
}


async def refused(worker: Worker, sent: Iterator[bytes]) -> str:
    """Send, and answer what came of it: a status, or that the worker hung up."""
    one = await Hangup.connected(worker)
    reading = asyncio.create_task(one.answer(20.0))
    try:
        for piece in sent:
            if reading.done():
                break
            await one.send(piece)
        status, _ = await reading
        return str(status)
    except (ConnectionError, asyncio.IncompleteReadError):
        return "hung up"
    except TimeoutError:
        return "no answer"
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            await reading
        await one.gone()


async def test_hole_07_malformed_and_endless_requests_hurt_nobody_else(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    good = client(fresh, "good")
    before = resident(fresh.pid)
    # One that announces a body and never sends it, and one that never ends its head.
    stalled = [await Hangup.connected(fresh) for _ in range(2)]
    await stalled[0].send(_PULL + b"Content-Length: 100\r\n\r\n{")
    await stalled[1].send(_PULL)
    sends = {name: iter([sent]) for name, sent in MALFORMED.items()}
    sends |= {f"{name} without end": _endless(*sent) for name, sent in ENDLESS.items()}
    outcomes = {name: asyncio.create_task(refused(fresh, sent)) for name, sent in sends.items()}

    slowest = 0.0
    served = 0
    while served < 40 or not all(task.done() for task in outcomes.values()):
        began = time.monotonic()
        await kafka.produce(fresh.topic, f"{served}", partition=served % 3)
        message = (await good.pull(wait_ms=5000)).one
        assert (message.value, message.delivery_count) == (f"{served}", 1)
        assert (await good.ack(message.lease)).acked == 1
        slowest = max(slowest, time.monotonic() - began)
        served += 1

    answered = {name: task.result() for name, task in outcomes.items()}
    assert set(answered.values()) <= {"400", "413", "414", "431", "hung up"}, answered
    assert slowest < 2.0
    assert resident(fresh.pid) - before < 128 * MB
    assert "Traceback" not in fresh.text()
    for one in stalled:
        await one.gone()
