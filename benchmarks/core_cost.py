"""What the core costs a message, in us: offer, serve and the ack of the batch, without HTTP and without Kafka.

    python -m benchmarks.core_cost [--messages 200000] [--repeat 3]

A gap is an unsettled offset with a settled one above it. The other clients wait all the time, and get their turn.
"""

from __future__ import annotations

import argparse
import gc
import itertools
from collections.abc import Iterator
from time import perf_counter

from aiokafka import ConsumerRecord

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Entry, Pull, Settle
from fanout_app.core.settling import Settling

FETCH = 500


def fetches(start: int, count: int) -> list[list[ConsumerRecord]]:
    def record(offset: int) -> ConsumerRecord:
        return ConsumerRecord("t", 0, offset, 0, 0, None, b"x" * 100, None, -1, 100, ())

    return [[record(at + i) for i in range(FETCH)] for at in range(start, start + count, FETCH)]


def with_gaps(gaps: int) -> Dispatcher:
    """A dispatcher whose partition has every second offset settled, and the others in flight for a long time."""
    limits = Limits(max_ack_pending=10**9, buffer_bytes=1 << 60, client_limit=10**9)
    queue = Dispatcher(limits, new_batch=itertools.count(1).__next__, jitter=lambda: 0.5)
    queue.assign(0, LedgerSnapshot(settled=frozenset(range(1, 2 * gaps, 2))))
    for fetch in fetches(0, 2 * gaps):
        queue.offer(0, fetch[0].offset, fetch[-1].offset + 1, fetch)
        queue.add_pull(0.0, Pull(client="holder", max_messages=FETCH, max_bytes=1 << 40, ack_wait=1e6))
        queue.serve(0.0)
    return queue


def seconds(queue: Dispatcher, batch: int, clients: int, rounds: list[list[ConsumerRecord]]) -> float:
    names: Iterator[str] = itertools.cycle([f"client-{number}" for number in range(clients)])
    for _ in range(clients):
        queue.add_pull(0.0, Pull(client=next(names), max_messages=batch))
    began, now = perf_counter(), 0.0
    for fetch in rounds:
        queue.offer(0, fetch[0].offset, fetch[-1].offset + 1, fetch)
        while queue.partitions[0].fresh:
            now += 1e-5
            for _, answer in queue.serve(now):
                settling = Settling(queue, now)
                settling.run(Settle(ack=[Entry(token="t", ref=BatchRef(0, answer.batch))]))
                queue.add_pull(now, Pull(client=answer.client, max_messages=batch))
    took = perf_counter() - began
    assert not queue.partitions[0].fresh
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print("batch  clients     gaps  us/message")
    for batch, clients, gaps in itertools.product((500, 1), (1, 1000), (0, 100_000)):
        best = float("inf")
        for _ in range(options.repeat):
            queue = with_gaps(gaps)
            rounds = fetches(2 * gaps, options.messages if batch > 1 else options.messages // 10)
            gc.collect()
            best = min(best, seconds(queue, batch, clients, rounds) / (len(rounds) * FETCH))
        print(f"{batch:5}  {clients:7}  {gaps:7}  {best * 1e6:10.2f}")


if __name__ == "__main__":
    main()
