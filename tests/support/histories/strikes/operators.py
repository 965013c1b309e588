"""Strikes by operators upon the topic, the group and clocks, each of which is written down as an event of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from support.eventually import eventually
from support.histories.crowd import Crowd
from support.histories.events import Grown, Remade, Rewound, Trimmed, Trouble
from support.histories.plan import Strike
from support.histories.strikes.scene import Choose, Harm, Scene
from support.histories.strikes.workers import anyone, name_of, to_one
from support.kafka import Kafka
from support.operator import make_anew, set_group_offset

#: What the design allows for partitions that are added is 30 s; the rest is for a machine under load.
_SERVED_WITHIN = 60.0
#: A member that has left in good order is none at once; one that was killed, after its session.
_LEFT_WITHIN = 30.0
_DAY = 86_400


async def _add_a_partition(scene: Scene, strike: Strike) -> None:
    """Over when the workers serve it."""
    recorder, kafka, crowd, topic = scene.recorder, scene.kafka, scene.crowd, scene.topic
    count = await kafka.partitions(topic.name) + 1
    sent = recorder.now()
    await kafka.add_partitions(topic.name, count)
    recorder.write(Grown(at=recorder.now(), sent=sent, partitions=count))
    await topic.grown(count)
    await eventually(partial(_serve, crowd, count), _SERVED_WITHIN)


async def _serve(crowd: Crowd, count: int) -> bool:
    statuses = await asyncio.gather(*(worker.status() for worker in crowd.there.values()))
    owned = await asyncio.gather(*(worker.partitions() for worker in crowd.there.values()))
    return not any(one["degraded"] for one in statuses) and set(range(count)) <= {n for rows in owned for n in rows}


async def _delete_as_retention_does(scene: Scene, strike: Strike) -> None:
    """Of every other partition half of what is not committed yet, and all that is."""
    recorder, kafka, crowd, topic = scene.recorder, scene.kafka, scene.crowd, scene.topic
    ends = await kafka.stable_ends(topic.name, range(topic.partitions))
    committed = await topic.committed(crowd.id)
    below = {}
    for partition in range(strike.which % 2, topic.partitions, 2):
        floor, end = committed.get(partition, 0), ends[partition]
        if offset := min(end, floor + (end - floor + 1) // 2):
            below[partition] = offset
    sent = recorder.now()
    await kafka.delete_below(topic.name, below)
    recorder.write(Trimmed(at=recorder.now(), sent=sent, below=below))


async def _reset_the_group(scene: Scene, strike: Strike) -> None:
    """Each partition is set back, set forward or left alone, while no worker is there."""
    recorder, kafka, crowd, topic = scene.recorder, scene.kafka, scene.crowd, scene.topic
    dice = random.Random(strike.which)
    async with crowd.away():
        await eventually(partial(_has_no_member, kafka, crowd.id, topic.name), _LEFT_WITHIN)
        ends = await kafka.stable_ends(topic.name, range(topic.partitions))
        committed = await eventually(partial(topic.committed, crowd.id), _LEFT_WITHIN)
        begins = await kafka.beginnings(topic.name, range(topic.partitions))
        offsets: dict[int, int] = {}
        for partition, floor in committed.items():
            # One at least is set back.
            match dice.choice(("back", "back", "forward", "not")) if offsets else "back":
                case "back":
                    offsets[partition] = dice.randint(begins[partition], max(begins[partition], floor - 1))
                case "forward":
                    offsets[partition] = dice.randint(min(floor, ends[partition]), ends[partition])
        sent = recorder.now()
        await set_group_offset(kafka.brokers, f"fanout_{crowd.id}_{topic.name}", topic.name, offsets)
        recorder.write(Rewound(at=recorder.now(), sent=sent, offsets=offsets))


async def _has_no_member(kafka: Kafka, id: str, topic: str) -> bool:
    return await kafka.members(id, topic) == 0


async def _make_the_topic_anew(scene: Scene, strike: Strike) -> None:
    """While no worker is there; when they come back, there is something in the new log already.

    With fewer partitions than before none would start again.
    """
    recorder, kafka, crowd, topic = scene.recorder, scene.kafka, scene.crowd, scene.topic
    async with crowd.away():
        async with topic.halted():
            sent = recorder.now()
            await make_anew(kafka.brokers, topic.name, topic.partitions, copies=topic.copies, **topic.config)
            recorder.write(Remade(at=recorder.now(), sent=sent, partitions=topic.partitions))
        await asyncio.sleep(strike.lasts)


def _undisturbed(do: Callable[[Scene, Strike], Awaitable[None]]) -> Choose:
    """Meanwhile nothing else is done to workers and brokers."""

    def choose(scene: Scene, strike: Strike) -> Harm:
        touches = frozenset({*map(name_of, scene.crowd.there), *scene.stack.servers("kafka")})
        return Harm(do=lambda: do(scene, strike), touches=touches)

    return choose


async def _step_the_clock(scene: Scene, strike: Strike, number: int) -> None:
    """A day forward, then two days back, then the true time again."""
    for ahead in (_DAY, -_DAY, 0):
        scene.crowd.turn_clock(number, ahead)
        await asyncio.sleep(strike.lasts / 2 if ahead else 0.0)


STRIKES: Mapping[Trouble, Choose] = {
    "partitions added": _undisturbed(_add_a_partition),
    "retention": _undisturbed(_delete_as_retention_does),
    "operator's reset": _undisturbed(_reset_the_group),
    "topic made anew": _undisturbed(_make_the_topic_anew),
    "clock step": to_one(_step_the_clock, anyone),
}
