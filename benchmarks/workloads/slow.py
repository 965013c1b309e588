"""Handlers that take their time: how much of it do clients spend on work, and how much on waiting for an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import Pids, load_generator, output_of, pids_argument
from benchmarks.peers.system import CannotRun
from benchmarks.peers.worker import Worker, workers
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

CLIENTS = 200
PARTITIONS = 2
SIZE = 100
WORK_MS = 10
#: Messages a second, if every answer came at once.
IDEAL = CLIENTS * 1000 / WORK_MS
#: Messages a pull: a client works on them one after the other, and acks all of them with its next pull.
BATCHES = (1, 5, 10, 20)
SECONDS = 10
QUICK_SECONDS = 2
#: More than can be worked on: of the warm-up, of the last round, and what machines make of a second.
SPARE_SECONDS = 3
OF_IDEAL = "% of the ideal"
NOTES = {
    "ideal": f"{CLIENTS} clients that work {WORK_MS} ms on each message, one after the other: {IDEAL:,.0f} msg/s",
    "rate": "of whole rounds of each client, added up; acks ride on the next pull, whose answer means they are durable",
    "work": "waiting, as for a database; the load generator's CPU is no handler's",
}


def case_of(batch: int) -> str:
    """How it is called in the results."""
    return f"{WORK_MS} ms a message, {CLIENTS} clients, batches of {batch}"


class SlowHandlers:
    """One topic, and one worker of a new id for each batch size."""

    name = "slow"
    title = f"{CLIENTS} clients work {WORK_MS} ms on each message, one worker, {PARTITIONS} partitions"
    with_peers = False
    ratios: Sequence[Ratio] = (
        Ratio(
            f"handlers of {WORK_MS} ms, batches of 20: percent of the ideal, of 100",
            ("fanout", case_of(20), OF_IDEAL), 100.0, at_least=0.95,
        ),
    )  # fmt: skip

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        seconds = QUICK_SECONDS if given.quick else SECONDS
        kafka = KafkaStack()
        try:
            load = await load_generator()
            await kafka.start()
            messages = round(IDEAL * (seconds + SPARE_SECONDS))
            await kafka.fill("slow", messages=messages, size=SIZE, partitions=PARTITIONS)
            for batch in BATCHES:
                if not given.wants(case_of(batch)):
                    continue
                async with workers(kafka, "slow", given.where) as some:
                    await some.settled(PARTITIONS)
                    (worker,) = some
                    pids: Pids = {"server": [worker.pid], "broker": kafka.broker_pids()}
                    said = await output_of([load, *_work(worker, batch, seconds), "-pids", pids_argument(pids)])
                yield row_of(batch, json.loads(said))
        except CannotRun as cannot:
            yield CannotBeRun("fanout", "", str(cannot))
        finally:
            await kafka.stop()


def _work(worker: Worker, batch: int, seconds: int) -> Sequence[str]:
    return [
        "work", "-urls", worker.url, "-clients", str(CLIENTS), "-batch", str(batch),
        "-work", f"{WORK_MS}ms", "-warm-up", "1s", "-for", f"{seconds}s",
    ]  # fmt: skip


def row_of(batch: int, said: Mapping[str, Any]) -> Row:
    """Of what the load generator printed."""
    acked = said["rate"] * said["seconds"]
    cpu = {f"{name} us/msg": seconds / acked * 1e6 for name, seconds in _named(said["cpu"]).items()}
    figures = {
        OF_IDEAL: said["rate"] / said["ideal"] * 100,
        "msg/s": said["rate"],
        "pull p50 ms": said["pull"]["p50"],
        "pull p99 ms": said["pull"]["p99"],
        "server, % of a core": said["cpu"]["server"] / said["seconds"] * 100,
        **cpu,
    }
    return Row("fanout", case_of(batch), figures, NOTES)


def _named(cpu: Mapping[str, float]) -> Mapping[str, float]:
    return {"clients" if name == "load" else name: seconds for name, seconds in cpu.items()}


WORKLOAD: Workload = SlowHandlers()
