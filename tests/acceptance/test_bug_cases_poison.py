"""D13: a message that every client dies of."""

from __future__ import annotations

import json
from itertools import pairwise
from statistics import median
from time import monotonic
from typing import Any

import pytest

from support.clients import Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ID = "service"
MESSAGES = 10
POISON = 3
ATTEMPTS = 5
#: Seconds a lease lasts here, and how far off its end may be on a busy machine.
T = 1.0
TOLERANCE = 1.5


def alerts(worker: Worker) -> list[str]:
    return [line for line in worker.text().splitlines() if " WARNING " in line or " ERROR " in line]


async def pull_and_die_of_it(worker: Worker, name: str, most: int) -> list[dict[str, Any]]:
    """Take what there is; whoever has the poison in it hangs up without a word, and the list says what went with it."""
    one = await Hangup.pulling(worker, name, wait_ms=8000, ack_wait_ms=int(T * 1000), max_messages=most)
    try:
        status, body = await one.answer(15.0)
    finally:
        one.reset()
        await one.gone()
    messages: list[dict[str, Any]] = json.loads(body)["messages"] if status == 200 else []
    return messages


@pytest.mark.parametrize("named", [False, True])
async def test_d13_a_message_that_all_die_of_holds_up_nobody_and_is_given_up_on(
    named: bool, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    options = {"max_deliver": str(ATTEMPTS)}
    end = f"fanout_{ID}_{topic}-parked"
    if named:
        options["dead_letter_topic"] = end = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{n}" for n in range(MESSAGES)))
    worker = await workers.start(topic, **options)
    acker = client(worker, "acker")
    attempts: list[tuple[float, int]] = []
    acked: list[int] = []
    others_done = 0.0

    number = 0
    while len(attempts) < ATTEMPTS:
        number += 1
        (message,) = await pull_and_die_of_it(worker, f"client {number}", 1)
        if message["offset"] == POISON:
            attempts.append((monotonic(), message["delivery_count"]))
            continue
        assert message["delivery_count"] == 1
        assert (await acker.ack(message["lease"])).acked == 1
        acked.append(message["offset"])
        others_done = monotonic()

    assert acked == [offset for offset in range(MESSAGES) if offset != POISON]
    # All the others were done while it was with its first client, and each try of it took its time.
    assert others_done < attempts[1][0]
    assert [count for _, count in attempts] == list(range(1, ATTEMPTS + 1))
    gaps = [after - before for (before, _), (after, _) in pairwise(attempts)]
    # The gap behind one that was late to be noted here is short by as much.
    assert median(gaps) > T - 0.05
    assert max(gaps) < T + TOLERANCE

    await eventually(lambda: kafka.has_committed(ID, topic, {0: MESSAGES}))
    assert (await client(worker, "after").pull(wait_ms=300)).messages == []
    (given_up,) = await kafka.records_in(end)
    assert given_up.value == f"v{POISON}".encode()
    if named:
        # How a parked one is written is between fanout and itself.
        headers = dict(given_up.headers)
        origin = (headers["fanout-partition"], headers["fanout-offset"], headers["fanout-delivery-count"])
        assert origin == (b"0", b"%d" % POISON, b"%d" % ATTEMPTS)
    (line,) = alerts(worker)
    assert f"0/{POISON}" in line
    assert str(ATTEMPTS) in line


async def test_d13_from_the_third_time_on_it_takes_no_others_down_with_it(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{n}" for n in range(MESSAGES)))
    worker = await workers.start(topic, max_deliver=str(ATTEMPTS))
    acker = client(worker, "acker")
    acked: list[int] = []
    died: list[tuple[int, int]] = []

    number = 0
    while len(died) < ATTEMPTS:
        number += 1
        messages = await pull_and_die_of_it(worker, f"client {number}", MESSAGES)
        poison = [message for message in messages if message["offset"] == POISON]
        if poison:
            died.append((poison[0]["delivery_count"], len(messages)))
        else:
            await acker.ack(*(message["lease"] for message in messages))
            acked += [message["offset"] for message in messages]

    assert sorted(acked) == [offset for offset in range(MESSAGES) if offset != POISON]
    assert [count for count, _ in died] == list(range(1, ATTEMPTS + 1))
    assert [size for count, size in died if count >= 3] == [1] * (ATTEMPTS - 2)
    assert max(size for _, size in died) > 1, "nothing was ever with it"
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MESSAGES}))


async def test_d13_a_restart_forgets_no_attempt_that_failed(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "poison")
    worker = await workers.start(topic, max_deliver="3", drain="0s")
    assert [m["delivery_count"] for m in await pull_and_die_of_it(worker, "one", 1)] == [1]
    assert [m["delivery_count"] for m in await pull_and_die_of_it(worker, "two", 1)] == [2]

    async def both_have_failed() -> bool:
        return bool((await worker.status())["in_flight"] == 0)

    await eventually(both_have_failed)
    assert (await worker.terminate(15.0)).code == 0
    worker = await workers.start(topic, max_deliver="3")
    assert [m["delivery_count"] for m in await pull_and_die_of_it(worker, "three", 1)] == [3]
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 1}))
    assert (await client(worker, "four").pull(wait_ms=300)).messages == []
    assert len(await kafka.records_in(f"fanout_{ID}_{topic}-parked")) == 1
