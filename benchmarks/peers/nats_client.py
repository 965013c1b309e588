"""Clients of `nats`, in a process of their own; prints a report as JSON, or null where nothing came to any of them.

python -m benchmarks.peers.nats_client URL STREAM DURABLE CLIENTS FETCH confirmed|plain PIDS [MESSAGES UNCOUNTED]

MESSAGES are those that come in a paced run, all of them stamped; otherwise a run ends when nothing is left.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import nats
from nats.js import JetStreamContext

from benchmarks.peers.arrivals import Arrivals


class Taker:
    """One connection with a pull subscription to the consumer that all of them share."""

    def __init__(self, arrivals: Arrivals, fetch: int, messages: int, *, confirmed: bool) -> None:
        """`messages` have to be acked before it ends, by whomever."""
        self._arrivals = arrivals
        self._fetch = fetch
        self._messages = messages
        self._confirmed = confirmed

    async def run(self, url: str, stream: str, durable: str) -> None:
        """Until all of the stream is acked, by whomever."""
        connection = await nats.connect(url)
        try:
            jetstream = connection.jetstream()
            subscription = await jetstream.pull_subscribe_bind(consumer=durable, stream=stream)
            while True:
                asked = time.perf_counter()
                try:
                    messages = await subscription.fetch(self._fetch, timeout=0.5)
                except TimeoutError:
                    if await self._all_acked(jetstream, stream, durable):
                        return
                    continue
                pulled = time.perf_counter() - asked
                counts = self._arrivals.got([message.data for message in messages])
                asked = time.perf_counter()
                if self._confirmed:
                    # Together, as a client that cares for its rate does: one by one would be a round trip each.
                    await asyncio.gather(*(message.ack_sync(timeout=30) for message in messages))
                else:
                    for message in messages:
                        await message.ack()
                if counts:
                    self._arrivals.pulls.append(pulled)
                    self._arrivals.acks.append(time.perf_counter() - asked)
                self._arrivals.acked()
        finally:
            # Sends what is still in the client's buffer. Not drain(), which did not return within 10 s here, with
            # everything acked.
            await connection.flush(timeout=10)
            await connection.close()

    async def _all_acked(self, jetstream: JetStreamContext, stream: str, durable: str) -> bool:
        info = await jetstream.consumer_info(stream, durable)
        came: int = info.delivered.stream_seq
        return came >= self._messages and (info.num_pending, info.num_ack_pending) == (0, 0)


async def drain(words: list[str]) -> Arrivals:
    """The clients of this process, side by side on one event loop."""
    url, stream, durable, clients, fetch, confirmed, pids, *paced = words
    messages, uncounted = map(int, paced or (0, 0))
    arrivals = Arrivals(pids, uncounted=uncounted, stamped=bool(paced))
    takers = (Taker(arrivals, int(fetch), messages, confirmed=confirmed == "confirmed") for _ in range(int(clients)))
    await asyncio.gather(*(taker.run(url, stream, durable) for taker in takers))
    return arrivals


def main() -> None:
    import uvloop

    report = uvloop.run(asyncio.wait_for(drain(sys.argv[1:]), 300)).report()
    print(json.dumps(report and report.to_json()))


if __name__ == "__main__":
    main()
