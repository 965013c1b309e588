"""Faults that others met in this kind of software, by their numbers in that collection: leases and shares.

D2 and D3 are in `test_waiting`, D4 in `test_acks_with_gaps`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker

#: Seconds a lease lasts here, and how far off its end may be on a busy machine.
T = 2.0
TOLERANCE = 0.5
T_MS = int(T * 1000)


@pytest.mark.parametrize("other_acks", [True, False])
async def test_d01_a_late_ack_counts_though_somebody_else_has_the_message(
    other_acks: bool, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "once", "and another")
    one, other, third = (client(fresh, name) for name in ("one", "other", "third"))
    # The second message stays with the third client all along: the floor is to move by exactly one.
    first = (await one.pull(ack_wait_ms=T_MS)).one
    kept = (await third.pull(ack_wait_ms=60_000)).one
    began = monotonic()
    second = (await other.pull(wait_ms=5000, ack_wait_ms=T_MS)).one
    assert (second.offset, second.delivery_count, kept.offset) == (first.offset, 2, 1)
    assert T - TOLERANCE < monotonic() - began < T + TOLERANCE

    # What needs the lease is refused, without harm to the one who has it now.
    for refused in (await one.nack(first.lease), await one.extend(first.lease, ack_wait_ms=60_000)):
        assert refused.results == {first.lease: "lease_lost"}
    assert (await third.pull(wait_ms=300)).messages == []
    late = await one.ack(first.lease)
    assert (late.acked, late.results) == (1, {first.lease: "late"})

    if other_acks:
        settled = await other.ack(second.lease)
        assert (settled.status, settled.acked, settled.results) == (200, 0, {second.lease: "already_settled"})
    # Nobody is handed it any more, also when the other client's lease would have ended.
    assert (await third.pull(wait_ms=int((T + TOLERANCE) * 1000))).messages == []
    await eventually(lambda: kafka.has_committed(fresh.id, fresh.topic, {0: 1}))
    assert (await third.ack(kept.lease)).acked == 1


async def test_d01_there_are_never_two_live_leases_of_one_message(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "once")
    one, others = client(fresh, "one"), [client(fresh, f"other {number}") for number in range(5)]
    first = (await one.pull(ack_wait_ms=T_MS)).one
    ends = monotonic() + T
    waiting = [asyncio.create_task(other.pull(wait_ms=T_MS + 2000, ack_wait_ms=60_000)) for other in others]
    await eventually(partial(fresh.has_waiting, len(others)))
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert monotonic() > ends - 0.05, "handed to somebody else while its lease was alive"
    assert (await done.pop()).one.offset == first.offset
    answers = await asyncio.gather(*waiting)
    assert sum(len(answer.messages) for answer in answers) == 1
