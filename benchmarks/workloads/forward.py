"""The same drain at the owner of all messages, and through a worker that owns nothing and passes everything on.

Two workers and a topic of one partition, so that one of them is a spare. All clients ask the owner, or all ask the
other one. Each drain has a new id with new workers, and both workers run in both. Both ways are measured in turn,
several times, and the median of each figure counts.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.worker import workers
from benchmarks.workloads.drained import Drained, Load, drained, warm_kafka
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

#: What they are called in the results.
DIRECT, FORWARDED = "fanout-at-the-owner", "fanout-forwarded"
RATE = "msg/s"
SIZE = 100
#: By the case.
LOADS = {
    "batches of 500, 4 clients": Load(300_000, 4, 500),
    "batches of 100, 4 clients": Load(100_000, 4, 100),
    "batches of 1, 4 clients": Load(5000, 4, 1),
}
QUICK = {500: 4000, 100: 4000, 1: 400}
#: How often each way is measured in a round; once in a quick one.
TURNS = 3


def owner_and_other(owned: Mapping[int, Sequence[int]]) -> tuple[int, int]:
    """The ports of the worker that has everything and of the one that has nothing. Raises ValueError for other ones."""
    (owner,) = [port for port, partitions in owned.items() if partitions]
    (other,) = [port for port, partitions in owned.items() if not partitions]
    return owner, other


class Forward:
    """Direct and forwarded one after the other, of each case."""

    name = "forward"
    title = "A drain through a worker that owns nothing, beside the same drain at the owner"
    with_peers = False
    ratios: Sequence[Ratio] = tuple(
        Ratio(
            f"{case}: msg/s through a worker that owns nothing, of those at the owner",
            (FORWARDED, case, RATE), (DIRECT, case, RATE), at_least=0.6,
        )
        for case, load in LOADS.items()
        # Of one message a request the way costs more than the message: what it is, is said.
        if load.batch > 1
    )  # fmt: skip

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        loads = {case: load for case, load in LOADS.items() if given.wants(case)}
        if not loads:
            return
        async with warm_kafka(given.where, quick=given.quick) as stack:
            for case, load in loads.items():
                if given.quick:
                    load = Load(QUICK[load.batch], load.clients, load.batch)
                topic = f"forward-{load.batch}"
                await stack.fill(topic, messages=load.messages, size=SIZE, partitions=1)
                rows: dict[str, list[Row]] = {DIRECT: [], FORWARDED: []}
                for turn in range(1 if given.quick else TURNS):
                    for system in rows if turn % 2 == 0 else reversed(rows):
                        run = await measured(system, stack, topic, given.where, load)
                        rows[system].append(row_of(system, case, run))
                for some in rows.values():
                    yield middle(some)


async def measured(system: str, stack: KafkaStack, topic: str, where: Path, load: Load) -> Drained:
    """One drain, by two new workers."""
    async with workers(stack, topic, where, count=2) as some:
        owner, other = owner_and_other(await some.settled(1))
        pids = {member.port: [member.pid] for member in some.members}
        counted = {"owner": pids[owner], "other": pids[other], "broker": stack.broker_pids()}
        return await drained([owner if system == DIRECT else other], load, counted)


def row_of(system: str, case: str, run: Drained) -> Row:
    """CPU is of each message; what the worker uses that is not asked is what it uses when idle."""
    return Row(
        system,
        case,
        {
            RATE: run.rate,
            "owner us/msg": run.us("owner"),
            "other worker us/msg": run.us("other"),
            "workers us/msg": run.us("owner") + run.us("other"),
            "broker us/msg": run.us("broker"),
            "load generator us/msg": run.us("load"),
        },
    )


def middle(rows: Sequence[Row]) -> Row:
    """One row of several of the same case, with the median of each figure."""
    names = rows[0].figures
    return replace(rows[0], figures={name: statistics.median(row.figures[name] for row in rows) for name in names})


WORKLOAD: Workload = Forward()
