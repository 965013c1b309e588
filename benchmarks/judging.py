"""How long it takes to judge a history of 20 minutes: ``PYTHONPATH=tests python -m benchmarks.judging [MESSAGES]``.

The history is made up: three workers, six partitions, a pull and an ack a message, one in fifty of them not acked and
handed out again later, thousands of pulls that came back empty and thousands whose connection was cut.
"""

from __future__ import annotations

import random
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from support.histories.events import (
    AnyEvent,
    Began,
    Committed,
    DrainBegan,
    DrainEnded,
    Entry,
    Handed,
    Launched,
    Produced,
    Producing,
    Pulled,
    Pulling,
    Sampled,
    Settled,
    Settling,
    encode,
)
from support.histories.verdict import judged

MESSAGES = 200_000
SECONDS = 1200.0
PARTITIONS = 6
WORKERS = 3
EMPTY = 6_000
CUT = 6_000


def made_up(messages: int) -> list[AnyEvent]:
    dice = random.Random(0)
    ops = iter(range(1, 1 << 40))
    leases = iter(range(1, 1 << 40))
    ends = dict.fromkeys(range(PARTITIONS), 0)
    events: list[AnyEvent] = []

    def handed_out(at: float, partition: int, offset: int, count: int, *, acked: bool) -> None:
        pull, settle, lease, worker = next(ops), next(ops), next(leases), dice.randint(1, WORKERS)
        client = f"c{dice.randrange(20)}"
        one = Handed(
            lease=lease, partition=partition, offset=offset, delivery_count=count, key="k", body=f"{partition}/{offset}"
        )
        events.extend((
            Pulling(at=at, op=pull, client=client, worker=worker, wait_ms=1500, ack_wait_ms=5000),
            Pulled(at=at + 0.01, op=pull, outcome="answered", status=200, messages=[one]),
        ))  # fmt: skip
        if acked:
            entry = Entry(verb="ack", lease=lease)
            events.extend((
                Settling(at=at + 0.02, op=settle, client=client, worker=worker, entries=[entry]),
                Settled(at=at + 0.03, op=settle, outcome="answered", status=200, statuses=["ok"]),
            ))  # fmt: skip

    for number in range(messages):
        at, partition, op = SECONDS * number / messages, number % PARTITIONS, next(ops)
        offset = ends[partition]
        ends[partition] += 1
        events.extend((
            Producing(at=at, op=op, partition=partition, key="k", body=f"{partition}/{offset}"),
            Produced(at=at + 0.005, op=op, outcome="ok", offset=offset),
        ))  # fmt: skip
        again = dice.random() < 0.02
        handed_out(at + 0.01, partition, offset, 1, acked=not again)
        if again:
            handed_out(at + 5.1, partition, offset, 2, acked=True)
    for number, (outcome, count) in enumerate((("answered", EMPTY), ("unknown", CUT))):
        for turn in range(count):
            at, op = SECONDS * turn / count, next(ops)
            wait = 6.0 if outcome == "answered" else 0.1
            events += [
                Pulling(at=at, op=op, client=f"w{turn % 20}", worker=1 + number, wait_ms=6000, ack_wait_ms=700),
                Pulled(at=at + wait, op=op, outcome=outcome, status=204, empty="no-message"),  # type: ignore[arg-type]
            ]
    for tick in range(int(SECONDS * 10)):
        at = tick / 10
        events += [Sampled(at=at, sent=at, worker=worker, generation=1) for worker in range(1, WORKERS + 1)]
        floor = {partition: max(0, int(end * (at - 10) / SECONDS)) for partition, end in ends.items()}
        events.append(Committed(at=at, sent=at, offsets=floor))
    events.sort(key=lambda event: event.at)
    last = SECONDS + 20
    return [
        Began(at=0.0, plan={"seed": 0}),
        *(Launched(at=0.0, worker=worker) for worker in range(1, WORKERS + 1)),
        *events,
        DrainBegan(at=last),
        Committed(at=last, sent=last, offsets=ends),
        DrainEnded(at=last, complete=True, ends=ends),
    ]


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        events = made_up(messages)
        path.write_bytes(b"".join(map(encode, events)))
        count = len(events)
        del events
        began = monotonic()
        verdict = judged(path)
        took = monotonic() - began
    print(verdict.text())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} events, {took:.1f} s, at most {peak:.0f} MiB with what made it up")


if __name__ == "__main__":
    main()
