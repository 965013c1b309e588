"""Consumers of one share group with confluent-kafka, a process each; the twin of java/src/main/java/bench/Drain.java.

Runs in an environment of its own, without the project: see share_groups.py.

    python share_client.py BROKERS GROUP TOPIC MESSAGES CONSUMERS BATCH implicit|explicit

Prints "first" with the first message and "last" with the last ack, waits for the end of its input, then prints one
JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from queue import Empty
from typing import Any, NamedTuple

from confluent_kafka import ShareConsumer  # type: ignore[import-not-found, unused-ignore]

#: Spawned, since threads of librdkafka do not survive a fork.
SPAWN = get_context("spawn")
#: Seconds; short, since nothing wakes a consumer when another one has the last message.
WAIT = 0.01
#: Nothing came at all for so long: give up.
PATIENCE = 60.0


class Job(NamedTuple):
    brokers: str
    group: str
    topic: str
    messages: int
    batch: int
    acks: str


class Taken(NamedTuple):
    """What one consumer came to."""

    numbers: bytes
    #: On the machine's monotonic clock, in seconds; none when nothing came.
    first: float | None
    #: When all it took was acked.
    last: float
    #: Seconds since its first message.
    cpu: float


def consume(job: Job, number: int, arrived: Synchronized[int], answers: Any) -> None:
    """One consumer, until as many messages came to all of them together as there are."""
    consumer = ShareConsumer(
        {
            "bootstrap.servers": job.brokers,
            "group.id": job.group,
            "share.acknowledgement.mode": job.acks,
            "max.poll.records": job.batch,
        }
    )
    consumer.subscribe([job.topic])
    heads: list[bytes] = []
    first = None
    cpu = 0.0
    until = time.monotonic() + PATIENCE
    while arrived.value < job.messages:
        messages = consumer.poll(WAIT)
        if not messages:
            if time.monotonic() > until:
                raise SystemExit(f"nothing came: {arrived.value} of {job.messages} so far")
            continue
        if first is None:
            first, cpu = time.monotonic(), time.process_time()
            answers.put("first")
        heads += [head_of(message) for message in messages]
        if job.acks == "explicit":
            for message in messages:
                consumer.acknowledge(message)
            commit(consumer)
        with arrived.get_lock():
            arrived.value += len(messages)
        until = time.monotonic() + PATIENCE
    commit(consumer)
    last = time.monotonic()
    answers.put(Taken(b"".join(heads), first, last, time.process_time() - cpu if first else 0.0))
    consumer.close()


def head_of(message: Any) -> bytes:
    """The eight bytes that number a message."""
    if message.error():
        raise SystemExit(f"instead of a message: {message.error()}")
    value: bytes = message.value()[:8]
    return value


def commit(consumer: ShareConsumer) -> None:
    """What was polled is acked when this returns."""
    for partition, error in consumer.commit_sync().items():
        if error:
            raise SystemExit(f"not acked: {partition}: {error}")


def main() -> None:
    brokers, group, topic, messages, consumers, batch, acks = sys.argv[1:]
    job = Job(brokers, group, topic, int(messages), int(batch), acks)
    arrived: Any = SPAWN.Value("q", 0)
    answers: Any = SPAWN.Queue()
    processes = [SPAWN.Process(target=consume, args=(job, n, arrived, answers)) for n in range(int(consumers))]
    began = time.monotonic()
    for process in processes:
        process.start()
    taken: list[Taken] = []
    begun = False
    while len(taken) < len(processes):
        try:
            answer = answers.get(timeout=1)
        except Empty:
            if any(process.exitcode for process in processes):
                for process in processes:
                    process.terminate()
                raise SystemExit("a consumer ended early") from None
            continue
        if isinstance(answer, Taken):
            taken.append(answer)
        elif not begun:
            begun = True
            print("first", flush=True)
    print("last", flush=True)
    sys.stdin.read()
    last = max(one.last for one in taken)
    first = min(one.first for one in taken if one.first)
    heads = b"".join(one.numbers for one in taken)
    numbers = {heads[at : at + 8] for at in range(0, len(heads), 8)}
    print(
        json.dumps(
            {
                "messages": len(numbers),
                "duplicates": len(heads) // 8 - len(numbers),
                "seconds": last - first,
                "until_first": first - began,
                "cpu_clients": sum(one.cpu for one in taken),
            }
        )
    )
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
