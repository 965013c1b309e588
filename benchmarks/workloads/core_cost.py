"""What the queue alone costs a message: a fetch taken, handed out and acked by its batch; no HTTP, no Kafka.

    python -m benchmarks.workloads.core_cost [--messages 20000] [--batch 500] [--clients 1] [--partitions 1]
        [--gaps 0] [--waiting 0]

Prints {"us": ...}: CPU of this process for each message, one fetch of a batch at a time. A process of its own for each
measurement: what another one left in memory would be gone through by Python's garbage collection, too.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Entry, Pull, Settle
from fanout_app.core.settling import Settling

#: Messages a fetch where only the state before the measurement is made.
FETCH = 500
#: Seconds of the queue's own time that pass with each fetch: leases and clients stay alive throughout.
STEP = 1e-5


class Record(NamedTuple):
    """A message of 100 bytes."""

    offset: int
    timestamp: int = 0
    value: bytes = b"x" * 100
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class State:
    """What the queue has to do with while it is measured."""

    #: Messages of a fetch, and of an answer.
    batch: int = 500
    #: All of which wait all the time, and are served in turn.
    clients: int = 1
    #: Fetches come from each in turn.
    partitions: int = 1
    #: Settled offsets that have an unsettled one below, all of them in flight; in the first partition.
    gaps: int = 0
    #: Messages that are there when one is handed out, evenly over the partitions; a batch at least.
    waiting: int = 0


class Queue:
    """A dispatcher in that state."""

    def __init__(self, state: State) -> None:
        self._state = state
        limits = Limits(max_ack_pending=10**9, buffer_bytes=1 << 60, client_limit=10**9, max_row_bytes=1 << 60)
        self.dispatcher = Dispatcher(limits, new_batch=itertools.count(1).__next__, jitter=lambda: 0.5)
        self._ends = [0] * state.partitions
        self._turns = itertools.cycle(range(state.partitions))
        self._now = 0.0
        for number in range(state.partitions):
            holes = range(1, 2 * state.gaps, 2) if number == 0 else ()
            self.dispatcher.assign(number, LedgerSnapshot(settled=frozenset(holes)))
        self._open_gaps()
        self._fill(state.waiting - state.batch)
        for number in range(state.clients):
            self._wait(f"client-{number}")

    def _open_gaps(self) -> None:
        """The holder takes every second message of the first ones, for a long time."""
        while self._ends[0] < 2 * self._state.gaps:
            self._offer(0, self._records(0, min(FETCH, 2 * self._state.gaps - self._ends[0])))
            pull = Pull(client="holder", max_messages=FETCH, max_bytes=1 << 40, ack_wait=1e6)
            self.dispatcher.add_pull(self._now, pull)
            self.dispatcher.serve(self._now)

    def _fill(self, messages: int) -> None:
        while messages > 0:
            some = min(messages, FETCH)
            number = next(self._turns)
            self._offer(number, self._records(number, some))
            messages -= some

    def _records(self, number: int, some: int) -> list[Record]:
        at = self._ends[number]
        self._ends[number] += some
        return [Record(offset) for offset in range(at, at + some)]

    def fetches(self, messages: int) -> Iterator[tuple[int, Sequence[Record]]]:
        """So many messages, as they are to be given to `pass_through`, in this order."""
        for _ in range(max(1, messages // self._state.batch)):
            number = next(self._turns)
            yield number, self._records(number, self._state.batch)

    def pass_through(self, number: int, fetch: Sequence[Record]) -> int:
        """A fetch comes, and whoever's turn it is gets as many and acks them; how many these were."""
        self._now += STEP
        self._offer(number, fetch)
        acked = 0
        for _, answer in self.dispatcher.serve(self._now):
            entry = Entry(token="t", ref=BatchRef(answer.runs[0].partition, answer.batch))
            acked += Settling(self.dispatcher, self._now).run(Settle(ack=[entry])).acked
            self._wait(answer.client)
        return acked

    def _offer(self, number: int, fetch: Sequence[Record]) -> None:
        taken = self.dispatcher.offer(number, fetch[0].offset, fetch[-1].offset + 1, fetch)
        assert taken, f"a fetch of partition {number} does not follow the one before"

    def _wait(self, client: str) -> None:
        pull = Pull(client=client, max_messages=self._state.batch, max_bytes=1 << 40)
        self.dispatcher.add_pull(self._now, pull)


def cost(state: State, messages: int) -> float:
    """us of CPU a message. Raises RuntimeError if not each fetch led to as many acks."""
    queue = Queue(state)
    # What is there once only is not part of the cost of each: a thousand clients get their first turn.
    for number, fetch in queue.fetches(state.clients * state.batch):
        queue.pass_through(number, fetch)
    fetches = list(queue.fetches(messages))
    gc.collect()
    began = time.process_time()
    acked = sum(queue.pass_through(number, fetch) for number, fetch in fetches)
    used = time.process_time() - began
    if acked != len(fetches) * state.batch:
        raise RuntimeError(f"{acked} of {len(fetches) * state.batch} acked: {state}")
    return used / acked * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    for name, default in (("batch", 500), ("clients", 1), ("partitions", 1), ("gaps", 0), ("waiting", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = vars(parser.parse_args())
    messages = given.pop("messages")
    print(json.dumps({"us": cost(State(**given), messages)}))


if __name__ == "__main__":
    main()
