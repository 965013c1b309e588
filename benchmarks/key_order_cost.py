"""What order by key costs a message in the core, in us and in bytes, with few keys and with many.

    python -m benchmarks.key_order_cost [--messages 1000000] [--repeat 3] [--json FILE]

Keys are drawn by chance. Twenty clients pull up to 100 messages each and ack them when all have theirs, so with few
keys many messages wait for others of their key. Both orders do the same in turn; a ratio is that of the best runs, by
the CPU clock of the process.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

from aiokafka import ConsumerRecord

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.key_order import KeyOrder
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Entry, Pull, Settle
from fanout_app.core.settling import Settling

FETCH = 500
CLIENTS = 20
BATCH = 100
WINDOW = 10_000
KEYS = (1000, 100_000, 1_000_000)


def fetches(count: int, keys: int) -> Iterator[list[ConsumerRecord]]:
    """Where there are as many messages as keys, or fewer, no two have the same."""
    drawn = random.Random(keys)
    numbers = drawn.sample(range(keys), count) if count <= keys else [drawn.randrange(keys) for _ in range(count)]
    for at in range(0, count, FETCH):
        yield [
            ConsumerRecord("t", 0, offset, 0, 0, b"key %07d" % numbers[offset], b"x" * 100, None, 11, 100, ())
            for offset in range(at, min(count, at + FETCH))
        ]


class Run:
    """One partition, and what the queue has taken for it so far."""

    def __init__(self, *, ordered: bool) -> None:
        limits = Limits(order_by_key=ordered, max_ack_pending=WINDOW, client_limit=BATCH)
        self.queue = Dispatcher(limits, new_batch=itertools.count(1).__next__, jitter=lambda: 0.5)
        self.partition = self.queue.assign(0, LedgerSnapshot())
        self.now = 0.0
        self.seconds = 0.0
        #: How many messages waited for others at the most.
        self.blocked = 0
        for number in range(CLIENTS):
            self._pull(f"client-{number}")

    def _pull(self, client: str) -> None:
        self.queue.add_pull(self.now, Pull(client=client, max_messages=BATCH))

    def take(self, fetch: list[ConsumerRecord]) -> None:
        began = process_time()
        while not self.queue.wants(0, self.now):
            self.work()
        self.queue.offer(0, fetch[0].offset, fetch[-1].offset + 1, fetch)
        if self.partition.held > WINDOW // 2:
            self.work()
        self.seconds += process_time() - began

    def work(self) -> None:
        """All clients are handed what there is, then all of them ack it."""
        self.now += 1e-3
        self.blocked = max(self.blocked, self.partition.blocked)
        for _, answer in self.queue.serve(self.now):
            settling = Settling(self.queue, self.now)
            settling.run(Settle(ack=[Entry(token="t", ref=BatchRef(0, answer.batch))]))
            self._pull(answer.client)

    def finish(self) -> None:
        began = process_time()
        while self.partition.held:
            self.work()
        self.seconds += process_time() - began
        order = self.partition.key_order
        assert order is None or repr(order) == "<KeyOrder chains=0 blocked=0>"


def run(messages: int, keys: int, *, ordered: bool) -> Run:
    gc.collect()
    one = Run(ordered=ordered)
    for fetch in fetches(messages, keys):
        one.take(fetch)
    one.finish()
    return one


def memory(messages: int, keys: int) -> dict[str, float]:
    """Bytes of the chains of so many messages that are held at once, each; and of what they leave behind."""
    found = list(fetches(messages, keys))
    order = KeyOrder()
    gc.collect()
    tracemalloc.start()
    for fetch in found:
        order.admit(fetch)
    held = tracemalloc.get_traced_memory()[0]
    for offset in range(messages):
        order.settled([offset])
    # A dictionary gives its room back when it next grows into it: as many again pass, in a window.
    for fetch in found:
        order.admit(fetch)
        order.settled([record.offset for record in fetch])
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"held": held / messages, "left": left / messages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("     keys  none us  key us  ratio  most blocked  bytes held  bytes left")
    for keys in KEYS:
        best: dict[bool, float] = {}
        blocked = 0
        for _ in range(options.repeat):
            for ordered in (False, True):
                one = run(options.messages, keys, ordered=ordered)
                best[ordered] = min(best.get(ordered, float("inf")), one.seconds / options.messages * 1e6)
                blocked = max(blocked, one.blocked)
        bytes_of = memory(options.messages, keys)
        ratio = best[True] / best[False]
        print(
            f"{keys:9}  {best[False]:7.2f} {best[True]:7.2f}  {ratio:5.2f}  {blocked:12}  "
            f"{bytes_of['held']:10.1f}  {bytes_of['left']:10.3f}"
        )
        rows.append({"keys": keys, "none_us": best[False], "key_us": best[True], "blocked": blocked, **bytes_of})
    if options.json:
        options.json.write_text(json.dumps({"messages": options.messages, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
