"""Clients at other workers than the owner of a message: what the way costs, and how evenly messages are spread.

    python -m benchmarks.forwarding [latency|shares|returned] [--rounds 3] [--json FILE]

Three workers, two partitions: one of the workers is a spare. Everything shares the CPUs of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections import Counter
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.clients import Puller, get
from benchmarks.support import fill, stack, started

PORTS = (6181, 6182, 6183)
PARTITIONS = 2
PACED = 100
LATENCY_MESSAGES = 500


async def settled_down() -> dict[int, list[int]]:
    """Wait until every partition has an owner and all workers know each other; port -> its partitions."""
    while True:
        workers = (await get(PORTS[0], "/v1/workers"))["workers"]
        owned = {int(row["address"].rpartition(":")[2]): row["partitions"] for row in workers}
        if set(owned) == set(PORTS) and sorted(chain(*owned.values())) == list(range(PARTITIONS)):
            return owned
        await asyncio.sleep(0.1)


async def latencies(brokers: str, topic: str, port: int, partition: int) -> list[float]:
    """Milliseconds from the sending of each of some paced messages to the moment a lone client has it."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    taken: list[float] = []

    async def take() -> None:
        client = await Puller.connect(port, f"only-{time.time_ns()}")
        ack: dict[str, Any] = {}
        while len(taken) < LATENCY_MESSAGES:
            answer = await client.pull(100, wait_ms=1000, encoding="utf8", **ack)
            now = time.monotonic()
            taken.extend((now - float(message["value"])) * 1000 for message in answer["messages"])
            ack = {"settle": {"ack": [answer["batch"]]}} if answer["messages"] else {}
        await client.settle(**ack["settle"])

    try:
        taking = asyncio.create_task(take())
        await asyncio.sleep(0.5)
        for _ in range(LATENCY_MESSAGES):
            await producer.send(topic, str(time.monotonic()).encode(), partition=partition)
            await asyncio.sleep(1 / PACED)
        await taking
    finally:
        await producer.stop()
    return taken


async def latency(brokers: str, topic: str, rounds: int) -> dict[str, Any]:
    owned = await settled_down()
    (spare,) = [port for port, numbers in owned.items() if not numbers]
    owner = next(port for port, numbers in owned.items() if 0 in numbers)
    other = next(port for port, numbers in owned.items() if numbers and 0 not in numbers)
    figures: dict[str, list[list[float]]] = {"owner": [], "other owner": [], "spare": []}
    for _ in range(rounds):
        for name, port in (("owner", owner), ("other owner", other), ("spare", spare)):
            figures[name].append(await latencies(brokers, topic, port, 0))
    return {
        name: {
            "p50_ms": round(statistics.median(statistics.median(one) for one in some), 2),
            "p99_ms": round(statistics.median(sorted(one)[int(len(one) * 0.99)] for one in some), 2),
        }
        for name, some in figures.items()
    }


async def drained(clients: dict[str, int], messages: int, most: int) -> tuple[Counter[str], float]:
    """Clients by the port they ask pull and ack until all is done: who got how many, and in which time."""
    got: Counter[str] = Counter()

    async def work(name: str, port: int) -> None:
        client = await Puller.connect(port, name)
        ack: dict[str, Any] = {}
        while got.total() < messages or ack:
            answer = await client.pull(most, wait_ms=300, **ack)
            got[name] += len(answer["messages"])
            ack = {"settle": {"ack": [answer["batch"]]}} if answer["messages"] else {}

    began = time.monotonic()
    await asyncio.gather(*(work(name, port) for name, port in clients.items()))
    return got, time.monotonic() - began


async def returned() -> tuple[int, int]:
    """Over all workers: messages that came back uncounted, and deliveries."""
    back = delivered = 0
    for port in PORTS:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        lines = [line for line in text.splitlines() if line.startswith("fanout_") and "{" not in line]
        values = dict(line.split(" ")[:2] for line in lines)
        back += int(float(values["fanout_returned_total"]))
        delivered += int(float(values["fanout_deliveries_total"]))
    return back, delivered


async def shares(brokers: str, topic: str, rounds: int) -> dict[str, Any]:
    await settled_down()
    places = {f"c{number}": PORTS[number % 3] for number in range(5)}
    spread = []
    for number in range(rounds):
        await fill_more(brokers, topic, 10_000)
        got, seconds = await drained(places, 10_000, 1)
        spread.append({name: round(100 * got[name] / got.total(), 1) for name in places} | {"rate": 10_000 / seconds})
        print(number, spread[-1], flush=True)
    return {"percent": spread}


async def backs(brokers: str, topic: str, rounds: int) -> dict[str, Any]:
    await settled_down()
    places = {f"c{number}": PORTS[number % 3] for number in range(12)}
    figures = []
    for paced in (False, True):
        before = await returned()
        if paced:
            producing = asyncio.create_task(trickle(brokers, topic, 2000))
        else:
            await fill_more(brokers, topic, 10_000)
        got, seconds = await drained(places, 2000 if paced else 10_000, 1)
        if paced:
            await producing
        after = await returned()
        back, delivered = after[0] - before[0], after[1] - before[1]
        figures.append({"paced": paced, "returned": back, "deliveries": delivered, "ratio": round(back / delivered, 4),
                        "rate": got.total() / seconds})  # fmt: skip
        print(figures[-1], flush=True)
    return {"runs": figures}


async def fill_more(brokers: str, topic: str, messages: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=5)
    await producer.start()
    for number in range(messages):
        await producer.send(topic, b"x" * 100, partition=number % PARTITIONS)
    await producer.stop()


async def trickle(brokers: str, topic: str, messages: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    for number in range(messages):
        await producer.send(topic, b"x" * 100, partition=number % PARTITIONS)
        await asyncio.sleep(0.002)
    await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["latency", "shares", "returned"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with stack("forwarding") as brokers:
        for part in given.parts:
            topic = f"forwarding-{part}"
            asyncio.run(fill(brokers, topic, partitions=PARTITIONS, messages=0, size=0))
            with ExitStack() as workers:
                for port in PORTS:
                    workers.enter_context(started(brokers, part, topic, port))
                measure = {"latency": latency, "shares": shares, "returned": backs}[part]
                figures[part] = asyncio.run(measure(brokers, topic, given.rounds))
                print(part, json.dumps(figures[part], indent=1), flush=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
