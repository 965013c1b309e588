"""Makes a stream with messages, or a consumer of one, for `nats`; prints true when it is there.

Or says how many of its clients' requests wait at a consumer.

python -m benchmarks.peers.nats_fill URL STREAM MESSAGES SIZE
python -m benchmarks.peers.nats_fill URL STREAM DURABLE
python -m benchmarks.peers.nats_fill URL STREAM DURABLE waiting
"""

from __future__ import annotations

import asyncio
import sys

import nats
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.peers.system import label


async def fill(jetstream: JetStreamContext, stream: str, messages: int, size: int) -> None:
    """Published with the server's word for each, many at a time: one that is lost here would be missed later."""
    await jetstream.add_stream(name=stream, subjects=[stream])
    # Below the 4,000 that nats-py lets wait for their answers.
    for begin in range(0, messages, 2000):
        numbers = range(begin, min(begin + 2000, messages))
        await asyncio.gather(*(jetstream.publish(stream, label(number, size), timeout=60) for number in numbers))


async def add_consumer(jetstream: JetStreamContext, stream: str, durable: str) -> None:
    """One that may have as many messages in flight as fanout's clients may: the default of 1,000 would hold it back."""
    await jetstream.add_consumer(
        stream,
        ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            max_ack_pending=100_000,
        ),
    )


async def main() -> None:
    url, stream, *words = sys.argv[1:]
    connection = await nats.connect(url)
    said = "true"
    try:
        if words[-1] == "waiting":
            said = str((await connection.jetstream().consumer_info(stream, words[0])).num_waiting)
        elif len(words) == 2:
            await fill(connection.jetstream(), stream, int(words[0]), int(words[1]))
        else:
            await add_consumer(connection.jetstream(), stream, words[0])
    finally:
        await connection.close()
    print(said)


if __name__ == "__main__":
    asyncio.run(main())
