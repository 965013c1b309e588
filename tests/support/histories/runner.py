"""Runs one plan against real workers and leaves its history in a file."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic

import aiohttp
import msgspec

from support.eventually import eventually
from support.histories.client import RecordedClient
from support.histories.crowd import Crowd, Home
from support.histories.events import AnyEvent, Began, DrainBegan, DrainEnded
from support.histories.nemesis import make_trouble
from support.histories.plan import Plan
from support.histories.recorder import Recorder
from support.histories.samples import sample
from support.histories.sharing import Operator
from support.histories.strikes.scene import Scene
from support.histories.tempers import work
from support.histories.tokens import Pool
from support.histories.topic import Topic, config_of
from support.histories.weighing import weigh
from support.kafka import Kafka
from support.stack import Stack
from support.workers import Workers

_LOOKED_EVERY = 0.1
_DRAINING_CLIENTS = 2
#: Leases of 5 s may be out, and a message that was nacked often rests.
DRAINED_WITHIN = 15.0
#: After the last strike; a request to a broker that has gone may be waited for until its time is up, which is 20 s.
_HEALED_WITHIN = 60.0
#: On top of the time that a plan spends between writes, for what is produced while the broker is away.
_PRODUCED_WITHIN = 30.0


async def run(
    plan: Plan,
    stack: Stack,
    workers: Workers,
    path: Path,
    *,
    drained_within: float = DRAINED_WITHIN,
    watch: Callable[[AnyEvent], None] | None = None,
) -> None:
    """One history, on the network of the workers if they have one; ``watch`` is told of each event as it is written.

    Raises:
        AssertionError, RuntimeError: a worker did not start.
        TimeoutError: Kafka took too long to take what was produced.
    """
    async with Kafka(stack.brokers) as kafka, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        name = await kafka.new_topic(plan.partitions, copies=min(3, plan.brokers), **config_of(plan))
        with Recorder(path, watch) as recorder:
            recorder.write(Began(at=recorder.now(), plan=msgspec.to_builtins(plan)))
            zookeepers = stack.zookeepers if plan.zookeepers else ""
            clocks = path.parent if any(one.trouble == "clock step" for one in plan.strikes) else None
            crowd = Crowd(
                recorder,
                workers,
                name,
                plan.faults,
                zookeepers=zookeepers,
                spares_first=plan.spares_first,
                clocks=clocks,
                options=_options(plan),
            )
            operator = Operator(recorder, session, crowd) if plan.weights else None
            async with Topic(recorder, kafka, name, plan) as topic:
                await crowd.start(plan.workers)
                watching = [topic.watch(crowd.id), sample(recorder, session, crowd), weigh(recorder, crowd)]
                if operator:
                    await operator.see_to(plan.weights, by_key=plan.by_key)
                    watching.append(operator.watch())
                async with _going_on(*watching):
                    scene = Scene(
                        recorder=recorder,
                        stack=stack,
                        crowd=crowd,
                        topic=topic,
                        kafka=kafka,
                        network=workers.network,
                        operator=operator,
                    )
                    await _work(plan, scene, session)
                    await _drain(plan, recorder, session, crowd, topic, kafka, drained_within)


async def _work(plan: Plan, scene: Scene, session: aiohttp.ClientSession) -> None:
    """Everything at once, until all strikes are over and all is produced."""
    recorder, crowd, topic = scene.recorder, scene.crowd, scene.topic
    enough = asyncio.Event()
    producing = asyncio.create_task(topic.produce(plan.writes, enough, plan.at_least))
    broadcast = plan.delivery == "broadcast"
    # What another group holds it holds in a ledger of its own.
    pools: defaultdict[str, Pool] = defaultdict(Pool)
    hands = [
        work(
            RecordedClient(
                recorder,
                session,
                Home(crowd, hand.seed, roams=hand.roams, home=hand.home),
                hand.name,
                pools[hand.group or hand.name if broadcast else ""],
                hand.group,
                broadcast=broadcast,
            ),
            hand.temper,
            hand.seed,
            scene.failing,
        )
        for hand in plan.hands
    ]
    try:
        async with _going_on(*hands):
            await make_trouble(scene, plan.strikes)
            if plan.writes_end_with_strikes:
                enough.set()
            async with asyncio.timeout(_PRODUCED_WITHIN + sum(write.after for write in plan.writes)):
                await producing
            await asyncio.sleep(plan.quiet)
    finally:
        producing.cancel()


async def _drain(
    plan: Plan,
    recorder: Recorder,
    session: aiohttp.ClientSession,
    crowd: Crowd,
    topic: Topic,
    kafka: Kafka,
    within: float,
) -> None:
    # A broker that comes back on a busy machine takes its time; how long draining takes is another question.
    await eventually(partial(_is_well, crowd), _HEALED_WITHIN)
    recorder.write(DrainBegan(at=recorder.now()))
    ends = {partition: end for partition, end in (await kafka.ends(topic.name, range(topic.partitions))).items() if end}
    roams = plan.workers > 1
    groups = _groups(plan)

    def client(number: int, name: str, group: str) -> RecordedClient:
        return RecordedClient(recorder, session, Home(crowd, number, roams=roams), name, group=group)

    hands = [
        work(client(number, f"draining-{number}", group), "draining", number)
        for number, group in enumerate(groups * _DRAINING_CLIENTS)
    ]
    complete = False
    async with _going_on(*hands):
        deadline = monotonic() + within
        while not complete and monotonic() < deadline:
            await asyncio.sleep(_LOOKED_EVERY)
            committed = await topic.committed(crowd.id)
            complete = {partition: offset for partition, offset in committed.items() if offset} == ends
    # Those were cancelled in the middle: what they were about to be handed must not be there.
    for group in groups:
        await client(0, f"last {group}".rstrip(), group).pull(wait_ms=200, ack_wait_ms=100, max_messages=1000)
    if plan.compacted:
        await topic.compacted()
    recorder.write(DrainEnded(at=recorder.now(), complete=complete, ends=ends))


def _groups(plan: Plan) -> list[str]:
    """Those whose clients have to take something for all to be taken; one that nobody names has the baseline."""
    named = {hand.group or hand.name if plan.delivery == "broadcast" else hand.group for hand in plan.hands}
    return sorted(named if plan.delivery == "broadcast" else named | {""})


def _options(plan: Plan) -> dict[str, str]:
    options = {"client_ttl": f"{plan.client_ttl_ms}ms", "order": plan.order, "delivery": plan.delivery}
    # What is so by default an older worker need not know of.
    usual = {"client_ttl": "10000ms", "order": "none", "delivery": "balance"}
    return {name: value for name, value in options.items() if value != usual[name]}


async def _is_well(crowd: Crowd) -> bool:
    try:
        statuses = await asyncio.gather(*(worker.status() for worker in crowd.there.values()))
    except aiohttp.ClientError:
        return False  # a connection that a strike has broken
    return not any(status["degraded"] for status in statuses)


@asynccontextmanager
async def _going_on(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Meanwhile these go on; one that fails by itself fails the whole."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
