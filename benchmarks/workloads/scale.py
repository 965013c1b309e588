"""The same drain by 1, 2 and 4 workers, each of which owns its share of the partitions.

Clients are dealt out to the workers in turn, and get messages of any partition. Where there are fewer cores than
processes the rate says little: what counts is the CPU of all workers for the same messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.worker import workers
from benchmarks.workloads.drained import Drained, Load, drained, warm_kafka
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

SYSTEM = "fanout"
NUMBERS = (1, 2, 4)
PARTITIONS = 8
SIZE = 100
#: By how each case begins; JSON.
LOADS = {"batches of 500, 8 clients": Load(400_000, 8, 500), "batches of 1, 32 clients": Load(20_000, 32, 1)}
QUICK = {500: 40_000, 1: 1000}


def case_of(load: str, number: int) -> str:
    """The case of so many workers."""
    return f"{load}, {number} worker{'s' if number > 1 else ''}"


class Scale:
    """Each number of workers in its turn, with a new id."""

    name = "scale"
    title = f"A drain by 1, 2 and 4 workers that own {PARTITIONS} partitions together: CPU for the same messages"
    with_peers = False
    #: None is asked for: two cores cannot show more than the CPU.
    ratios: Sequence[Ratio] = ()

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        cases = [
            (case_of(name, number), load, number)
            for name, load in LOADS.items()
            for number in NUMBERS
            if given.wants(case_of(name, number))
        ]
        if not cases:
            return
        filled: set[str] = set()
        async with warm_kafka(given.where, quick=given.quick) as stack:
            for case, load, number in cases:
                if given.quick:
                    load = Load(QUICK[load.batch], load.clients, load.batch)
                topic = f"scale-{load.messages}"
                if topic not in filled:
                    await stack.fill(topic, messages=load.messages, size=SIZE, partitions=PARTITIONS)
                    filled.add(topic)
                yield row_of(case, await measured(stack, topic, given.where, load, number))


async def measured(stack: KafkaStack, topic: str, where: Path, load: Load, number: int) -> Drained:
    """One drain, by so many new workers, once they have their shares."""
    async with workers(stack, topic, where, count=number) as some:
        await some.settled(PARTITIONS)
        pids = {"workers": [member.pid for member in some.members], "broker": stack.broker_pids()}
        return await drained([member.port for member in some.members], load, pids)


def row_of(case: str, run: Drained) -> Row:
    """CPU of all workers together, and how all that was used is shared out."""
    total = sum(run.cpu.values())
    return Row(
        SYSTEM,
        case,
        {
            "msg/s": run.rate,
            "workers CPU s/1,000 msg": run.us("workers") / 1000,
            "workers, % of all CPU": 100 * run.cpu["workers"] / total,
            "broker, % of all CPU": 100 * run.cpu["broker"] / total,
            "load generator, % of all CPU": 100 * run.cpu["load"] / total,
        },
    )


WORKLOAD: Workload = Scale()
