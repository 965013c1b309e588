"""One worker in depth: what one held message, many gaps, nobody at all and poison cost, beside a run without them.

    python -m benchmarks.in_depth held|gaps|idle|poison [--messages N] [--json FILE]

Every part starts a Kafka and a worker of its own and prints its figures with what they are compared with. What must be
true whatever the machine (nothing lost, nothing acked that comes again) is asserted; times and ratios are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.clients import Load, Puller, get
from benchmarks.support import Worker, cpu_seconds, fill, rss_bytes, stack, started

PORT = 6191
SIZE = 100
BATCH = 500
ROUNDS = 3
#: Seconds that are measured, or that something takes.
HELD_FOR = WAITING_FOR = 60
NOBODY_FOR = 30
CLIENT_TTL = 2
Figures = dict[str, float]


def held(brokers: str, messages: int) -> Figures:
    """One message is held for a minute while all later ones of its partition are delivered and acked."""
    asyncio.run(fill(brokers, "held", partitions=1, messages=messages, size=SIZE))
    plain = _drained(brokers, "held", "plain", messages, holding=False)
    with_one = _drained(brokers, "held", "holding", messages, holding=True)
    return {
        "rate": with_one["rate"],
        "rate_without": plain["rate"],
        "longest_stall_s": with_one["stall"],
        "longest_stall_without_s": plain["stall"],
        "cpu_us": with_one["cpu_us"],
        "cpu_us_without": plain["cpu_us"],
        "cost_ratio": with_one["cpu_us"] / plain["cpu_us"],
    }


def _drained(brokers: str, topic: str, id: str, messages: int, *, holding: bool) -> Figures:
    with started(brokers, id, topic, PORT) as worker:
        return uvloop.run(_drain(worker, messages, holding=holding))


async def _drain(worker: Worker, messages: int, *, holding: bool) -> Figures:
    holder = await Puller.connect(PORT, "holder")
    kept: list[str] = []
    since = time.monotonic()
    if holding:
        kept = [message["lease"] for message in (await holder.pull(1, ack_wait_ms=180_000))["messages"]]
    load = Load(PORT, clients=4, batch=BATCH)
    cpu = cpu_seconds(worker.pid)
    await load.drain(messages - len(kept))
    cpu = cpu_seconds(worker.pid) - cpu
    if holding:
        await asyncio.sleep(max(0.0, HELD_FOR - (time.monotonic() - since)))
        row = (await get(PORT, "/v1/partitions"))["partitions"][0]
        assert (row["floor"], row["settled_above_floor"]) == (0, messages - 1), row
        print(
            f"held for {time.monotonic() - since:.0f} s, its ledger row has {row['row_bytes']} bytes", file=sys.stderr
        )
        await holder.settle(ack=kept)
        row = (await get(PORT, "/v1/partitions"))["partitions"][0]
        assert row["floor"] == messages, row
    return {"rate": messages / load.seconds, "stall": load.longest_stall, "cpu_us": cpu / messages * 1e6}


def gaps(brokers: str, messages: int) -> Figures:
    """Every second of the first messages is acked and the worker killed; then work goes on above what is left.

    Beside it the same with every one of the first messages acked, in turn, several times: medians.
    """
    further = 3 * messages
    asyncio.run(fill(brokers, "gaps", partitions=1, messages=messages + further, size=SIZE))
    options = ("--max-ack-pending", "1000000", "--client-limit", "1000000", "--buffer-bytes", "4GiB")
    runs: dict[int, list[Figures]] = {1: [], 2: []}
    for turn in range(ROUNDS):
        for every, done in runs.items():
            id = f"every-{every}-turn-{turn}"
            with started(brokers, id, "gaps", PORT, *options) as worker:
                uvloop.run(_ack_every(every, messages))
                worker.kill()
            with started(brokers, id, "gaps", PORT, *options) as worker:
                done.append(uvloop.run(_work_on(worker, every, messages, further)))
    medians = {every: _medians(done) for every, done in runs.items()}
    return {
        "gaps": messages // 2,
        **medians[2],
        "rate_without": medians[1]["rate"],
        "cpu_us_without": medians[1]["cpu_us"],
        "cost_ratio": medians[2]["cpu_us"] / medians[1]["cpu_us"],
    }


def _medians(runs: list[Figures]) -> Figures:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


async def _ack_every(every: int, messages: int) -> None:
    """Ack every so many of the first offsets."""
    puller = await Puller.connect(PORT, "gaps")
    taken = 0
    while taken < messages:
        answer = await puller.pull(min(BATCH, messages - taken), ack_wait_ms=600_000)
        acked = [message["lease"] for message in answer["messages"] if message["offset"] % every == 0]
        settled = await puller.settle(ack=acked)
        assert settled["acked"] == len(acked), settled
        taken += len(answer["messages"])


async def _work_on(worker: Worker, every: int, messages: int, further: int) -> Figures:
    """What was not acked is held, as it was; then further messages are delivered and acked above these gaps."""
    holder = await Puller.connect(PORT, "holder")
    left = messages - messages // every
    wrong = taken = 0
    while taken < left:
        answer = await holder.pull(min(BATCH, left - taken), ack_wait_ms=600_000)
        wrong += sum(message["offset"] % every == 0 for message in answer["messages"])
        taken += len(answer["messages"])
    assert wrong == 0, f"{wrong} messages that were acked durably came again"
    # Everything is fetched before, so that the same is measured with gaps and without.
    await holder.pull(1, wait_ms=0, ack_wait_ms=50)
    await _until_fetched(messages + further)
    load = Load(PORT, clients=4, batch=BATCH)
    cpu = cpu_seconds(worker.pid)
    await load.drain(further)
    cpu = cpu_seconds(worker.pid) - cpu
    row = (await get(PORT, "/v1/partitions"))["partitions"][0]
    assert row["in_flight"] == left, row
    return {
        "came_again_that_was_acked": wrong,
        "cpu_us": cpu / further * 1e6,
        "rate": further / load.seconds,
        "row_bytes": row["row_bytes"],
    }


async def _until_fetched(offset: int) -> None:
    row: dict[str, int] = {"next_offset": 0}
    while row["next_offset"] < offset:
        row = (await get(PORT, "/v1/partitions"))["partitions"][0]


def idle(brokers: str, messages: int) -> Figures:
    """Nobody asks while messages wait; then a hundred wait while no message comes."""
    figures: Figures = {}
    asyncio.run(fill(brokers, "idle", partitions=4, messages=4, size=SIZE))
    with started(brokers, "nobody", "idle", PORT, "--client-ttl", f"{CLIENT_TTL}s") as worker:
        figures |= uvloop.run(_nobody(brokers, worker, messages))
    asyncio.run(fill(brokers, "empty", partitions=4, messages=0, size=SIZE))
    with started(brokers, "waiting", "empty", PORT) as worker:
        figures |= uvloop.run(_waiting(worker))
    return figures


async def _nobody(brokers: str, worker: Worker, messages: int) -> Figures:
    load = Load(PORT, clients=2, batch=1)
    await load.drain(4)
    await asyncio.sleep(2 * CLIENT_TTL)  # nobody is alive any more
    before, rss = await _positions(), rss_bytes(worker.pid)
    await fill(brokers, "idle", partitions=4, messages=messages, size=1000)
    cpu, began = cpu_seconds(worker.pid), time.monotonic()
    await asyncio.sleep(NOBODY_FOR)
    busy = (cpu_seconds(worker.pid) - cpu) / (time.monotonic() - began)
    after, grown = await _positions(), rss_bytes(worker.pid) - rss
    assert before == after, (before, after)
    puller = await Puller.connect(PORT, "somebody")
    began = time.monotonic()
    answer = await puller.pull(1)
    assert answer["messages"]
    return {
        "messages_waiting": messages,
        "fetched_without_clients": sum(after) - sum(before),
        "rss_grown_mib": grown / (1 << 20),
        "cpu_share_without_clients": busy,
        "first_message_after_s": time.monotonic() - began,
    }


async def _positions() -> list[int]:
    return [row["next_offset"] for row in (await get(PORT, "/v1/partitions"))["partitions"]]


async def _waiting(worker: Worker) -> Figures:
    pullers = [await Puller.connect(PORT, f"waiting {number}") for number in range(100)]

    async def wait(puller: Puller) -> None:
        while True:
            await puller.pull(1, wait_ms=50_000)

    tasks = [asyncio.create_task(wait(puller)) for puller in pullers]
    await asyncio.sleep(2.0)  # all of them wait
    cpu, began = cpu_seconds(worker.pid), time.monotonic()
    await asyncio.sleep(WAITING_FOR)
    busy = (cpu_seconds(worker.pid) - cpu) / (time.monotonic() - began)
    assert (await get(PORT, "/v1/status"))["waiting_pulls"] >= 99
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"waiting_pulls": 100, "cpu_share_with_waiting_pulls": busy}


def poison(brokers: str, messages: int) -> Figures:
    """One in a hundred is nacked by everyone; five deliveries, then the dead-letter topic. The others' times."""
    figures: Figures = {}
    times: dict[str, list[float]] = {}
    for id, one_in in (("clean", 0), ("poison", 100)):
        for topic in (id, f"{id}-dead"):
            asyncio.run(fill(brokers, topic, partitions=4, messages=0, size=SIZE))
        options = ("--max-deliver", "5", "--dead-letter-topic", f"{id}-dead")
        with started(brokers, id, id, PORT, *options):
            times[id] = uvloop.run(_poisoned(brokers, id, messages, one_in))
        dead = asyncio.run(_values(brokers, f"{id}-dead"))
        expected = [b"%d" % number for number in range(messages) if one_in and number % one_in == 0]
        assert sorted(set(dead)) == sorted(expected), f"{len(dead)} dead letters, {len(expected)} expected"
        figures |= {f"{id}_dead_letters": len(dead), f"{id}_dead_letters_twice": len(dead) - len(expected)}
    for id, taken in times.items():
        figures[f"{id}_p50_ms"] = statistics.median(taken) * 1000
        figures[f"{id}_p99_ms"] = statistics.quantiles(taken, n=100)[98] * 1000
    figures["p99_ratio"] = figures["poison_p99_ms"] / figures["clean_p99_ms"]
    return figures


