"""Publishes stamped messages to a stream at a steady rate; the twin of paced_producer.py, which says what it prints.

    python -m benchmarks.peers.nats_paced_producer URL STREAM RATE MESSAGES UNCOUNTED SIZE

Each is published without waiting for the server's answer to the one before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict

import nats
from nats.js import JetStreamContext

from benchmarks.peers.pace import due_in_turn
from benchmarks.peers.percentiles import percentiles
from benchmarks.peers.system import stamped


class Publisher:
    """Publishes when it is told to, and times the answers."""

    def __init__(self, jetstream: JetStreamContext, stream: str, size: int) -> None:
        self._jetstream = jetstream
        self._stream = stream
        self._size = size
        self._under_way: set[asyncio.Task[None]] = set()
        self.produced: dict[int, float] = {}
        self.fault: Exception | None = None

    def publish(self, number: int) -> None:
        task = asyncio.ensure_future(self._publish(number))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _publish(self, number: int) -> None:
        began = time.monotonic()
        try:
            await self._jetstream.publish(self._stream, stamped(number, time.time_ns(), self._size), timeout=30)
        except Exception as fault:  # whatever it is, it is raised at the end
            self.fault = self.fault or fault
        else:
            self.produced[number] = time.monotonic() - began

    async def all_published(self) -> None:
        await asyncio.gather(*self._under_way)
        if self.fault:
            raise self.fault


async def produce(url: str, stream: str, rate: int, messages: int, uncounted: int, size: int) -> dict[str, object]:
    """What is to be printed. Raises what a publish raised."""
    connection = await nats.connect(url)
    try:
        publisher = Publisher(connection.jetstream(), stream, size)
        loop = asyncio.get_running_loop()
        late: list[float] = []

        def pace() -> None:
            # In a thread: a timer of the event loop is a millisecond late.
            for number, behind in due_in_turn(rate, messages, time.monotonic, time.sleep):
                late.append(behind)
                loop.call_soon_threadsafe(publisher.publish, number)

        await asyncio.to_thread(pace)
        await publisher.all_published()
    finally:
        await connection.close()
    timed = {"late": late, "produced": [publisher.produced[number] for number in range(messages)]}
    return {name: asdict(percentiles(seconds[uncounted:])) for name, seconds in timed.items()}


def main() -> None:
    import uvloop

    url, stream, *numbers = sys.argv[1:]
    rate, messages, uncounted, size = map(int, numbers)
    print(json.dumps(uvloop.run(produce(url, stream, rate, messages, uncounted, size))))


if __name__ == "__main__":
    main()
