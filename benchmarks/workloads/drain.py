"""A topic full of messages, taken and acked as fast as it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.system import CannotRun, Drain, Run, System
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

#: Messages of a case with `--quick`.
QUICK = 2_000


@dataclass(frozen=True)
class Case:
    """One kind of drain, and how many messages each system gets: so many that it takes some seconds."""

    size: int
    batch: int
    clients: int
    #: By the systems that take part.
    messages: Mapping[str, int]

    @property
    def name(self) -> str:
        size = f"{self.size} B" if self.size < 1024 else f"{self.size // 1024} KiB"
        clients = "client" if self.clients == 1 else "clients"
        return f"{size}, batches of {self.batch}, {self.clients} {clients}"

    def drain(self, system: str, *, quick: bool) -> Drain:
        """What this system is to do."""
        messages = QUICK if quick else self.messages[system]
        batch = min(self.batch, AT_MOST.get(system, self.batch))
        return Drain(messages, self.size, PARTITIONS, self.clients, batch)


PARTITIONS = 4
#: The largest batches, where there is a limit; a case with larger ones is run with these, and its row says so.
AT_MOST = {"elasticmq": 10}

BULK = Case(
    100, 500, 4,
    {
        "fanout": 500_000,
        "fanout-msgpack": 500_000,
        "fanout-not-durable": 500_000,
        "aiokafka": 500_000,
        "nats": 300_000,
        "nats-sync": 50_000,
        "share-groups-java": 500_000,
        "share-groups-java-explicit": 500_000,
        "share-groups-python": 500_000,
        "share-groups-python-explicit": 500_000,
        "elasticmq": 40_000,
        "faust-agent": 50_000,
    },
)  # fmt: skip
HUNDREDS = Case(100, 100, 4, {"fanout": 300_000, "nats": 300_000, "nats-confirmed": 200_000})
TENS = Case(100, 10, 4, {"fanout": 100_000, "fanout-not-durable": 100_000, "elasticmq": 40_000})
SINGLES = Case(
    100, 1, 32,
    {"fanout": 20_000, "fanout-2-workers": 20_000, "kafka-pixy": 100_000, "empty-aiohttp": 100_000, "nats": 40_000},
)  # fmt: skip
KIBIBYTES = Case(1024, 500, 4, {"fanout": 200_000, "fanout-msgpack": 200_000})
#: fanout alone, for the shape of it: how far batches carry, and how many clients it takes.
SHAPE = tuple(
    Case(100, batch, clients, {"fanout": messages})
    for batch, messages in ((500, 300_000), (100, 200_000), (10, 50_000))
    for clients in (1, 8, 64)
)
CASES = (
    BULK,
    HUNDREDS,
    TENS,
    SINGLES,
    Case(100, 1, 1, {"fanout": 3_000, "kafka-pixy": 40_000, "empty-aiohttp": 40_000}),
    Case(100, 1, 8, {"fanout": 10_000, "kafka-pixy": 100_000, "empty-aiohttp": 100_000}),
    Case(100, 1, 64, {"fanout": 15_000, "kafka-pixy": 100_000, "empty-aiohttp": 100_000}),
    KIBIBYTES,
    *SHAPE,
    *(Case(1024, 500, clients, {"fanout": 200_000}) for clients in (1, 8, 64)),
    Case(1024, 100, 4, {"fanout": 100_000}),
    Case(1024, 10, 4, {"fanout": 50_000}),
    Case(1024, 1, 32, {"fanout": 20_000}),
)

RATE = "msg/s"
SERVER_CPU = "server us/msg"
#: What the workers could do with a core each, by the CPU they used: where there are fewer cores this is the figure.
RATE_OF_CORES = "msg/s, a core each"


class Draining:
    """Each system is started once a round, and goes through its cases.

    The first of them is run twice, and counts the second time: a broker that has just started hands out to share groups
    less than half as many messages a second, and uses twice the CPU for fanout, as it does from then on.
    """

    name = "drain"
    title = "Messages that wait are taken and acked, durably, as fast as it goes; 4 partitions"
    with_peers = True
    ratios: Sequence[Ratio] = (
        Ratio(
            "batches of 500: msg/s, of NATS JetStream with Python clients",
            ("fanout", BULK.name, RATE), ("nats", BULK.name, RATE), at_least=2.0,
        ),
        Ratio(
            "batches of 500: msg/s, of a bare aiokafka consumer",
            ("fanout", BULK.name, RATE), ("aiokafka", BULK.name, RATE), at_least=0.2,
        ),
        Ratio(
            "batches of 500, msgpack: msg/s, of a bare aiokafka consumer",
            ("fanout-msgpack", BULK.name, RATE), ("aiokafka", BULK.name, RATE), at_least=0.25,
        ),
        Ratio(
            "batches of 500: CPU of the worker a message, of 6 us",
            ("fanout", BULK.name, SERVER_CPU), 6.0, at_most=1.0,
        ),
        Ratio(
            "batches of 500, msgpack: CPU of the worker a message, of 6 us",
            ("fanout-msgpack", BULK.name, SERVER_CPU), 6.0, at_most=1.0,
        ),
        Ratio(
            "batches of 100: msg/s, of NATS JetStream with confirmed acks",
            ("fanout", HUNDREDS.name, RATE), ("nats-confirmed", HUNDREDS.name, RATE), at_least=3.0,
        ),
        Ratio(
            "batches of 1, 32 connections: msg/s, of requests to an empty handler",
            ("fanout", SINGLES.name, RATE), ("empty-aiohttp", SINGLES.name, RATE), at_least=0.7,
        ),
        Ratio(
            "batches of 1, 32 connections: CPU of the worker a message, of kafka-pixy's",
            ("fanout", SINGLES.name, SERVER_CPU), ("kafka-pixy", SINGLES.name, SERVER_CPU), at_most=1.4,
        ),
        Ratio(
            "batches of 1, two workers: msg/s, of kafka-pixy's",
            ("fanout-2-workers", SINGLES.name, RATE), ("kafka-pixy", SINGLES.name, RATE), at_least=1.0,
        ),
        Ratio(
            "batches of 1, two workers with a core each (by CPU seconds): msg/s, of kafka-pixy's",
            ("fanout-2-workers", SINGLES.name, RATE_OF_CORES), ("kafka-pixy", SINGLES.name, RATE), at_least=1.0,
        ),
    )  # fmt: skip

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        for system in given.systems:
            cases = [case for case in CASES if system.name in case.messages and given.wants(case.name)]
            if not cases:
                continue
            try:
                where = given.where / system.name
                where.mkdir()
                await system.start(where)
                filled: set[str] = set()
                for case in cases:
                    drain = case.drain(system.name, quick=given.quick)
                    try:
                        if case is cases[0] and not given.quick:
                            await measured(system, case, drain, filled)
                        yield await measured(system, case, drain, filled)
                    except CannotRun as cannot:
                        yield CannotBeRun(system.name, case.name, str(cannot))
            except CannotRun as cannot:
                yield CannotBeRun(system.name, "", str(cannot))
            finally:
                await system.stop()


async def measured(system: System, case: Case, drain: Drain, filled: set[str]) -> Row:
    """One case of one system. `filled` are the topics that are there already."""
    topic = f"drain-{drain.messages}-{drain.size}"
    if not system.keeps_messages:
        topic += f"-{len(filled)}"
    if topic not in filled:
        await system.fill(topic, messages=drain.messages, size=drain.size, partitions=drain.partitions)
        filled.add(topic)
    run = await system.drain(topic, drain)
    notes = {} if drain.batch == case.batch else {"batch": f"{drain.batch}, the most there"}
    return row_of(system.name, case.name, run, notes)


def row_of(system: str, case: str, run: Run, notes: Mapping[str, str]) -> Row:
    """CPU is of each message that arrived; a part that a system does not have is left out."""
    figures = {RATE: run.rate}
    for name, seconds in (
        (SERVER_CPU, run.cpu.server),
        ("broker us/msg", run.cpu.broker),
        ("clients us/msg", run.cpu.clients),
    ):
        if seconds is not None:
            figures[name] = seconds / run.messages * 1e6
    if workers := WORKERS.get(system):
        figures[RATE_OF_CORES] = workers * 1e6 / figures[SERVER_CPU]
    for name, timed in run.latencies.items():
        figures[f"{name} p50 ms"] = timed.p50
        figures[f"{name} p99 ms"] = timed.p99
    figures |= {
        "s until the first": run.until_first,
        "messages": float(run.messages),
        "duplicates": float(run.duplicates),
    }
    return Row(system, case, figures, {**notes, **({"CPU": run.cpu_note} if run.cpu_note else {})})


#: Of those systems that have several.
WORKERS = {"fanout-2-workers": 2}

WORKLOAD: Workload = Draining()
