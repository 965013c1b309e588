"""Messages come at a steady rate while clients wait for them: how long each takes to be handed out, and its ack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from benchmarks.peers.system import CannotRun, Paced, Run, System
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

#: Messages a second.
RATES = (500, 5_000)
SECONDS = 20.0
QUICK_SECONDS = 3.0
#: fanout answers with JSON here. Of share groups with implicit acks no ack can be timed, hence both kinds.
SYSTEMS = ("fanout", "share-groups-java", "share-groups-java-explicit", "kafka-pixy", "nats-confirmed")
#: What is timed in a run, by its name there.
CALLED = {"hand-out": "hand-out", "ack": "ack", "late": "producer late", "produced": "producer's ack"}
TAKEN_FROM = {
    "hand-out": "from the producer's stamp, of this machine's clock, until a client has read and parsed the answer",
    "ack": "from the request of an ack by itself to its answer",
    "producer": "late: behind its pace; ack: from the stamp to the broker's answer; read a hand-out beside both",
    "CPU": "after a second of warm-up; the broker's with what it takes to produce",
}


def case_of(rate: int) -> str:
    """How it is called in the results."""
    return f"{rate:,} msg/s of 100 B, 8 clients"


SLOW = case_of(RATES[0])
HAND_OUT_P50, HAND_OUT_P99, HAND_OUT_P999 = "hand-out p50 ms", "hand-out p99 ms", "hand-out p99.9 ms"
ACK_P50, ACK_P99 = "ack p50 ms", "ack p99 ms"
BROKER_CPU = "broker us/msg"


class Pacing:
    """Each system is started once a round, and goes through the rates."""

    name = "paced"
    title = "Messages produced at a steady rate while 8 clients wait; 4 partitions, acks by themselves, durable"
    with_peers = True
    ratios: Sequence[Ratio] = (
        Ratio("500 msg/s: produced to handed out, p50, of 3 ms", ("fanout", SLOW, HAND_OUT_P50), 3.0, at_most=1.0),
        # Not above the better of the two: that is, above neither.
        *(
            Ratio(
                f"500 msg/s: produced to handed out, p99, of {what}",
                ("fanout", SLOW, HAND_OUT_P99), (peer, SLOW, HAND_OUT_P99), at_most=1.0,
            )
            for peer, what in (("share-groups-java", "share groups in Java"), ("kafka-pixy", "kafka-pixy"))
        ),
        Ratio("500 msg/s: durable ack, p50, of 2 ms", ("fanout", SLOW, ACK_P50), 2.0, at_most=1.0),
        Ratio("500 msg/s: durable ack, p99, of 10 ms", ("fanout", SLOW, ACK_P99), 10.0, at_most=1.0),
        Ratio(
            "500 msg/s: CPU of the broker a message, of share groups in Java",
            ("fanout", SLOW, BROKER_CPU), ("share-groups-java", SLOW, BROKER_CPU), at_most=0.5,
        ),
    )  # fmt: skip

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        rates = [rate for rate in RATES if given.wants(case_of(rate))]
        for system in given.systems:
            if system.name not in SYSTEMS or not rates:
                continue
            try:
                where = given.where / system.name
                where.mkdir()
                await system.start(where)
                for rate in rates:
                    yield await _measured(system, rate, QUICK_SECONDS if given.quick else SECONDS)
            except CannotRun as cannot:
                yield CannotBeRun(system.name, "", str(cannot))
            finally:
                await system.stop()


async def _measured(system: System, rate: int, seconds: float) -> Row | CannotBeRun:
    try:
        run = await system.paced(f"paced-{rate}", Paced(rate, seconds))
    except CannotRun as cannot:
        return CannotBeRun(system.name, case_of(rate), str(cannot))
    return row_of(system.name, case_of(rate), run)


def row_of(system: str, case: str, run: Run) -> Row:
    """What a system does not have, or cannot be timed there, is left out."""
    figures: dict[str, float] = {}
    for name, timed in run.latencies.items():
        # Not "pull": how long a client waited says more of the rate than of the system.
        if name in CALLED:
            figures[f"{CALLED[name]} p50 ms"], figures[f"{CALLED[name]} p99 ms"] = timed.p50, timed.p99
    if hand_out := run.latencies.get("hand-out"):
        figures[HAND_OUT_P999] = hand_out.p999
    figures |= _cpu(run)
    figures |= {
        "msg/s": run.rate,
        "messages": float(run.messages),
        "duplicates": float(run.duplicates),
    }
    return Row(system, case, figures, TAKEN_FROM)


def _cpu(run: Run) -> Mapping[str, float]:
    parts = (("server us/msg", run.cpu.server), (BROKER_CPU, run.cpu.broker), ("clients us/msg", run.cpu.clients))
    return {name: seconds / run.messages * 1e6 for name, seconds in parts if seconds is not None}


WORKLOAD: Workload = Pacing()
