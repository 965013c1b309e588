"""Produces stamped messages to Kafka at a steady rate: linger 0, acks=all, in a process and an environment of its own.

    python -m benchmarks.peers.paced_producer BROKERS TOPIC PARTITIONS RATE MESSAGES UNCOUNTED SIZE

Each message is stamped with the wall clock just before it goes to the producer. Prints a JSON document with percentiles
in milliseconds, as of `Percentiles`: "late" behind the pace, and "produced" from the stamp to the broker's answer,
without those of the UNCOUNTED first messages.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from threading import Event, Thread
from typing import Any

from confluent_kafka import Producer  # type: ignore[import-not-found, unused-ignore]

from benchmarks.peers.pace import due_in_turn
from benchmarks.peers.percentiles import percentiles
from benchmarks.peers.system import number_of, stamped

#: Seconds within which the broker has to have everything.
PATIENCE = 30.0


def main() -> None:
    brokers, topic, *numbers = sys.argv[1:]
    partitions, rate, messages, uncounted, size = map(int, numbers)
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "linger.ms": 0,
            "acks": "all",
            "socket.nagle.disable": True,
            # As Kafka's own producer has it. librdkafka sets no limit, and makes a request of each message however far
            # the broker is behind: at 5,000 messages a second it then never gets out of that again.
            "max.in.flight.requests.per.connection": 5,
        }
    )
    # Connected, and with what it has to know of the topic: the first message is no later than the others.
    producer.list_topics(topic, timeout=PATIENCE)
    late: list[float] = []
    produced: list[float | None] = [None] * messages

    def delivered(error: Any, message: Any) -> None:
        if error:
            print(f"not produced: {error}", file=sys.stderr)
            return
        produced[number_of(message.value())] = message.latency()

    # In a thread, so that an answer is timed when it comes, and not when the next message is due.
    polling = Thread(target=_poll, args=(producer, over := Event()))
    polling.start()
    for number, behind in due_in_turn(rate, messages, time.monotonic, time.sleep):
        late.append(behind)
        value = stamped(number, time.time_ns(), size)
        producer.produce(topic, value, partition=number % partitions, on_delivery=delivered)
    until = time.monotonic() + PATIENCE
    while len(producer) and time.monotonic() < until:
        time.sleep(0.01)
    over.set()
    polling.join()
    missing = produced.count(None)
    if missing:
        raise SystemExit(f"{missing} of {messages} messages were not produced")
    timed = {"late": late, "produced": [seconds for seconds in produced if seconds is not None]}
    print(json.dumps({name: asdict(percentiles(seconds[uncounted:])) for name, seconds in timed.items()}))


def _poll(producer: Producer, over: Event) -> None:
    """Serves what the broker answers."""
    while not over.is_set():
        producer.poll(0.05)


if __name__ == "__main__":
    main()