async def _poisoned(brokers: str, topic: str, messages: int, one_in: int) -> list[float]:
    """Produce at a steady pace; returns the seconds from the write of each good message to its ack."""
    written: dict[int, float] = {}
    taken: dict[int, float] = {}
    good = messages - (len(range(0, messages, one_in)) if one_in else 0)

    async def work(name: str) -> None:
        puller = await Puller.connect(PORT, name)
        while len(taken) < good or (await get(PORT, "/v1/status"))["lag"]:
            answer = await puller.pull(10, wait_ms=500, encoding="utf8")
            bad = [m for m in answer["messages"] if one_in and int(m["value"]) % one_in == 0]
            fine = [m for m in answer["messages"] if m not in bad]
            if answer["messages"]:
                await puller.settle(ack=[m["lease"] for m in fine], nack=[{"lease": m["lease"]} for m in bad])
            now = time.monotonic()
            taken.update((number, now - written[number]) for m in fine if (number := int(m["value"])) not in taken)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(work(f"client {number}"))
        producer = AIOKafkaProducer(bootstrap_servers=brokers)
        await producer.start()
        began = time.monotonic()
        for number in range(messages):
            written[number] = time.monotonic()
            await producer.send(topic, b"%d" % number, partition=number % 4)
            await asyncio.sleep(max(0.0, began + number / 500 - time.monotonic()))
        await producer.stop()
    return list(taken.values())


async def _values(brokers: str, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(tps)
        values: list[bytes] = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


PARTS: dict[str, tuple[Callable[[str, int], Figures], int]] = {
    "held": (held, 1_000_000),
    "gaps": (gaps, 200_000),
    "idle": (idle, 100_000),
    "poison": (poison, 10_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--messages", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    part, messages = PARTS[args.part]
    with ExitStack() as until_done:
        brokers = until_done.enter_context(stack(f"bench-{args.part}"))
        figures = part(brokers, args.messages or messages)
    for name, figure in figures.items():
        print(f"{name:>32}  {figure:,.3f}".rstrip("0").rstrip("."))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
