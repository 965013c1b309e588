"""CPU of taking a message in: our transport, which passes fetches on, beside stock Faust, which passes records on.

    python -m benchmarks.intake_cost [--messages 200000] [--repeat 3]

Both run an agent that only counts, each in a process of its own, on the same topic in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import faust

from benchmarks.support import cpu_seconds, fill, stack
from fanout_app.kafka.transport import BatchTransport

PARTITIONS = 4


class Counter:
    """Counts messages and ends the process with the figure when all are there."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._seen = 0
        self._began: tuple[float, float] | None = None

    def count(self, messages: int) -> None:
        if self._began is None:
            self._began = (time.monotonic(), cpu_seconds(os.getpid()))
        self._seen += messages
        if self._seen >= self._messages:
            took, cpu = time.monotonic() - self._began[0], cpu_seconds(os.getpid()) - self._began[1]
            os.write(1, b"%f %f\n" % (took, cpu))
            os._exit(0)


class EveryFetch:
    """An intake that takes all there is, from the beginning."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def wants(self, partition: int) -> bool:
        return True

    async def start(self, partitions: set[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def position(self, partition: int, position: int) -> int | None:
        return None

    def committable(self) -> dict[int, int]:
        return {}

    def committed(self, offsets: dict[int, int]) -> None: ...


class Batched(faust.App):  # type: ignore[misc]
    """An app on our transport."""

    isolation_level = "read_committed"
    intake: EveryFetch

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)


def consume(mode: str, brokers: str, topic: str, messages: int) -> None:
    """Run one of the two until it has seen everything."""
    make = Batched if mode == "batched" else faust.App
    app = make(
        f"intake-{mode}-{time.time_ns()}", broker=f"kafka://{brokers}", web_enabled=False, store="memory://",
        topic_disable_leader=True, stream_wait_empty=False,
    )  # fmt: skip
    app.intake = EveryFetch(topic)
    app._create_directories = lambda: None
    counter = Counter(messages)

    @app.agent(app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw"))  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for event in stream.noack().events():
            counter.count(len(event.message.value.messages) if mode == "batched" else 1)

    app.Worker(quiet=True, loglevel="CRITICAL").execute_from_commandline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--consume", nargs=3, metavar=("MODE", "BROKERS", "TOPIC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.consume:
        mode, brokers, topic = args.consume
        consume(mode, brokers, topic, args.messages)
        return
    cpu: dict[str, list[float]] = {"stock": [], "batched": []}
    with stack("bench-intake") as brokers:
        topic = f"intake-{time.time_ns()}"
        asyncio.run(fill(brokers, topic, partitions=PARTITIONS, messages=args.messages, size=100))
        for _ in range(args.repeat):
            for mode, figures in cpu.items():
                run = subprocess.run(
                    [sys.executable, "-m", "benchmarks.intake_cost", "--messages", str(args.messages),
                     "--consume", mode, brokers, topic],
                    check=True, stdout=subprocess.PIPE, text=True, timeout=300,
                )  # fmt: skip
                figures.append(float(run.stdout.split()[-1]) / args.messages * 1e6)
                print(f"{mode}: {figures[-1]:.2f} us a message", file=sys.stderr)
    medians = {mode: statistics.median(figures) for mode, figures in cpu.items()}
    print(
        f"CPU of intake a message: stock Faust {medians['stock']:.1f} us, in fetches {medians['batched']:.1f} us, "
        f"ratio {medians['stock'] / medians['batched']:.1f} (medians of {args.repeat})"
    )


if __name__ == "__main__":
    main()
